"""Reading no earlier than a position that the caller has seen."""

from __future__ import annotations

import asyncio

from app.domain.errors import PositionNotReached
from app.domain.position import Position
from app.kit.database import Connection, Database
from app.log.append import SETTINGS_POSITION

STEP_SECONDS = 0.025  # how often a read that is too early looks again

_HEAD = f"SELECT {SETTINGS_POSITION} AS position"


async def current_position(connection: Connection) -> Position:
    """Where the registry stands, as this connection sees it."""
    return Position(await connection.fetchval(_HEAD))


async def reached(minimum: Position, *, database: Database, wait_seconds: float) -> None:
    """
    Wait until the registry has reached a position.

    What is read from PostgreSQL afterwards is of that position or a later one, and so is the news that something is
    not there; whoever answers from a copy has to compare the copy's own position.

    Raises PositionNotReached after the wait: an answer from before it would be worse than none. Cost: nothing for
    position 0, else a round trip.
    """
    if minimum == 0:
        return
    waited = 0.0
    while (here := (await database.fetchrow(_HEAD))["position"]) < minimum:
        if waited >= wait_seconds:
            raise PositionNotReached(f"The registry stands at position {here}, before {minimum}.")
        await asyncio.sleep(STEP_SECONDS)
        waited += STEP_SECONDS
