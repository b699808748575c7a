"""How long and how slowly a body may arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.domain.errors import Malformed
from app.kit import asgi
from app.kit.body import GRACE, MIN_RATE, read_body, time_for
from app.kit.problems import RequestTimeout, TooLarge

pytestmark = pytest.mark.anyio


def arriving(*chunks: bytes, ends: bool = True) -> asgi.Receive:
    """These chunks at once; then the end, or nothing any more."""
    waiting = list(chunks)

    async def receive() -> asgi.Message:
        if not waiting and not ends:
            await asyncio.Event().wait()
        return {
            "type": "http.request",
            "body": waiting.pop(0) if waiting else b"",
            "more_body": bool(waiting) or not ends,
        }

    return receive


async def read(receive: asgi.Receive, *, max_bytes: int = 10, timeout_seconds: float = 5) -> bytes:
    return await read_body(receive, max_bytes=max_bytes, timeout_seconds=timeout_seconds)


@pytest.mark.parametrize("chunks", [[], [b""], [b"1234567890"], [b"12345", b"", b"67890"], [b"1"] * 10])
async def test_a_body_is_its_chunks(chunks: Sequence[bytes]) -> None:
    assert await read(arriving(*chunks)) == b"".join(chunks)


@pytest.mark.parametrize("chunks", [[b"12345678901"], [b"12345", b"678901"], [b"1"] * 11])
async def test_a_byte_more_than_allowed_is_too_large(chunks: Sequence[bytes]) -> None:
    with pytest.raises(TooLarge):
        await read(arriving(*chunks))


async def test_what_is_too_large_is_not_read_to_the_end() -> None:
    with pytest.raises(TooLarge):
        await read(arriving(b"1" * 11, ends=False))


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    with pytest.raises(RequestTimeout, match="2 bytes"):
        await read(arriving(b"12", ends=False), timeout_seconds=0.01)


async def test_a_body_that_breaks_off_is_none() -> None:
    async def receive() -> asgi.Message:
        return {"type": "http.disconnect"}

    with pytest.raises(Malformed, match="breaks off"):
        await read(receive)


async def test_who_stops_waiting_is_not_told_that_the_body_is_late() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await read(arriving(ends=False))


def test_who_sends_slowly_has_less_time() -> None:
    assert time_for(0, 60) == GRACE
    assert time_for(10 * MIN_RATE, 60) == GRACE + 10
    assert time_for(1_000 * MIN_RATE, 60) == 60
    assert time_for(0, 1) == 1
