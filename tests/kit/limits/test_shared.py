"""The buckets in Redis: one script, whatever is there, and nothing to wait for when it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.config import Config
from app.kit.limits.local import LocalBuckets
from app.kit.limits.rate import SECOND, Rate
from app.kit.limits.shared import PREFIX, SharedBuckets, key_of
from app.kit.redis_client import open_redis
from tests.guarantees.proxy import Wire
from tests.world import SteppableClock

pytestmark = pytest.mark.anyio

RATE = Rate.of("any", per_second=0.01, burst=3)  # so slow that a test is over before a token comes
INTERVAL = RATE.interval
WHO = ("acme", "anna")
CONFIG = Config(redis_timeout_seconds=5.0)  # busy machines take longer than a caller should wait
HASTY = Config(redis_timeout_seconds=0.3)


@pytest.fixture
async def redis(valkey_socket: Path) -> AsyncIterator[Redis]:
    async with open_redis(f"unix://{valkey_socket}", config=CONFIG) as client:
        await client.flushall()
        yield client


@pytest.fixture
def clock() -> SteppableClock:
    return SteppableClock()


def shared(redis: Redis, clock: SteppableClock, rate: Rate = RATE, config: Config = CONFIG) -> SharedBuckets:
    return SharedBuckets(redis, rate, ticks=clock.ticks, timeout_seconds=config.redis_timeout_seconds)


async def pass_time(redis: Redis, seconds: float) -> None:
    """Let every bucket be filled for so long, as if Redis' clock had gone on."""
    for key in await redis.keys(f"{PREFIX}*"):
        await redis.set(key, int(await redis.get(key)) - int(seconds * 1_000_000), keepttl=True)


async def taken(buckets: SharedBuckets, who: Any = WHO) -> int:
    """How many tokens are left after taking one; -1 when there was none."""
    spare = await buckets.take(who)
    assert spare is not None
    return spare // INTERVAL


async def test_it_gives_what_the_buckets_of_one_worker_give(redis: Redis, clock: SteppableClock) -> None:
    buckets, local = shared(redis, clock), LocalBuckets(RATE, ticks=clock.ticks)
    for pause in (0, 0, 0, 0, 100, 0, 250, 0, 0, 1_000, 0, 0, 0, 0):
        await pass_time(redis, pause)
        clock.step(pause)

        spare = await buckets.take(WHO)

        assert spare is not None
        # Redis' clock goes on by itself meanwhile.
        assert spare == pytest.approx(local.take(WHO), abs=5 * SECOND)


async def test_every_worker_takes_from_the_same_bucket(redis: Redis, clock: SteppableClock) -> None:
    one, other = shared(redis, clock), shared(redis, clock)

    assert [await taken(one), await taken(other), await taken(one)] == [2, 1, 0]
    assert await taken(other) == await taken(one) == -1
    assert await taken(other, ("acme", "bob")) == 2


async def test_of_many_at_once_no_more_pass_than_there_are_tokens(redis: Redis, clock: SteppableClock) -> None:
    buckets = shared(redis, clock)

    left = await asyncio.gather(*(taken(buckets) for _ in range(20)))

    assert sorted(left) == [-1] * 17 + [0, 1, 2]


async def test_a_key_expires_when_its_bucket_is_full(redis: Redis, clock: SteppableClock) -> None:
    await shared(redis, clock).take(WHO)

    assert INTERVAL - 5 * SECOND < await redis.pttl(key_of(RATE, WHO)) * 1_000_000 <= INTERVAL


async def test_a_key_holds_nothing_of_who_asks(redis: Redis, clock: SteppableClock) -> None:
    for who in (WHO, ("acme", "x" * 10_000), ("a b\r\n*1\r\n", "{tag}"), (None, "\x00")):
        await shared(redis, clock).take(who)

    keys = [key.decode() for key in await redis.keys("*")]
    assert len(keys) == 4
    for key in keys:
        assert key.startswith(PREFIX)
        assert len(key) == len(PREFIX) + 32
        assert int(key.removeprefix(PREFIX), 16)


def test_no_two_have_one_key() -> None:
    parts = ["", "a", "b", "ab", "a/b", "a:b", "None", "\x00", "a\x00", "\u00e9", "e\u0301"]
    names = [*parts, None]
    every = [(tenant, id_) for tenant in names for id_ in parts]

    keys = {key_of(RATE, who) for who in every}

    assert len(keys) == len(every)
    assert key_of(Rate.of("other", per_second=1, burst=1), every[0]) not in keys


@pytest.mark.parametrize("junk", [b"", b"x", b"-1", b"0", b"inf", b"nan", b"1e300", b"9007199254740993", b"\xff"])
async def test_what_we_did_not_write_counts_as_a_full_bucket(redis: Redis, clock: SteppableClock, junk: bytes) -> None:
    await redis.set(key_of(RATE, WHO), junk)

    assert [await taken(shared(redis, clock)) for _ in range(4)] == [2, 1, 0, -1]


async def test_a_thing_of_another_type_is_written_over(redis: Redis, clock: SteppableClock) -> None:
    await redis.rpush(key_of(RATE, WHO), "a", "b")

    assert [await taken(shared(redis, clock)) for _ in range(4)] == [2, 1, 0, -1]


async def test_it_takes_one_round_trip_and_survives_a_script_flush(redis: Redis, clock: SteppableClock) -> None:
    buckets = shared(redis, clock, Rate.of("any", per_second=1, burst=100))
    await buckets.take(WHO)
    await redis.config_resetstat()

    for _ in range(5):
        assert await buckets.take(WHO) is not None

    stats = await redis.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 5
    assert not [name for name in stats if name.startswith(("cmdstat_script", "cmdstat_eval|", "cmdstat_client"))]
    await redis.script_flush()
    assert await buckets.take(WHO) is not None
    assert buckets.failures == 0


@asynccontextmanager
async def on_a_wire(socket_path: Path, clock: SteppableClock) -> AsyncIterator[tuple[SharedBuckets, Wire]]:
    wire = Wire(socket_path)
    await wire.mend()
    async with open_redis(f"redis://127.0.0.1:{wire.port}", config=HASTY) as client:
        yield shared(client, clock, config=HASTY), wire
    wire.silence()
    await wire.cut()


@pytest.mark.parametrize("fault", ["cut", "silent"])
async def test_without_redis_nobody_waits_and_it_is_tried_again_after_a_second(
    redis: Redis, valkey_socket: Path, clock: SteppableClock, fault: str
) -> None:
    async with on_a_wire(valkey_socket, clock) as (buckets, wire):
        assert await taken(buckets) == 2
        assert buckets.last_error is None
        if fault == "cut":
            await wire.cut()
        else:
            wire.silence()

        began = time.monotonic()
        assert [await buckets.take(WHO) for _ in range(1_000)] == [None] * 1_000
        assert time.monotonic() - began < 20 * HASTY.redis_timeout_seconds
        assert buckets.failures == 1
        assert isinstance(buckets.last_error, RedisError | TimeoutError)

        clock.step(1)
        assert await asyncio.gather(*(buckets.take(WHO) for _ in range(10))) == [None] * 10
        assert buckets.failures == 2, "one of them tried it"

        await wire.mend()
        clock.step(1)
        assert await buckets.take(WHO) is not None
        assert buckets.last_error is None


async def test_a_redis_that_runs_no_scripts_is_as_good_as_none(redis: Redis, clock: SteppableClock) -> None:
    await redis.execute_command("ACL", "SETUSER", "default", "-eval", "-evalsha")
    try:
        assert await shared(redis, clock).take(WHO) is None
    finally:
        await redis.execute_command("ACL", "SETUSER", "default", "+@all")
