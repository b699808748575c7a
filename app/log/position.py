"""Reading no earlier than a position that the caller has seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from app.domain.errors import PositionNotReached
from app.domain.position import Position

STEP_SECONDS = 0.025  # how often a read that is too early looks again


class _Positioned(Protocol):
    @property
    def position(self) -> Position: ...


T = TypeVar("T", bound=_Positioned)


async def not_before(minimum: Position, read: Callable[[], Awaitable[T]], *, wait_seconds: float) -> T:
    """
    What `read` gives, as soon as it is of the named position or a later one.

    Reads come from PostgreSQL itself, so the wait only matters when the position is one that this database has not
    seen. Raises PositionNotReached after the wait: an answer from before it would be worse than none.
    """
    result = await read()
    waited = 0.0
    while result.position < minimum:
        if waited >= wait_seconds:
            raise PositionNotReached(f"The registry stands at position {result.position}, before {minimum}.")
        await asyncio.sleep(STEP_SECONDS)
        waited += STEP_SECONDS
        result = await read()
    return result
