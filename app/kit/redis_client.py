"""
Redis over redis-py, with every default that waits turned off.

Left alone, redis-py 8 waits 5 s and tries eleven times: a hung Redis would cost a request the better part of a
minute. Here a call has one short deadline and no retry; whoever calls has PostgreSQL to fall back on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry  # the asyncio one: redis.retry.Retry is accepted here and silently disables it
from redis.backoff import NoBackoff

from app.config import Config


@asynccontextmanager
async def open_redis(url: str, *, config: Config) -> AsyncIterator[Redis]:
    """A client that is closed when the block ends. Nothing is connected before the first call."""
    client = Redis.from_url(
        url,
        socket_timeout=config.redis_timeout_seconds,
        socket_connect_timeout=config.redis_timeout_seconds,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        yield client
    finally:
        await client.aclose()
