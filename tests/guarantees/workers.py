"""Another worker: a second application on the same PostgreSQL and the same Valkey, with a cache of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from app.settings.cache.counters import Counters
from tests.fixtures import running
from tests.world import Api

PATIENCE = 10.0  # seconds for what has no promise of its own; noisy machines take long for little


@asynccontextmanager
async def another(api: Api, **configured: Any) -> AsyncIterator[Api]:
    """Another worker, configured differently if need be: `l1_bytes=0` makes it ask Redis for every read."""
    config = msgspec.structs.replace(api.config, **configured)
    async with running(config, clock=api.clock) as worker:
        yield worker


def counters(api: Api) -> Counters:
    """What the worker's cache has counted."""
    return api.registry.hot.counters


async def flush(api: Api) -> None:
    """Empty Valkey, which otherwise keeps what earlier tests have put there."""
    shared = api.registry.hot.shared
    assert shared is not None
    await shared._redis.flushall()


async def until(
    ask: Callable[[], Awaitable[httpx.Response]], seen: Callable[[httpx.Response], bool], *, within: float = PATIENCE
) -> httpx.Response:
    """The first answer that is as awaited; asked for again and again, for so many seconds."""
    async with asyncio.timeout(within):
        while not seen(response := await ask()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return response


async def until_true(holds: Callable[[], bool], *, within: float = PATIENCE) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
