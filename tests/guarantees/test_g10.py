"""G10, the part that stands: without PostgreSQL everything fails fast with 503 and Retry-After, and recovers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from app.kit.database import Connection
from tests.fixtures import Databases, running
from tests.guarantees.mutations import MUTATIONS
from tests.guarantees.proxy import Wire, wired
from tests.guarantees.state import everything
from tests.settings.test_positions import READS
from tests.world import Api, make, problem

pytestmark = pytest.mark.anyio

ACQUIRE, STATEMENT, CONNECT = 0.3, 0.2, 0.3  # seconds
# A statement is given a second on top for PostgreSQL to end it by itself, and then has to be called off.
LIMIT = ACQUIRE + CONNECT + 2 * (STATEMENT + 1) + 1

Send = Callable[[], Awaitable[httpx.Response]]


@asynccontextmanager
async def on_a_wire(api: Api) -> AsyncIterator[tuple[Api, Wire]]:
    """The application at the far end of a wire, with limits that are quickly reached."""
    assert api.config.database_url is not None
    async with wired(api.config.database_url) as (wire, url):
        config = msgspec.structs.replace(
            api.config,
            database_url=url,
            pool_size=4,
            acquire_timeout_seconds=ACQUIRE,
            statement_timeout_seconds=STATEMENT,
            connect_timeout_seconds=CONNECT,
        )
        async with running(config, clock=api.clock) as other:
            yield other, wire
            await wire.mend()


async def requests(api: Api) -> list[Send]:
    """Every read, and every kind of change that needs nothing of the ones before it."""
    made = await make(api.root, "ui.theme", "dark")

    def read(path: str, query: dict[str, str]) -> Send:
        return lambda: api.root.get(path.format(id=made["id"]), params=query)

    names = ("create globally", "define", "redefine", "describe", "move", "register")
    return [read(*one) for one in READS] + [await MUTATIONS[name].prepare(api) for name in names]


async def timed(send: Send) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    response = await send()
    return response, time.monotonic() - began


def check_unavailable(answers: list[tuple[httpx.Response, float]]) -> None:
    for response, seconds in answers:
        problem(response, 503, "database-unavailable")
        assert int(response.headers["Retry-After"]) >= 1
        assert seconds < LIMIT, f"{response.request.method} {response.request.url} took {seconds:.1f} s"


async def until_it_answers(send: Send) -> httpx.Response:
    """The first answer after an outage that is none of its kind; it has to come soon."""
    deadline = time.monotonic() + LIMIT
    while True:
        response = await send()
        if response.status_code != 503:
            return response
        assert time.monotonic() < deadline


@pytest.mark.parametrize("how", ["cut", "silent"])
async def test_reads_and_writes_fail_fast_and_recover(api: Api, db: Connection, how: str) -> None:
    async with on_a_wire(api) as (other, wire):
        sends = await requests(other)
        before = await everything(db)

        if how == "cut":
            await wire.cut()
        else:
            wire.silence()
        # Many more than there are connections: those who wait for one must not wait for all who are before them.
        check_unavailable(await asyncio.gather(*(timed(send) for send in sends * 5)))

        await wire.mend()
        assert (await until_it_answers(sends[0])).status_code == 200
        # What went into the silent wire may still come out; what the caller was told to try again is tried again.
        if how == "cut":
            assert await everything(db) == before
            for send in sends:
                assert (await send()).is_success


async def test_the_second_request_without_a_server_fails_at_once(api: Api) -> None:
    async with on_a_wire(api) as (other, wire):
        await wire.cut()
        await other.alice.get("/api/settings/effective")

        answers = [await timed(lambda: other.alice.get("/api/settings/effective")) for _ in range(5)]

        check_unavailable(answers)
        assert max(seconds for _, seconds in answers) < 0.25


async def test_connections_that_break_under_way_are_no_internal_errors(api: Api, db: Connection) -> None:
    """A storm of reads and writes, with the wire cut and mended in the middle of it, over and over."""
    async with on_a_wire(api) as (other, wire):
        statuses: set[int] = set()
        made: list[str] = []
        done = asyncio.Event()

        async def write(writer: int) -> None:
            number = 0
            while not done.is_set():
                number += 1
                body = {"scope": "USER", "scopeId": f"w{writer}-{number}", "key": "any.thing", "value": number}
                response = await other.admin.post("/api/settings", json=body)
                statuses.add(response.status_code)
                if response.status_code == 201:
                    made.append(response.json()["id"])

        async def read() -> None:
            while not done.is_set():
                statuses.add((await other.alice.get("/api/settings/effective")).status_code)

        async def break_it() -> None:
            for _ in range(8):
                await asyncio.sleep(0.05)  # into the middle of whatever goes on
                await wire.cut()
                await wire.mend()
            await until_it_answers(lambda: other.alice.get("/api/settings/effective"))
            done.set()

        await asyncio.gather(break_it(), *(write(writer) for writer in range(4)), *(read() for _ in range(2)))

        assert statuses == {200, 201, 503}
        stored = {str(row["id"]) for row in await db.fetch("SELECT id FROM setting_value")}
        assert set(made) <= stored, "what was acknowledged is there"
        told = await db.fetchval("SELECT count(*) FROM event WHERE type = 'setting.value-set'")
        assert told == len(stored), "and nothing is there without its event"


async def test_health_says_what_is_the_matter(api: Api) -> None:
    async with on_a_wire(api) as (other, wire):

        async def states() -> list[Any]:
            whole = (await other.anonymous.get("/api/health")).json()
            ready = await other.anonymous.get("/api/health/ready")
            live = await other.anonymous.get("/api/health/live")
            return [whole["state"], whole["parts"]["postgresql"]["state"], ready.status_code, live.status_code]

        assert await states() == ["up", "up", 200, 200]
        await wire.cut()
        assert await states() == ["down", "down", 503, 200]
        parts = (await other.anonymous.get("/api/health")).json()["parts"]
        assert parts["postgresql"]["lastError"]
        assert str(wire.port) not in str(parts), "an open page tells no addresses"
        await wire.mend()
        await until_it_answers(lambda: other.anonymous.get("/api/health/ready"))
        assert await states() == ["up", "up", 200, 200]


async def test_who_is_refused_is_refused_without_a_database_too(api: Api) -> None:
    async with on_a_wire(api) as (other, wire):
        await wire.cut()

        problem(await other.anonymous.get("/api/settings/effective"), 401)
        problem(await other.alice.get("/api/no-such-thing"), 404)
        problem(await other.alice.get("/api/settings/effective?x=1"), 400)
        assert (await other.alice.get("/api/auth/verify")).status_code == 200


@pytest.mark.parametrize(
    ("statement", "undo"),
    [
        ("SET default_transaction_read_only = on", "RESET ALL"),
        ("ALLOW_CONNECTIONS false", "ALLOW_CONNECTIONS true"),
    ],
    ids=["a standby", "closed"],
)
async def test_a_server_that_cannot_do_it_is_unavailable(
    api: Api, db: Connection, databases: Databases, statement: str, undo: str
) -> None:
    """What a caller finds during a failover: a standby that only reads, or a server that lets nobody in."""
    name = await db.fetchval("SELECT current_database()")
    async with on_a_wire(api) as (other, wire):
        send = await MUTATIONS["create"].prepare(other)
        await wire.cut()
        databases.execute(f"ALTER DATABASE {name} {statement}")
        try:
            await wire.mend()
            response = await send()
        finally:
            databases.execute(f"ALTER DATABASE {name} {undo}")
        problem(response, 503, "database-unavailable")
        assert int(response.headers["Retry-After"]) >= 1
        await wire.cut()  # the connections that were made meanwhile
        await wire.mend()
        assert (await until_it_answers(send)).status_code == 201
