"""
G2: stated freshness. A write is seen at once on the worker that took it, and elsewhere within a second whatever happens
to the doorbell; a read that names a position is never answered from before it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.kit.database import Connection
from app.log import append
from app.log.listener import Listener
from app.log.read import Page
from app.log.tailer import Tailer
from tests.guarantees import naive
from tests.guarantees.workers import PATIENCE, another, counters, flush, until, until_true
from tests.world import DE_CONTEXT, Api, make, match, position

pytestmark = pytest.mark.anyio

HARD = 1.0  # seconds: the promise
SLACK = 0.5  # for a machine on which everything else is tested at the same time
PLACES = ["GLOBAL", "TENANT", "TERRITORY/DE", "ACCOUNT/adler", "CONTACT_ROLE/BUYER", "CONTACT/kern", "USER/alice"]
KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'setpoint-listener'"


async def held(api: Api) -> httpx.Response:
    """What alice sees of one key; asked for twice, so that it comes from memory when nothing changes."""
    for _ in range(2):
        response = await api.alice.get("/api/settings/resolve/any.thing", params=DE_CONTEXT)
    assert response.status_code == 200, response.text
    return response


class Writer:
    """Sets ever new values of one key for alice."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._tag: httpx.Response | None = None
        self.number = 0

    async def write(self) -> httpx.Response:
        self.number += 1
        where = {"scope": "USER", "scopeId": "alice", "key": "any.thing"}
        if self._tag is None:
            self._tag = await self._api.admin.post("/api/settings", json={**where, "value": self.number})
        else:
            path = f"/api/settings/{self._tag.json()['id']}"
            self._tag = await self._api.admin.put(path, json={"value": self.number}, headers=match(self._tag))
        assert self._tag.is_success, self._tag.text
        return self._tag

    def sees(self, response: httpx.Response) -> bool:
        return bool(response.json()["value"] == self.number)


# ---- on the worker that took the write ----


@pytest.mark.parametrize("place", PLACES)
async def test_a_write_is_seen_at_once_where_it_was_taken(api: Api, place: str) -> None:
    scope, _, scope_id = place.partition("/")
    where = {"scope": scope, "scopeId": scope_id} if scope_id else {"scope": scope}
    before = await held(api)
    assert before.json()["value"] is None, "a scope with nothing set is remembered too"

    made = await make(api.root, "any.thing", 1, **where) if scope_id else await make(api.root, "any.thing", 1, scope)
    after = await api.alice.get("/api/settings/resolve/any.thing", params=DE_CONTEXT)
    await api.root.delete(f"/api/settings/{made['id']}", headers=match(made))
    unset = await api.alice.get("/api/settings/resolve/any.thing", params=DE_CONTEXT)

    assert after.json()["value"] == 1
    assert position(after) == made["position"]
    assert unset.json()["value"] is None
    assert unset.headers["ETag"] == before.headers["ETag"]


async def test_a_burst_of_writes_is_seen_write_by_write(api: Api) -> None:
    writer = Writer(api)
    for _ in range(30):
        written = await writer.write()
        seen = await api.alice.get("/api/settings/resolve/any.thing", params=DE_CONTEXT)
        assert writer.sees(seen)
        assert position(seen) >= position(written)


# ---- on another worker ----


async def slowest(api: Api, other: Api, *, writes: int) -> float:
    """The longest that one of so many writes stayed unseen on the other worker, after it was acknowledged."""
    writer, longest = Writer(api), 0.0
    await writer.write()
    await until(lambda: held(other), writer.sees)
    for _ in range(writes):
        await writer.write()
        began = time.monotonic()
        await until(lambda: held(other), writer.sees, within=3 * HARD)
        longest = max(longest, time.monotonic() - began)
    return longest


async def test_a_write_is_seen_elsewhere_within_a_second(api: Api) -> None:
    async with another(api) as other:
        longest = await slowest(api, other, writes=20)

        print(f"the slowest of 20 took {longest * 1000:.1f} ms")
        assert longest < HARD
        assert other.registry.hot.tailer.looked.events >= 20


async def test_reads_elsewhere_come_from_memory_in_between(api: Api) -> None:
    """Else the tests above would prove nothing about what is held."""
    async with another(api) as other:
        await held(other)
        before = counters(other).fills

        for _ in range(10):
            await held(other)

        assert counters(other).fills == before


@pytest.fixture
def no_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every notification gets lost."""
    monkeypatch.setattr(Listener, "_heard", lambda *_: None)


async def test_a_write_is_seen_elsewhere_when_every_notification_is_lost(api: Api, no_rings: None) -> None:
    del no_rings
    async with another(api) as other:
        longest = await slowest(api, other, writes=3)

        print(f"the slowest of 3 took {longest * 1000:.1f} ms")
        assert longest < HARD + SLACK


async def test_a_write_is_seen_elsewhere_while_the_listener_is_killed_all_the_time(api: Api, db: Connection) -> None:
    async with another(api) as other:
        done = asyncio.Event()

        async def kill() -> None:
            while not done.is_set():
                await db.execute(KILL)
                await asyncio.sleep(0.2)

        async with asyncio.TaskGroup() as group:
            group.create_task(kill())
            longest = await slowest(api, other, writes=10)
            done.set()

        print(f"the slowest of 10 took {longest * 1000:.1f} ms")
        assert longest < HARD + SLACK


async def test_the_check_finds_that_nobody_looks_without_a_ring(
    api: Api, no_rings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del no_rings
    naive.doorbell_only(monkeypatch)
    async with another(api) as other:
        with pytest.raises(TimeoutError):
            await slowest(api, other, writes=1)


@pytest.fixture
def ids_in_the_wrong_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of writers that made their ids and then queued for the counter, in the other order."""
    numbers = iter(range(10**6))
    highest = UUID("ffffffff-ffff-7fff-bfff-ffffffffffff").int
    monkeypatch.setattr(append, "new_id", lambda: UUID(int=highest - next(numbers)))


async def test_the_order_of_ids_does_not_matter(api: Api, ids_in_the_wrong_order: None) -> None:
    del ids_in_the_wrong_order
    async with another(api) as other:
        assert await slowest(api, other, writes=3) < HARD + SLACK


async def test_the_check_finds_a_cursor_of_ids(
    api: Api, ids_in_the_wrong_order: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del ids_in_the_wrong_order
    naive.cursor_of_ids(monkeypatch)
    async with another(api) as other:
        with pytest.raises(TimeoutError):
            await slowest(api, other, writes=1)


# ---- a process that was stopped ----


@asynccontextmanager
async def stopped(worker: Api, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Event]:
    """A worker whose looks get nowhere while its machine's clock goes on, as if stopped. The event wakes it."""
    tailer = worker.registry.hot.tailer
    read, clock, awake = tailer._read, tailer._clock, asyncio.Event()

    async def asleep(after: Any, limit: int) -> Page:
        await awake.wait()
        return await read(after, limit)

    with monkeypatch.context() as patched:
        patched.setattr(tailer, "_read", asleep)
        patched.setattr(tailer, "_clock", lambda: clock() + 60.0)
        yield awake


async def first_answer_after_a_stop(writer: Writer, api: Api, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    async with another(api) as other:
        await writer.write()
        await until(lambda: held(other), writer.sees)
        async with stopped(other, monkeypatch) as awake:
            await writer.write()
            reading = asyncio.create_task(other.alice.get("/api/settings/resolve/any.thing", params=DE_CONTEXT))
            await asyncio.wait([reading], timeout=0.05)
            awake.set()
            return await asyncio.wait_for(reading, PATIENCE)


async def test_a_process_that_was_stopped_answers_nothing_of_before(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(api)

    answer = await first_answer_after_a_stop(writer, api, monkeypatch)

    assert writer.sees(answer)
    assert "Setpoint-Stale" not in answer.headers


async def test_the_check_finds_a_clock_that_stops_with_the_process(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    naive.monotonic(monkeypatch)
    writer = Writer(api)

    for _ in range(10):  # a machine that is busy may be so slow that the worker looks before it is asked
        if not writer.sees(await first_answer_after_a_stop(writer, api, monkeypatch)):
            return
    pytest.fail("nothing was answered from before")


# ---- a read that names a position ----


async def from_before(api: Api, other: Api, *, writes: int) -> int:
    """How many reads that named the write's position were answered from before it."""
    writer, wrong = Writer(api), 0
    await writer.write()
    await until(lambda: held(other), writer.sees)
    for _ in range(writes):
        written = await writer.write()
        headers = {"Setpoint-Min-Position": str(position(written))}
        answer = await other.alice.get("/api/settings/resolve/any.thing", params=DE_CONTEXT, headers=headers)
        wrong += not (writer.sees(answer) and position(answer) >= position(written))
    return wrong


async def test_a_read_that_names_a_position_is_never_from_before_it(api: Api, no_rings: None) -> None:
    del no_rings
    async with another(api) as other:
        assert await from_before(api, other, writes=20) == 0


async def test_the_check_finds_that_nobody_waits(api: Api, no_rings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    del no_rings

    async def at_once(*_: Any, **__: Any) -> None:
        pass

    monkeypatch.setattr("app.settings.http.reached", at_once)
    async with another(api) as other:
        assert await from_before(api, other, writes=20) > 0


# ---- what was there before ----


@pytest.mark.parametrize("remembered", [20_000, 0], ids=["judged by the trail", "from before the trail"])
async def test_what_redis_kept_through_a_change_nobody_told_it_of_is_not_answered_with(
    api: Api, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    """All workers are gone when somebody who knows no Redis changes a value: a crash, a bulk change, an outage."""
    await flush(api)
    writer = Writer(api)
    await writer.write()
    async with another(api, l1_bytes=0) as first:
        await held(first)
        await until_true(lambda: counters(first).l2_writes >= len(PLACES) - 1)
    await writer.write()

    monkeypatch.setattr(Tailer.__init__, "__kwdefaults__", _remembering(remembered))
    async with another(api, l1_bytes=0) as second:
        assert writer.sees(await second.alice.get("/api/settings/resolve/any.thing", params=DE_CONTEXT))
        assert counters(second).l2_misses > 0


def _remembering(positions: int) -> dict[str, Any]:
    return {**Tailer.__init__.__kwdefaults__, "remembered": positions}


async def test_a_database_that_was_restored_is_not_answered_for_from_before(api: Api, db: Connection) -> None:
    """Positions are given out again; what they stood for is gone."""
    await flush(api)
    writer = Writer(api)
    await writer.write()
    await held(api)
    await until_true(lambda: counters(api).l2_writes >= len(PLACES) - 1)
    await db.execute("SELECT world.reset()")
    await api.registry.hot.tailer.look()

    again = await api.alice.get("/api/settings/resolve/any.thing", params=DE_CONTEXT)
    assert again.json()["value"] is None
    async with another(api, l1_bytes=0) as other:
        await make(other.admin, "ui.theme", "dark", "TENANT")  # takes the position of the write that is gone
        seen = await other.alice.get("/api/settings/resolve/any.thing", params=DE_CONTEXT)
        assert seen.json()["value"] is None
