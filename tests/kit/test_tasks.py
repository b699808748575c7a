"""Tasks end with their owner, also those that do not want to."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from app.kit.tasks import end, running

pytestmark = pytest.mark.anyio

LIMIT = 5.0


async def test_a_task_runs_beside_the_block_and_ends_with_it() -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("ended")

    async with running(work()):
        await asyncio.sleep(0)
        assert seen == ["began"]

    assert seen == ["began", "ended"]


async def test_a_task_that_swallows_a_cancellation_is_told_again() -> None:
    async def deaf_once() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    task = asyncio.create_task(deaf_once())
    await asyncio.sleep(0)

    await asyncio.wait_for(end([task]), LIMIT)

    assert task.cancelled()


async def test_a_task_that_ends_by_itself_is_reported() -> None:
    async def broken() -> None:
        raise ValueError("broken by a test")

    with capture_logs() as logged:
        async with running(broken()):
            await asyncio.sleep(0.01)

    assert [one["event"] for one in logged] == ["task-ended"]
