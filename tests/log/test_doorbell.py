"""Every change rings the doorbell when it is committed, and only then."""

from __future__ import annotations

import asyncio

import pytest

from app.kit.database import Connection
from app.log.append import CHANNEL
from tests.world import Api, make, match

pytestmark = pytest.mark.anyio

LIMIT = 5.0  # seconds for a notification to arrive; it takes a millisecond


async def test_a_change_rings_with_the_number_of_its_feed(api: Api, db: Connection) -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()
    await db.add_listener(CHANNEL, lambda *said: heard.put_nowait(said[-1]))

    made = await make(api.admin, "any.thing", 1)
    first = await asyncio.wait_for(heard.get(), LIMIT)
    await api.admin.delete(f"/api/settings/{made['id']}", headers=match(made))
    second = await asyncio.wait_for(heard.get(), LIMIT)

    assert first == second == "1"


async def test_what_changes_nothing_does_not_ring(api: Api, db: Connection) -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()
    await db.add_listener(CHANNEL, lambda *said: heard.put_nowait(said[-1]))
    operation = {"op": "set", "scope": "TENANT", "key": "any.thing", "value": 1}

    tried = await api.admin.post("/api/settings/batch", json={"operations": [operation], "dryRun": True})
    refused = await api.admin.post("/api/settings", json={"scope": "TENANT", "key": "no.such.key", "value": 1})
    await db.execute("SELECT pg_notify($1, 'last')", CHANNEL)

    assert (tried.status_code, refused.status_code) == (200, 422)
    assert await asyncio.wait_for(heard.get(), LIMIT) == "last"
