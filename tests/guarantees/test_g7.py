"""G7, the part that stands: positions are dense and in commit order, whatever writers abort, when and how."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import asyncpg
import pytest

from app.kit.database import Connection
from app.log import append as log
from tests.guarantees.state import head
from tests.world import Api, place

pytestmark = pytest.mark.anyio

WRITERS = 16
TURNS = 40
SEED = 7
BATCH = "/api/settings/batch"


async def write(api: Api, writer: int, rng: random.Random) -> None:
    """Changes of one writer: some are made, some refused, some rolled back, some abandoned by their client."""
    for turn in range(TURNS):
        operations: list[dict[str, Any]] = [
            {"op": "set", "key": "any.thing", "value": turn, **place("USER", f"w{writer}-{turn}-{number}")}
            for number in range(rng.randint(1, 4))
        ]
        kind = rng.choice(["made", "made", "refused", "dry run", "abandoned", "broken"])
        body: dict[str, Any] = {"operations": operations}
        if kind == "refused":
            operations.append({"op": "set", "key": "ui.theme", "value": "pink", **place("TENANT")})
        if kind == "broken":
            operations[0]["value"] = "break"  # the database fails after the append
        if kind == "dry run":
            body["dryRun"] = True  # appends, and rolls back
        request = asyncio.create_task(api.admin.post(BATCH, json=body))
        if kind == "abandoned":
            await asyncio.sleep(rng.random() * 0.02)  # anywhere in the request, that is the point
            request.cancel()
        answers = await asyncio.gather(request, return_exceptions=True)
        if kind in ("made", "dry run"):
            assert answers[0].status_code == 200, answers[0].text  # type: ignore[union-attr]


async def holes(api: Api, database_url: str, db: Connection) -> list[tuple[int, int]]:
    """Where a follower that reads on from its own position, all the time, found that something was left out."""
    print("seed", SEED)
    await db.execute(
        "CREATE OR REPLACE FUNCTION break_some() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.value::text = '\"break\"' THEN RAISE EXCEPTION 'broken by a test'; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER break_some BEFORE INSERT ON setting_value FOR EACH ROW EXECUTE FUNCTION break_some()"
    )
    found: list[tuple[int, int]] = []
    done = asyncio.Event()
    follower = await asyncpg.connect(database_url)
    last = await head(db)

    async def look() -> int:
        nonlocal last
        rows = await follower.fetch("SELECT position FROM event WHERE feed = 1 AND position > $1 ORDER BY 1", last)
        for row in rows:
            if row["position"] != last + 1:
                found.append((last, row["position"]))
            last = row["position"]
        return len(rows)

    async def follow() -> int:
        polls = 0
        while not done.is_set():
            polls += await look() > 0
        await look()
        return polls

    async def write_all() -> None:
        async with asyncio.TaskGroup() as group:
            for writer in range(WRITERS):
                group.create_task(write(api, writer, random.Random(SEED * 1000 + writer)))
        done.set()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(write_all())
            following = group.create_task(follow())
    finally:
        await db.execute("DROP TRIGGER break_some ON setting_value")
        await follower.close()
    assert following.result() > 20, "the follower was too slow to meet the writers"
    return found


async def test_a_follower_finds_no_hole_under_sixteen_writers_that_abort_at_random(
    api: Api, database_url: str, db: Connection
) -> None:
    first = await head(db)

    assert await holes(api, database_url, db) == []

    positions = [row["position"] for row in await db.fetch("SELECT position FROM event WHERE feed = 1 ORDER BY 1")]
    assert positions == list(range(1, await head(db) + 1))
    assert positions[-1] > first + WRITERS * TURNS / 3
    orphans = (
        "SELECT count(*) FROM setting_value v WHERE NOT EXISTS (SELECT FROM event e WHERE e.position = v.position)"
    )
    assert await db.fetchval(orphans) == 0
    told = "SELECT count(*) FROM event WHERE type LIKE 'setting.value-%'"
    assert await db.fetchval(told) == await db.fetchval("SELECT count(*) FROM setting_history")


async def test_the_check_finds_positions_from_a_sequence(
    api: Api, database_url: str, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, with positions as most would make them."""
    await db.execute(f"CREATE SEQUENCE naive START {await head(db) + 1}")
    await db.execute("GRANT USAGE ON SEQUENCE naive TO setpoint_app")
    naive = log._APPEND.replace(
        "UPDATE feed_head SET position = position + cardinality($2::uuid[]) WHERE feed = $1 RETURNING position",
        "SELECT max(place) AS position FROM (SELECT nextval('naive') AS place FROM unnest($2::uuid[])) AS places",
    )
    assert naive != log._APPEND
    monkeypatch.setattr(log, "_APPEND", naive)
    try:
        assert await holes(api, database_url, db) != []
    finally:
        await db.execute("DROP SEQUENCE naive")
