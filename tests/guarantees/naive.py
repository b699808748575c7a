"""
The cache protocol as somebody might write it: each variant takes one reason away, for tests that must fail then.

Nothing of this is a switch in the product. docs/decisions/0014-cache-protocol.md lists which test each one breaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from app.domain.access import EVERYWHERE
from app.domain.event import Feed
from app.domain.position import Position
from app.domain.scope import Scope
from app.kit.database import Connection, Database
from app.log import tailer
from app.log.read import Event, Page
from app.log.tailer import Tailer
from app.log.trail import mark_of
from app.settings.cache import store
from app.settings.cache.cache import Cache
from app.settings.cache.entry import Entry, Stamped
from app.settings.cache.shared import Shared

_HEAD = """
SELECT h.position, (SELECT e.id FROM event e WHERE e.feed = 1 AND e.position = h.position) AS id
FROM feed_head h WHERE h.feed = 1"""


def head_after_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry's position is asked for after its rows: it claims to be newer than it is."""
    entries = store.entries

    async def stamped_later(connection: Connection, scopes: Sequence[Scope]) -> dict[str, Entry]:
        found = await entries(connection, scopes)
        await asyncio.sleep(0.002)
        await connection.execute("SELECT set_config('setpoint.reach', '*', false)")
        row: Any = await connection.fetchrow(_HEAD)
        await connection.execute("SELECT set_config('setpoint.reach', '', false)")
        for entry in found.values():
            entry.position = entry.good = Position(row["position"])
            entry.mark = mark_of(row["id"])
        return found

    monkeypatch.setattr(store, "entries", stamped_later)


def never_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is answered with, whatever happened since."""

    def holds(self: Cache, subject: str, thing: Stamped) -> bool:
        del self, subject, thing
        return True

    monkeypatch.setattr(Cache, "_holds", holds)
    monkeypatch.setattr(Cache, "_changed", lambda *_: None)


def doorbell_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks without having been rung: what is known counts as fresh for ever."""
    monkeypatch.setattr(tailer, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(Tailer, "fresh", property(lambda _: True))


def cursor_of_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """`id > cursor`: events are read in order of their ids, which are made before it is decided who commits first."""

    async def after_the_last_id(
        database: Database,
        feed: Feed,
        after: Position,
        *,
        limit: int,
        read: dict[int, list[Event]] = {},  # noqa: B006
    ) -> Page:
        so_far = read.setdefault(id(database), [])
        last = so_far[-1].id if so_far else UUID(int=0)
        async with database.moment(EVERYWHERE) as connection:
            rows = await connection.fetch(
                "SELECT id, type, tenant, aggregate_id, payload FROM event WHERE feed = $1 AND id > $2 ORDER BY id",
                feed.value,
                last,
            )
        so_far += [Event(position=Position(len(so_far) + place), **row) for place, row in enumerate(rows, start=1)]
        return Page(head=Position(len(so_far)), events=so_far[after : after + limit])

    monkeypatch.setattr(tailer, "events_after", after_the_last_id)


def set_on_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes last writes last, however old what it has read."""

    async def plain_set(self: Shared, name: str, sealed: bytes, ttl: int) -> int:
        await self._redis.set(name, sealed, ex=ttl)
        return 1

    monkeypatch.setattr(Shared, "_eval", plain_set)


def monotonic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Age by a clock that stands still while the process does."""
    monkeypatch.setattr(Tailer, "age", property(lambda _: 0.0))
    monkeypatch.setattr(Tailer, "fresh", property(lambda it: it._proven_at > it._needed_from))
