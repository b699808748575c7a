"""What is prepared costs about what it takes."""

from __future__ import annotations

import gc
import tracemalloc

from app.domain.access import UNKNOWN, Action, setting_at
from app.domain.definition import Sensitivity
from app.domain.position import Position
from app.domain.scope import Context, chain_of
from app.fast_lane.prepared import Prepared, Ready
from app.fast_lane.question import Judged, Resolve
from app.log.trail import Trail
from app.settings.cache.entry import View
from app.settings.cache.local import ITEM_BYTES


def prepared(number: int) -> Prepared:
    chain = chain_of(
        Context(tenant_id="acme", territory=f"T{number}", account_id=f"account-{number}", user_id=f"user-{number}")
    )
    resources = tuple(setting_at(scope, UNKNOWN, Sensitivity.INTERNAL) for scope in chain)
    question = Resolve(chain=chain, key=f"some.key-{number}", salt="acme")
    one = Prepared(question, Judged(action=Action.RESOLVE, needed=resources * 2), trail=Trail())
    view = View(stamps=(Position(10_000 + number),), body=b"x" * 100 + b"%d" % number, tag=f'"tag-{number}"')
    ready = one.views[0] = Ready(view)
    ready.at(Position(10_000 + number))
    return one


def test_what_is_prepared_costs_about_what_it_takes() -> None:
    """Not less than it takes, or memory would not be bounded; not three times as much, or most of it would lie idle."""
    prepared(0)
    gc.collect()
    tracemalloc.start()
    held = {("/api/settings/resolve/x", b"number=%d" % one, "acme", False): prepared(one) for one in range(500)}
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    said = sum(ITEM_BYTES + one.cost + len(key[0]) + len(key[1]) for key, one in held.items())

    print("a prepared answer takes", taken // 500, "bytes and is said to take", said // 500)
    assert taken <= said <= 3 * taken
