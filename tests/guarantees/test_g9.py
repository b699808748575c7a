"""
G9: Redis is disposable. Whatever is done to it, the answers are the same, none is an error, it is used again as soon as
it can be, and what happened can be seen. The worker under test holds nothing itself, so that each read wants Redis.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from app.domain.position import Position
from app.domain.scope import Level, Scope
from app.settings.cache import store
from app.settings.cache.cache import Cache
from tests.guarantees import naive
from tests.guarantees.workers import another, counters, until_true
from tests.valkey import Valkey
from tests.world import DE_CONTEXT, Api, make

pytestmark = pytest.mark.anyio

LIMIT = 10.0  # seconds to notice and to recover; it takes a few tenths of one
CHAIN = 6  # scopes of DE_CONTEXT below GLOBAL
SCOPES = [
    Scope(Level.TENANT, "acme", "acme"),
    Scope(Level.TERRITORY, "acme", "DE"),
    Scope(Level.ACCOUNT, "acme", "adler"),
    Scope(Level.CONTACT_ROLE, "acme", "BUYER"),
    Scope(Level.CONTACT, "acme", "kern"),
    Scope(Level.USER, "acme", "alice"),
]


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    """What an operator would type."""
    client = Redis.from_url(valkey.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def worker(api: Api, redis: Redis) -> AsyncIterator[Api]:
    """A worker without memory of its own, whose entries are in Redis."""
    del redis
    await make(api.admin, "ui.theme", "dark", "USER", "alice")
    async with another(api, l1_bytes=0) as worker:
        await right(worker)
        await until_true(lambda: counters(worker).l2_writes >= CHAIN)
        yield worker


async def right(worker: Api) -> None:
    """A read is answered, and rightly."""
    response = await worker.alice.get("/api/settings/effective", params=DE_CONTEXT)
    assert response.status_code == 200, response.text
    assert response.json()["values"]["ui.theme"] == "dark"
    assert "Setpoint-Stale" not in response.headers


async def hit(worker: Api) -> bool:
    """Whether a read needed nothing of PostgreSQL."""
    before = counters(worker).fills
    await right(worker)
    return counters(worker).fills == before


async def recovered(worker: Api) -> None:
    """Redis is used again, without anybody's doing."""
    async with asyncio.timeout(LIMIT):
        while not await hit(worker):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def name(worker: Api, scope: Scope) -> str:
    shared = worker.registry.hot.shared
    assert shared is not None
    return shared._codec.name(scope)


async def test_a_read_needs_nothing_of_postgresql_when_redis_has_it(worker: Api) -> None:
    assert await hit(worker)
    assert counters(worker).l2_hits >= CHAIN


async def test_flushed_in_the_middle_of_it_all(worker: Api, redis: Redis) -> None:
    for _ in range(10):
        reads = [asyncio.create_task(right(worker)) for _ in range(20)]
        await redis.flushall()
        await asyncio.gather(*reads)

    await recovered(worker)
    assert counters(worker).evicted > 0


async def test_many_who_miss_together_ask_postgresql_once(worker: Api, redis: Redis) -> None:
    await redis.flushall()
    before = counters(worker).fills

    await asyncio.gather(*(right(worker) for _ in range(50)))

    assert counters(worker).fills - before == CHAIN


async def test_hung(worker: Api, valkey: Valkey) -> None:
    shared = worker.registry.hot.shared
    assert shared is not None
    with valkey.paused():
        async with asyncio.timeout(LIMIT):
            while not shared.breaker.is_open:
                await right(worker)
        errors = counters(worker).l2_errors
        for _ in range(20):
            await right(worker)
        assert counters(worker).l2_skipped >= CHAIN * 20, "who is not asked cannot keep anybody waiting"
        assert counters(worker).redis_error > 0
        health = (await worker.anonymous.get("/api/health")).json()
        assert health["parts"]["redis"]["state"] == "down"
        assert health["state"] == "degraded"
        assert (await worker.anonymous.get("/api/health/ready")).status_code == 200
        assert errors < 50

    await recovered(worker)
    assert not shared.breaker.is_open
    assert (await worker.anonymous.get("/api/health")).json()["parts"]["redis"]["state"] == "up"


async def test_killed_and_started_empty(worker: Api, valkey: Valkey) -> None:
    valkey.kill()
    try:
        for _ in range(20):
            await right(worker)
        shared = worker.registry.hot.shared
        assert shared is not None
        assert shared.breaker.is_open
    finally:
        valkey.start()

    await recovered(worker)


def _turned(sealed: bytes) -> bytes:
    return sealed[:50] + bytes([sealed[50] ^ 1]) + sealed[51:]


JUNK: dict[str, Callable[[bytes], bytes]] = {
    "noise": lambda sealed: random.Random(1).randbytes(len(sealed)),
    "nothing": lambda _: b"",
    "cut short": lambda sealed: sealed[:-1],
    "a bit turned": _turned,
    "a high position": lambda sealed: b"9" * 20 + sealed[20:],
    "another position": lambda sealed: b"%020d" % (int(sealed[:20]) + 1) + sealed[20:],
}


@pytest.mark.parametrize("junk", JUNK)
async def test_holding_junk(worker: Api, redis: Redis, junk: str) -> None:
    for scope in SCOPES:
        sealed = await redis.get(name(worker, scope))
        assert isinstance(sealed, bytes)
        await redis.set(name(worker, scope), JUNK[junk](sealed))

    await right(worker)

    assert counters(worker).l2_junk == CHAIN
    await recovered(worker)


async def test_holding_things_of_another_type(worker: Api, redis: Redis) -> None:
    for scope in SCOPES:
        await redis.delete(name(worker, scope))
        await redis.lpush(name(worker, scope), "a")  # type: ignore[misc]

    await right(worker)

    await recovered(worker)


async def test_holding_the_entries_of_other_scopes(worker: Api, redis: Redis) -> None:
    """Somebody copies what is under one name to another."""
    entries = {scope: await redis.get(name(worker, scope)) for scope in SCOPES}
    for scope, other in zip(SCOPES, SCOPES[1:] + SCOPES[:1], strict=True):
        moved = entries[other]
        assert isinstance(moved, bytes)
        await redis.set(name(worker, scope), moved)

    await right(worker)

    assert counters(worker).l2_junk == CHAIN


async def test_full(worker: Api, redis: Redis) -> None:
    """It refuses whatever is written, and goes on giving what it has."""
    await redis.config_set("maxmemory", "1")
    try:
        await redis.delete(name(worker, SCOPES[0]))
        for _ in range(10):
            await right(worker)
        assert counters(worker).l2_errors > 0
        shared = worker.registry.hot.shared
        assert shared is not None
        assert not shared.breaker.is_open
    finally:
        await redis.config_set("maxmemory", "0")

    await recovered(worker)


async def test_nothing_of_the_users_is_in_the_names(worker: Api, redis: Redis) -> None:
    del worker
    names = [one.decode() for one in await redis.keys("*")]

    assert len(names) == CHAIN
    assert not [one for one in names if "alice" in one or "adler" in one or "kern" in one]


async def test_entries_do_not_stay_for_ever_and_do_not_go_together(worker: Api, redis: Redis) -> None:
    ttls = [await redis.ttl(name(worker, scope)) for scope in SCOPES]

    wanted = worker.config.redis_ttl_seconds
    assert all(0.85 * wanted <= ttl <= 1.15 * wanted for ttl in ttls)
    assert len(set(ttls)) > 1


# ---- A slow worker does not put an old entry over a new one ----


async def sent(worker: Api, redis: Redis) -> None:
    """Everything that waited has been written: what is put last is there, and things are written in order."""
    shared = worker.registry.hot.shared
    assert shared is not None
    last = Scope(Level.USER, "acme", "last")
    await redis.delete(name(worker, last))
    async with worker.registry.database.connection() as connection:
        shared.put(last, (await store.entries(connection, [last]))[last.path])
    async with asyncio.timeout(LIMIT):
        while not await redis.exists(name(worker, last)):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def misses_after_a_slow_fill(api: Api, worker: Api, redis: Redis) -> int:
    """
    How many entries the next reader has to fetch from PostgreSQL, after one worker has read alice's scope, another has
    read it again after a change, and only then the first one writes.
    """
    shared = worker.registry.hot.shared
    assert shared is not None
    alice = SCOPES[-1]
    async with worker.registry.database.connection() as connection:
        old = (await store.entries(connection, [alice]))[alice.path]
    await make(api.admin, "ui.density", 7, "USER", "alice")
    await right(worker)
    await sent(worker, redis)

    shared.put(alice, old)
    await sent(worker, redis)

    async with another(api, l1_bytes=0) as reader:
        await right(reader)
        return counters(reader).fills - 1  # GLOBAL is read by each worker itself


async def test_an_old_entry_does_not_replace_a_newer_one(api: Api, worker: Api, redis: Redis) -> None:
    assert await misses_after_a_slow_fill(api, worker, redis) == 0
    assert counters(worker).l2_outdated_writes >= 1


async def test_the_check_finds_that_whoever_comes_last_wins(
    api: Api, worker: Api, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    naive.set_on_fill(monkeypatch)

    assert await misses_after_a_slow_fill(api, worker, redis) == 1


async def test_the_check_finds_that_what_redis_gives_is_believed(
    api: Api, worker: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry of before the last change, written by somebody who has the secret."""
    shared = worker.registry.hot.shared
    assert shared is not None
    alice = SCOPES[-1]
    async with worker.registry.database.connection() as connection:
        old = (await store.entries(connection, [alice]))[alice.path]
    values: dict[str, Any] = {key: value for key, value in old.values.items() if key != "ui.theme"}
    forged = msgspec.structs.replace(old, values=values, position=Position(old.position - 1))
    client = shared._redis
    await client.set(name(worker, alice), shared._codec.seal(name(worker, alice), forged))
    await right(worker)  # the scope has changed at the position after it

    await client.set(name(worker, alice), shared._codec.seal(name(worker, alice), forged))
    monkeypatch.setattr(Cache, "_judge", _believing)
    monkeypatch.setattr(type(worker.registry.hot.tailer.trail), "last_change", lambda *_: Position(0))
    with pytest.raises(AssertionError):
        await right(worker)


async def _believing(self: Cache, things: Any, got: Any) -> None:
    for thing in things:
        self._keep(thing, got)
