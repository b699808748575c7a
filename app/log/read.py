"""Reading a feed after a position."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from app.domain.access import EVERYWHERE
from app.domain.event import Feed
from app.domain.position import Position
from app.kit.database import Database

# A function of the database, which sets the reach and reads in one round trip
# (migrations/versions/setpoint_2026_11_24t21_50_00_000000.py). Index: the primary key of each partition.
_EVENTS_AFTER = "SELECT * FROM events_after($1, $2::smallint, $3, $4)"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it is stored."""

    position: Position
    id: UUID
    type: str
    tenant: str | None
    aggregate_id: str
    payload: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Events in order of their positions, and where the feed stood when they were read."""

    head: Position
    events: list[Event]


async def events_after(database: Database, feed: Feed, after: Position, *, limit: int) -> Page:
    """
    The next events of all tenants. Cost: one round trip.

    This is the one place that reads everybody's events whoever asks: what follows a feed for the sake of a whole
    worker (app/log/tailer.py) has no caller. Whoever shows events to callers has to read them within their reach.
    """
    row: Any = await database.fetchrow(_EVENTS_AFTER, EVERYWHERE, feed.value, after, limit)
    columns = (row[f"events_{name}"] or () for name in ("position", "id", "type", "tenant", "aggregate_id", "payload"))
    events = [
        Event(position=Position(at), id=event_id, type=kind, tenant=tenant, aggregate_id=aggregate_id, payload=payload)
        for at, event_id, kind, tenant, aggregate_id, payload in zip(*columns, strict=True)
    ]
    return Page(head=Position(row["feed_position"]), events=events)
