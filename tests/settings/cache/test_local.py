"""The tier in the process keeps to its bytes."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Hashable
from uuid import uuid4

import msgspec

from app.domain.canonical import canonical
from app.domain.position import Position
from app.settings.cache.entry import Entry
from app.settings.cache.local import Local
from tests.settings.cache.test_codec import entry, value


def test_what_was_used_longest_ago_goes_first() -> None:
    gone: list[Hashable] = []
    local = Local(1_000, evicted=gone.append)
    for key in "abc":
        local.put(key, key, cost=150)

    local.get("a")
    local.put("d", "d", cost=150)

    assert gone == ["b"]
    assert [local.get(key) for key in "abcd"] == ["a", None, "c", "d"]


def test_it_never_holds_more_than_its_limit_and_knows_how_much_it_holds() -> None:
    rng, local = random.Random(1), Local(10_000)
    for _ in range(5_000):
        key = rng.randrange(100)
        if rng.random() < 0.2:
            local.drop(key)
        else:
            local.put(key, key, cost=rng.randrange(2_000))
        assert local.bytes <= 10_000
    assert local.bytes == sum(cost for cost, _ in local._items.values())
    for key in range(100):
        local.drop(key)
    assert (local.bytes, len(local)) == (0, 0)


def test_what_would_not_fit_alone_pushes_nothing_out() -> None:
    local = Local(1_000)
    local.put("small", 1, cost=100)

    local.put("large", 2, cost=5_000)

    assert local.get("small") == 1
    assert local.get("large") is None


def test_with_no_bytes_it_keeps_nothing() -> None:
    local = Local(0)

    local.put("a", 1, cost=0)

    assert local.get("a") is None


def test_an_entry_costs_about_what_it_takes() -> None:
    """Not less than it takes, or memory would not be bounded; not twice as much, or half of it would lie idle."""

    def made(number: int) -> Entry:
        one = entry(values=0)
        one.position = Position(10_000 + number)
        one.path = f"ACCOUNT/acme/{number}"
        for key in range(10):
            filled = value(f"key-{key:03d}")
            text = canonical({"text": "x" * 100 + str(number)})
            one.values[filled.key] = msgspec.structs.replace(
                filled, id=uuid4(), value=text, position=Position(9_000 + key)
            )
        return one

    gc.collect()
    tracemalloc.start()
    entries = [made(number) for number in range(500)]
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    said = sum(one.cost for one in entries)
    print("an entry of ten values takes", taken // 500, "bytes and is said to take", said // 500)
    assert taken <= said <= 2 * taken
