"""
The buckets that all workers share, in Redis: one script, one round trip, and Redis' own clock for everybody.

Redis is disposable. While it does not answer in time, `take` gives None and the caller's own buckets decide; it is then
left alone for a second before one request tries it again, so that a hung Redis costs a worker one deadline a second. A
key holds neither names nor addresses: only a digest, of parts that cannot run into each other. What a key holds that we
did not write counts as a full bucket and is written over.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Hashable
from typing import cast

import msgspec
from redis.exceptions import RedisError

from app.kit.clock import Ticks
from app.kit.limits.rate import SECOND, Rate
from app.kit.logs import get_logger
from app.kit.redis_client import RedisClient

PREFIX = "setpoint:limit:1:"  # 1 is the version of what is kept under it
PAUSE = SECOND  # nanoseconds; how long Redis is left alone after it did not answer

# As in rate.py, in microseconds: Lua's numbers are exact up to 2^53, which is the year 2255.
_TAKE = """
local interval, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = redis.pcall('GET', KEYS[1])
local full_at = type(held) == 'string' and tonumber(held) or now
if not (full_at > now and full_at <= now + window) then full_at = now end
local after = full_at + interval
local spare = now + window - after
if spare >= 0 then
    redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
end
return math.floor(spare)
"""

_log = get_logger()


class SharedBuckets:
    """
    Buckets of one rate in Redis.

    `failures` counts the calls that it did not answer; `last_error` is what came of the last one, None when it did.
    """

    def __init__(self, redis: RedisClient, rate: Rate, *, ticks: Ticks, timeout_seconds: float) -> None:
        self._rate = rate
        self._ticks = ticks
        self._timeout = timeout_seconds
        self._take = redis.register_script(_TAKE)  # by EVALSHA; sends the text once more where it is not known
        self._arguments = [rate.interval / 1_000, rate.window / 1_000]
        self._paused_until = 0
        self.last_error: Exception | None = None
        self.failures = 0

    async def take(self, who: Hashable) -> int | None:
        """What is spare after taking one token, as of LocalBuckets; None while Redis does not answer."""
        now = self._ticks()
        if self.last_error is not None and now < self._paused_until:
            return None
        self._paused_until = now + PAUSE  # while it is being tried after an error, nobody else does
        try:
            async with asyncio.timeout(self._timeout):
                spare = cast(int, await self._take(keys=[key_of(self._rate, who)], args=self._arguments))
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
            return None
        self._answered()
        return spare * 1_000

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if self.last_error is None:
            _log.warning("limits-not-shared", limit=self._rate.name, error=type(error).__name__)
        self.last_error = error

    def _answered(self) -> None:
        if self.last_error is not None:
            _log.warning("limits-shared-again", limit=self._rate.name)
        self.last_error = None


def key_of(rate: Rate, who: Hashable) -> str:
    """Where a bucket is in Redis."""
    digest = hashlib.blake2b(msgspec.msgpack.encode((rate.name, who)), digest_size=16)
    return PREFIX + digest.hexdigest()
