"""
A20 of the abuse catalogue: keys that collide, and values planted in Redis. A worker without memory of its own answers,
so that each read wants Redis. What else can be done to Redis is in tests/guarantees/test_g9.py.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.domain.scope import Level, Scope
from app.settings.cache.codec import Codec
from tests.guarantees.workers import another, counters, until_true
from tests.valkey import Valkey
from tests.world import Api, make

pytestmark = pytest.mark.anyio

# What would run into each other if parts were joined by a separator, folded to one case, or normalised.
HOSTILE = [
    *(
        "a:b",
        "a|b",
        "a/b",
        "a\\b",
        "a b",
        "a,b",
        "a{b}",
        "{globex}",
        "a}:{b",
        "a\u00a0b",
        "acme/USER/x",
        "*",
        "?",
        "[a]",
    ),
    *("K", "\u212a", "k", "\u00e9", "e\u0301", "\ufb01", "fi", "\uff21", "A", "\u0430", "a", "x" * 200, "x" * 199),
]


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    """Redis as whoever got hold of it sees it."""
    client = Redis.from_url(valkey.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def worker(api: Api, redis: Redis) -> AsyncIterator[Api]:
    """A worker that remembers nothing itself."""
    del redis
    async with another(api, l1_bytes=0) as worker:
        yield worker


def test_a20_no_two_scopes_have_one_key() -> None:
    codec = Codec(b"secret")
    scopes = [
        Scope(level, tenant, scope_id)
        for tenant in ("acme", "globex", "a", "a.b")
        for level in (Level.ACCOUNT, Level.USER)
        for scope_id in HOSTILE
    ]

    names = [codec.name(scope) for scope in scopes]

    assert len(set(names)) == len(scopes)
    assert max(map(len, names)) < 50, "long ids make no long keys"


async def test_a20_what_is_set_at_hostile_ids_stays_where_it_was_set(worker: Api) -> None:
    for client, tenant in ((worker.admin, "acme"), (worker.globex, "globex")):
        for scope_id in HOSTILE:
            await make(client, "any.thing", f"{tenant} {scope_id}", "USER", scope_id)

    for _ in range(2):  # once from PostgreSQL, once from Redis
        for client, tenant in ((worker.admin, "acme"), (worker.globex, "globex")):
            for scope_id in HOSTILE:
                answer = await client.get("/api/settings/resolve/any.thing", params={"userId": scope_id})
                assert answer.json()["value"] == f"{tenant} {scope_id}"


async def test_a20_what_is_planted_is_answered_to_nobody(worker: Api, redis: Redis) -> None:
    """Every entry under every other name, with a newer position written over, and edited."""
    for client, value in ((worker.admin, "acme's"), (worker.globex, "globex's")):
        await make(client, "any.thing", value)
    ask = "/api/settings/resolve/any.thing"
    for client in (worker.admin, worker.globex):
        await client.get(ask)
    await until_true(lambda: counters(worker).l2_writes >= 2)
    sealed = {name: await redis.get(name) for name in await redis.keys("setpoint:*{*")}
    assert len(sealed) >= 2

    for name, (other, entry) in itertools.product(sealed, sealed.items()):
        assert isinstance(entry, bytes)
        forged = [entry, b"9" * 20 + entry[20:], entry.replace(b"globex's", b"evil's!!").replace(b"acme's", b"evil's")]
        for planted in forged if name != other else forged[1:]:
            await redis.set(name, planted)
            assert (await worker.admin.get(ask)).json()["value"] == "acme's"
            assert (await worker.globex.get(ask)).json()["value"] == "globex's"
    assert counters(worker).l2_junk > 0
