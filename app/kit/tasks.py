"""Tasks that have an owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from app.kit.logs import get_logger

AGAIN_SECONDS = 0.1  # between two cancellations of one task

_log = get_logger()


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something beside the block, and end it with the block. That it ends by itself is a fault, and is logged."""
    task = asyncio.create_task(work)
    task.add_done_callback(_report)
    try:
        yield
    finally:
        await end([task])


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """
    Cancel tasks, and wait until they have ended.

    More than once, if need be: before Python 3.12 `asyncio.wait_for`, which redis-py uses, swallows a cancellation that
    comes together with what it waits for.
    """
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=AGAIN_SECONDS)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("task-ended", task=task.get_coro().__qualname__, error=repr(error)[:500])  # type: ignore[union-attr]
