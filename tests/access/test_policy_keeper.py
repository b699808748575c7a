"""A policy that changes takes over whole or not at all, and there is never a moment without rules."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.access.gate import Gate
from app.access.polar import load_policy
from app.access.policy_files import fingerprint
from app.access.policy_keeper import PolicyKeeper
from app.domain.access import Action
from tests.builders import caller, principal, setting_resource
from tests.world import SteppableClock

pytestmark = pytest.mark.anyio

READERS = 'allow(p: Principal, "read", _s: Setting) if "reader" in p.roles;\n'
AUDITORS = READERS.replace("reader", "auditor")
LIMIT = 20.0  # seconds; the files are looked at every second


class Kept:
    """A gate on a folder with one file, and its keeper."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "a.polar"
        self.file.write_text(READERS)
        loaded_from = fingerprint([folder])
        self.gate = Gate(load_policy(folder))
        self.keeper = PolicyKeeper(self.gate, [folder], loaded_from=loaded_from, clock=SteppableClock())

    def lets_in(self, role: str) -> bool:
        return self.gate.allows(caller(principal(roles=(role,))), Action.READ, setting_resource())

    async def looked_twice(self) -> None:
        await self.keeper.look()
        await self.keeper.look()


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


async def test_a_changed_file_takes_over(kept: Kept) -> None:
    kept.file.write_text(AUDITORS)

    await kept.looked_twice()

    assert (kept.lets_in("auditor"), kept.lets_in("reader")) == (True, False)
    assert (kept.keeper.loads, kept.keeper.failures, kept.keeper.last_error) == (1, 0, None)


async def test_what_changed_while_the_node_was_starting_is_not_missed(tmp_path: Path) -> None:
    (tmp_path / "a.polar").write_text(READERS)
    loaded_from = fingerprint([tmp_path])
    gate = Gate(load_policy(tmp_path))
    (tmp_path / "a.polar").write_text(AUDITORS)
    keeper = PolicyKeeper(gate, [tmp_path], loaded_from=loaded_from, clock=SteppableClock())

    await keeper.look()
    await keeper.look()

    assert gate.allows(caller(principal(roles=("auditor",))), Action.READ, setting_resource())


async def test_a_file_counts_when_it_has_come_to_rest(kept: Kept) -> None:
    """Half of a file may be a good policy that lacks what was to be forbidden."""
    kept.file.write_text(AUDITORS)
    await kept.keeper.look()
    assert kept.lets_in("reader")

    kept.file.write_text(AUDITORS + 'forbid(_p: Principal, "read", _s: Setting);\n')
    await kept.keeper.look()
    assert kept.lets_in("reader")

    await kept.keeper.look()
    assert not kept.lets_in("auditor")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("allow(", "forget a semi-colon"),
        (f"{AUDITORS}?= allow(1, 2, 3);", "Inline query failed"),
        ('allow(p: Principal, "read", _s: Setting) if\n  p.rolle = "x";', "a.polar:1: read on Setting: p.rolle"),
        ('helps(_p);\nallow(p: Principal, "read", _s: Setting) if not helps(p);', "a.polar:2: `not helps("),
        ('allow(p: Principal, "read", _s: Setting) if p.id = "x" and cut;', "a.polar:1: `cut"),
        ("", "undefined rule `allow`"),
    ],
)
async def test_a22_a_bad_policy_leaves_the_old_one_and_says_why(kept: Kept, source: str, reason: str) -> None:
    before = kept.gate.policy
    kept.file.write_text(source)

    with capture_logs() as lines:
        await kept.looked_twice()
        await kept.looked_twice()

    assert kept.gate.policy is before
    assert kept.lets_in("reader")
    assert reason in (kept.keeper.last_error or "")
    assert kept.keeper.failures == 1, "one attempt for each state of the files"
    assert [line["event"] for line in lines] == ["policy-refused"]


async def test_a22_without_its_files_the_old_policy_goes_on(kept: Kept) -> None:
    kept.file.unlink()
    await kept.looked_twice()
    assert kept.lets_in("reader")
    assert "There is no .polar file" in (kept.keeper.last_error or "")

    kept.file.write_text(READERS)
    await kept.looked_twice()
    assert kept.keeper.last_error is None


async def test_a22_a_storm_of_changes_never_leaves_a_moment_without_rules(kept: Kept) -> None:
    """Whoever both policies let in is let in throughout, though good and bad ones come and go."""
    both = READERS + AUDITORS.replace("auditor", "always") + READERS.replace("reader", "always")
    kept.file.write_text(both)
    await kept.keeper.look(at_once=True)
    refused = 0
    done = asyncio.Event()

    async def ask() -> int:
        asked = 0
        nonlocal refused
        while not done.is_set():
            refused += not kept.lets_in("always")
            asked += 1
            await asyncio.sleep(0)
        return asked

    asking = asyncio.create_task(ask())
    for round_ in range(6):
        kept.file.write_text([both, "allow(", both + AUDITORS, ""][round_ % 4])
        await asyncio.gather(*(kept.keeper.look(at_once=True) for _ in range(3)))
    done.set()

    assert await asking > 100
    assert refused == 0


async def test_the_files_are_watched_and_a_signal_has_them_looked_at_now(kept: Kept) -> None:
    async with kept.keeper.keeping():
        kept.file.write_text(AUDITORS)
        os.kill(os.getpid(), signal.SIGHUP)
        await _until(lambda: kept.lets_in("auditor"))
        kept.file.write_text(READERS)
        await _until(lambda: kept.lets_in("reader"))
    assert kept.keeper.loads == 2


async def _until(holds: object) -> None:
    async with asyncio.timeout(LIMIT):
        while not holds():  # type: ignore[operator]  # noqa: ASYNC110 - nothing tells of a decision that changed
            await asyncio.sleep(0.02)
