"""
The cache protocol as somebody might write it: each variant takes one reason away, for tests that must fail then.

Nothing of this is a switch in the product. docs/decisions/0014-cache-protocol.md lists which test each one breaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from app.domain.position import Position
from app.domain.scope import Scope
from app.kit.database import Connection
from app.log.trail import mark_of
from app.settings.cache import store
from app.settings.cache.cache import Cache
from app.settings.cache.entry import Entry, Stamped

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
