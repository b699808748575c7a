"""Following a feed: what is known, how old it is, and what happens when the feed or the way to it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import get_args
from uuid import UUID

import msgspec
import pytest

from app.domain.event import Fact
from app.domain.position import Position
from app.kit.database import DatabaseUnavailable
from app.kit.tasks import running
from app.log import tailer as tailer_module
from app.log.read import Event, Page
from app.log.tailer import PROOF_SECONDS, Tailer
from app.log.trail import Mark
from app.settings.cache.subjects import subject_of as registry_subject_of
from tests.guarantees.mutations import MUTATIONS
from tests.world import Api, position

pytestmark = pytest.mark.anyio

LIMIT = 5.0  # seconds for what takes a few milliseconds


class Log:
    """A feed in memory, whose reader can be made to wait or to fail."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reads = 0
        self.broken = False
        self.open = asyncio.Event()
        self.open.set()
        self.reading = asyncio.Event()

    def append(self, *subjects: str, history: int = 1) -> None:
        for subject in subjects:
            at = Position(len(self.events) + 1)
            self.events.append(
                Event(
                    position=at,
                    id=UUID(int=history * 1_000 + at),
                    type="",
                    tenant=None,
                    aggregate_id=subject,
                    payload="{}",
                )
            )

    async def read(self, after: Position, limit: int) -> Page:
        self.reads += 1
        if self.broken:
            raise DatabaseUnavailable
        events = self.events[after : after + limit]
        head = Position(len(self.events))
        self.reading.set()
        await self.open.wait()
        return Page(head=head, events=events)


class Boot:
    """A clock of the machine."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def subject_of(event: Event) -> str | None:
    return event.aggregate_id or None


@asynccontextmanager
async def following(log: Log, boot: Boot, *, remembered: int = 100) -> AsyncIterator[Tailer]:
    tailer = Tailer(log.read, subject=subject_of, clock=boot, remembered=remembered)
    await tailer.start()
    async with running(tailer.run()):
        yield tailer


async def test_it_knows_the_recent_past_from_the_start() -> None:
    log = Log()
    log.append("a", "b", "a", "c", "d")

    async with following(log, Boot(), remembered=3) as tailer:
        assert tailer.head == 5
        assert tailer.trail.floor == 2
        assert [tailer.trail.last_change(one) for one in "abcd"] == [3, 2, 4, 5]
        assert tailer.trail.covers(Position(2), Mark(1_002)), "the floor is of this history too"


async def test_a_ring_makes_it_look_and_a_look_tells_what_changed() -> None:
    log, told = Log(), []
    async with following(log, Boot()) as tailer:
        tailer.on_change(told.append)
        log.append("a", "b")
        tailer.ring()

        assert await tailer.reach(Position(2), within_seconds=LIMIT)
        assert told == [{"a", "b"}]


async def test_without_a_ring_it_looks_by_itself() -> None:
    log = Log()
    async with following(log, Boot()) as tailer:
        log.append("a")

        assert await asyncio.wait_for(_moved(tailer, 1), tailer_module.POLL_SECONDS + LIMIT)


async def _moved(tailer: Tailer, to: int) -> bool:
    async with tailer._moved:
        return await tailer._moved.wait_for(lambda: tailer.head >= to)


async def test_a_look_begins_after_it_was_asked_for_and_is_shared() -> None:
    """One that is under way has read already, and may have missed what was committed since."""
    log = Log()
    async with following(log, Boot()) as tailer:
        log.open.clear()
        log.reading.clear()
        tailer.ring()
        await asyncio.wait_for(log.reading.wait(), LIMIT)
        log.append("a")
        before = log.reads
        waiting = [asyncio.create_task(tailer.look()) for _ in range(5)]
        await asyncio.sleep(0)

        log.open.set()
        await asyncio.wait_for(asyncio.gather(*waiting), LIMIT)

        assert tailer.head == 1
        assert log.reads == before + 1


async def test_proof_is_as_old_as_the_beginning_of_the_look() -> None:
    """Whatever time passes while it reads, or while the process is stopped, counts."""
    log, boot = Log(), Boot()
    async with following(log, boot) as tailer:
        log.open.clear()
        log.reading.clear()
        looking = asyncio.create_task(tailer.look())
        await asyncio.wait_for(log.reading.wait(), LIMIT)
        boot.now += PROOF_SECONDS * 2

        log.open.set()
        await asyncio.wait_for(looking, LIMIT)

        assert not tailer.fresh
        await tailer.look()
        assert tailer.fresh
        boot.now += PROOF_SECONDS
        assert not tailer.fresh


async def test_it_says_that_it_fails_and_goes_on() -> None:
    log, boot = Log(), Boot()
    async with following(log, boot) as tailer:
        log.broken = True
        with pytest.raises(DatabaseUnavailable):
            await tailer.look()
        assert tailer.failing
        boot.now += PROOF_SECONDS
        with pytest.raises(DatabaseUnavailable):
            await tailer.require_fresh()

        log.broken = False
        log.append("a")
        await tailer.look()

        assert not tailer.failing
        assert tailer.head == 1


async def test_after_a_write_that_could_not_be_looked_up_nothing_is_fresh_until_it_is() -> None:
    log, boot = Log(), Boot()
    async with following(log, boot) as tailer:
        log.broken = True
        await tailer.written()
        assert not tailer.fresh

        log.broken = False
        boot.now += 0.01
        await tailer.look()
        assert tailer.fresh


@pytest.mark.parametrize("how", ["shorter", "as long", "longer", "with a hole"])
async def test_another_history_is_noticed_and_everything_forgotten(how: str) -> None:
    log, told = Log(), []
    log.append("a", "b", "c")
    async with following(log, Boot()) as tailer:
        tailer.on_change(told.append)
        if how == "with a hole":
            log.append("d", "e")
            log.events[3], tail = log.events[4], log.events[3]
            tailer.ring()
            await asyncio.wait_for(_reset(tailer), LIMIT)
            log.events[3:] = [tail, log.events[3]]
            await tailer.look()
        else:
            del log.events[1:]
            log.append(*{"shorter": "x", "as long": "xy", "longer": "xyz"}[how], history=2)
            await tailer.look()

        assert tailer.looked.resets >= 1
        assert None in told
        assert tailer.head == len(log.events)
        assert tailer.trail.covers(tailer.head, Mark(log.events[-1].id.int))


async def _reset(tailer: Tailer) -> None:
    while tailer.looked.resets == 0:  # noqa: ASYNC110 - it tells nobody before it has begun anew
        await asyncio.sleep(0)


async def test_it_follows_the_real_feed(api: Api) -> None:
    tailer = api.registry.hot.tailer

    made = await api.admin.post("/api/settings", json={"scope": "TENANT", "key": "any.thing", "value": 1})

    assert tailer.head == position(made)
    assert tailer.trail.last_change("TENANT/acme") == position(made)
    assert tailer.trail.last_change("TENANT/globex") < position(made)


TOUCHED = {
    "create": "TENANT/acme",
    "create globally": "GLOBAL",
    "unset": "TENANT/acme",
    "define": "DEFINITIONS",
    "redefine": "DEFINITIONS",
    "undefine": "DEFINITIONS",
    "move": "ACCOUNT/acme/adler",
    "forget": "ACCOUNT/acme/adler",
    "register": "TENANT/initech",
    "remove": "TENANT/initech",
}


@pytest.mark.parametrize("name", TOUCHED)
async def test_a_change_touches_its_own_entry_and_no_other(api: Api, name: str) -> None:
    send = await MUTATIONS[name].prepare(api)
    told: list[set[str] | None] = []
    api.registry.hot.tailer.on_change(told.append)

    assert (await send()).is_success

    assert told == [{TOUCHED[name]}]


async def test_an_event_of_a_kind_that_is_not_known_touches_everything() -> None:
    event = Event(position=Position(1), id=UUID(int=1), type="new", tenant=None, aggregate_id="", payload="{}")

    assert registry_subject_of(event) is None


def test_no_event_that_there_is_touches_everything() -> None:
    """Each kind is sorted, so that a new one is not forgotten: it would empty every cache."""
    scope = {"level": "TENANT", "tenant": "acme", "scopeId": "acme"}
    for kind in get_args(Fact):
        payload = msgspec.json.encode({"scope": scope}).decode()
        event = Event(
            position=Position(1), id=UUID(int=1), type=kind.type, tenant=None, aggregate_id="a", payload=payload
        )

        assert registry_subject_of(event) is not None, kind
