"""G6 when the lights go out: a node that is killed between a change and its answer has left all of it, or nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.access.audit.verify import verify
from app.kit.database import Connection
from tests.guarantees.node import Node, node
from tests.world import PRINCIPALS

pytestmark = pytest.mark.anyio

WRITERS = 8
ROUNDS = (40, 90)  # answered changes before each kill
LIMIT = 60.0  # seconds for all of one round

# Each event has one record of the audit and one of history, at its position, and there are no others.
UNMATCHED = """
SELECT position, events, audited, remembered FROM (
    SELECT position, count(*) FILTER (WHERE kind = 'event') AS events,
        count(*) FILTER (WHERE kind = 'audit') AS audited, count(*) FILTER (WHERE kind = 'history') AS remembered
    FROM (
        SELECT position, 'event' AS kind FROM event WHERE feed = 1 AND type LIKE 'setting.value-%'
        UNION ALL SELECT (body::json ->> 'position')::bigint, 'audit' FROM audit_record
            WHERE outcome = 'changed' AND body::json ->> 'action' LIKE 'setting.%'
        UNION ALL SELECT position, 'history' FROM setting_history) AS everything
    GROUP BY position) AS places
WHERE (events, audited, remembered) <> (1, 1, 1) ORDER BY position"""
UNLIKE = """
SELECT v.id FROM setting_value v
WHERE v.position <> (SELECT max(h.position) FROM setting_history h WHERE h.setting_id = v.id)"""
STILL_THERE = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = 'setpoint_app' AND pid <> pg_backend_pid()"""


async def write_until_killed(client: httpx.AsyncClient, name: str, answered: list[int], heard: asyncio.Event) -> None:
    """Change one value again and again, each time from what was answered, and keep the position of every answer."""
    place = {"scope": "USER", "scopeId": name, "key": "ui.density"}
    tag, path, value = "", "", 0
    try:
        while True:
            value += 1
            if not path:
                response = await client.post("/api/settings", json={**place, "value": value})
                path = response.headers["Location"]
            else:
                response = await client.put(path, json={"value": value}, headers={"If-Match": tag})
            assert response.status_code in (200, 201), response.text
            tag = response.headers["ETag"]
            answered.append(int(response.headers["Setpoint-Position"]))
            heard.set()
    except httpx.TransportError:
        return


async def killed_while_writing(db: Connection, one: Node, *, after: int) -> list[int]:
    """The positions of the changes that a node answered before it was killed, once nothing of it is left."""
    answered: list[int] = []
    heard = asyncio.Event()
    async with one.client(PRINCIPALS["admin"]) as client, asyncio.timeout(LIMIT):
        writers = [
            asyncio.create_task(write_until_killed(client, f"{after}-{writer}", answered, heard))
            for writer in range(WRITERS)
        ]
        while len(answered) < after:
            heard.clear()
            await heard.wait()
        await asyncio.to_thread(one.kill)
        await asyncio.gather(*writers)
        while await db.fetchval(STILL_THERE):  # what was under way commits or does not
            await db.execute("SELECT pg_stat_clear_snapshot()")
    return answered


async def unmatched(db: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in await db.fetch(UNMATCHED)]


@pytest.fixture
def settings(database_url: str, app_url: str) -> dict[str, str]:
    """Where the node of a test finds the database of the test."""
    return {"DATABASE_URL": app_url, "OWNER_DATABASE_URL": database_url}


async def test_a_node_that_is_killed_leaves_no_change_without_its_record_nor_a_record_without_its_change(
    db: Connection, tmp_path: Path, settings: dict[str, str]
) -> None:
    for after in ROUNDS:
        with node(tmp_path / "data", **settings) as one:
            answered = await killed_while_writing(db, one, after=after)

        assert await unmatched(db) == []
        assert await db.fetch(UNLIKE) == []
        kept = {row["position"] for row in await db.fetch("SELECT position FROM event WHERE feed = 1")}
        assert set(answered) <= kept, "an answered change is there"
        for tenant in ("", "acme", "globex"):
            verdict = await verify(db, tenant)
            assert verdict.broken_at is None, verdict


async def test_the_check_finds_an_audit_that_is_written_after_the_change(
    db: Connection, tmp_path: Path, settings: dict[str, str]
) -> None:
    """The same with the record in a transaction of its own, moments later: the kill comes in between."""
    with node(tmp_path / "data", module="tests.guarantees.late_audit", **settings) as one:
        await killed_while_writing(db, one, after=ROUNDS[0])

    found = await unmatched(db)
    assert found
    assert {(row["events"], row["audited"], row["remembered"]) for row in found} == {(1, 0, 1)}
