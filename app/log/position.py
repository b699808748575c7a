"""Reading no earlier than a position that the caller has seen."""

from __future__ import annotations

from app.domain.errors import PositionNotReached
from app.domain.position import Position
from app.kit.database import Connection
from app.log.append import SETTINGS_POSITION
from app.log.tailer import Tailer

_HEAD = f"SELECT {SETTINGS_POSITION} AS position"


async def current_position(connection: Connection) -> Position:
    """Where the registry stands, as this connection sees it."""
    return Position(await connection.fetchval(_HEAD))


async def reached(minimum: Position, *, tailer: Tailer, wait_seconds: float) -> None:
    """
    Wait until the registry has reached a position, and this worker knows of it.

    What is read afterwards, from PostgreSQL or from a copy that holds at the tailer's head, is of that position or a
    later one, and so is the news that something is not there.

    Raises PositionNotReached after the wait: an answer from before it would be worse than none. Cost: nothing for a
    position that is known.
    """
    if minimum <= tailer.head or await tailer.reach(minimum, within_seconds=wait_seconds):
        return
    await tailer.look()  # the last word is PostgreSQL's
    if tailer.head < minimum:
        raise PositionNotReached(f"The registry stands at position {tailer.head}, before {minimum}.")
