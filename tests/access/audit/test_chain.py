"""The audit's chains: complete, in one transaction with what they tell of, and broken visibly or not at all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.access.audit.verify import verify
from app.kit.database import Connection
from tests.guarantees.mutations import MUTATIONS
from tests.guarantees.state import everything
from tests.world import Api, make, match, problem

pytestmark = pytest.mark.anyio


async def records(db: Connection, tenant: str) -> list[dict[str, Any]]:
    rows = await db.fetch("SELECT body FROM audit_record WHERE tenant = $1 ORDER BY sequence", tenant)
    return [json.loads(row["body"]) for row in rows]


async def settle_some(api: Api) -> None:
    for value in ("dark", "auto", "light"):
        made = await make(api.admin, "ui.theme", value)
        await api.admin.delete(f"/api/settings/{made['id']}", headers=match(made))


@pytest.mark.parametrize("name", list(MUTATIONS))
async def test_every_change_is_written_down_once_for_each_event(api: Api, db: Connection, name: str) -> None:
    send = await MUTATIONS[name].prepare(api)
    events, written = await counts(db)

    response = await send()

    assert response.status_code in (200, 201, 204), response.text
    new_events, new_written = await counts(db)
    assert new_events > events
    assert new_written - written == new_events - events


async def counts(db: Connection) -> tuple[int, int]:
    row = await db.fetchrow("SELECT (SELECT count(*) FROM event) AS e, (SELECT count(*) FROM audit_record) AS r")
    assert row is not None
    return row["e"], row["r"]


async def test_a_record_says_who_did_what_to_what(api: Api, db: Connection) -> None:
    made = await make(api.admin, "ui.theme", "dark")
    await api.admin.put(f"/api/settings/{made['id']}", json={"value": "auto"}, headers=match(made))

    first, second = (await records(db, "acme"))[-2:]

    assert first["actor"] == {"id": "anna", "kind": "user", "roles": ["admin"], "tenantId": "acme"}
    assert (first["action"], first["resource"]) == ("setting.set", "setting/TENANT/acme/ui.theme")
    assert first["outcome"] == "changed"
    assert "before" not in first
    assert first["after"] == "dark"
    assert (second["before"], second["after"], second["version"]) == ("dark", "auto", 2)
    assert first["position"] < second["position"]
    assert first["requestId"] != second["requestId"]
    assert len(first["policyVersion"]) == 16


async def test_confidential_values_are_masked(api: Api, db: Connection) -> None:
    canary = 4_711_081_522
    made = await make(api.admin, "limit.secret", canary)
    await api.admin.put(f"/api/settings/{made['id']}", json={"value": canary + 1}, headers=match(made))

    bodies = await db.fetch("SELECT body FROM audit_record")

    assert not [row for row in bodies if "47110815" in row["body"]]
    last = (await records(db, "acme"))[-1]
    assert last["before"] == last["after"] == {"masked": True}


async def test_chains_hold_under_writers_of_several_tenants(api: Api, db: Connection) -> None:
    async def write(client: Any, key: str) -> None:
        for _ in range(5):
            made = await make(client, key, 3)
            await client.delete(f"/api/settings/{made['id']}", headers=match(made))

    await asyncio.gather(
        write(api.admin, "ui.density"),
        write(api.admin, "limit.shown"),
        write(api.globex, "ui.density"),
        write(api.globex, "limit.shown"),
    )

    for tenant in ("", "acme", "globex"):
        verdict = await verify(db, tenant)
        assert verdict.broken_at is None, verdict
        assert verdict.records == len(await records(db, tenant))
    assert len(await records(db, "acme")) >= 20


HERE = "WHERE tenant = 'acme' AND sequence = $1"
# With the place that is to be named: the tampered one, or None for the one after the last.
TAMPERINGS = {
    "edited": (f"UPDATE audit_record SET body = replace(body, 'dark', 'dork') {HERE}", 0),
    "relinked": (f"UPDATE audit_record SET hash = sha256('x') {HERE}", 0),
    "removed": (f"DELETE FROM audit_record {HERE}", 0),
    "cut off": ("DELETE FROM audit_record WHERE tenant = 'acme' AND sequence >= $1", 0),
    "moved to another tenant": (f"UPDATE audit_record SET tenant = 'other' {HERE}", 0),
    "inserted": (f"INSERT INTO audit_record SELECT tenant, 1000 + $1, body, hash FROM audit_record {HERE}", None),
}


@pytest.mark.parametrize("how", list(TAMPERINGS))
async def test_what_was_tampered_with_is_named(api: Api, db: Connection, how: str) -> None:
    await settle_some(api)
    place = await db.fetchval(
        "SELECT min(sequence) FROM audit_record WHERE tenant = 'acme' AND body LIKE '%\"after\":\"dark\"%'"
    )
    assert (await verify(db, "acme")).broken_at is None
    total = len(await records(db, "acme"))
    statement, offset = TAMPERINGS[how]

    await db.execute(statement, place)

    verdict = await verify(db, "acme")
    assert verdict.broken_at == (total + 1 if offset is None else place + offset), verdict
    assert verdict.reason


async def test_a_chain_that_was_rewritten_shows_at_its_head(api: Api, db: Connection) -> None:
    """Whoever rewrites all hashes of a chain still has to know of its head."""
    await settle_some(api)
    head = await db.fetchrow("SELECT sequence, hash FROM audit_head WHERE tenant = 'acme'")
    assert head is not None
    await db.execute("DELETE FROM audit_record WHERE tenant = 'acme'")
    await db.execute("DELETE FROM audit_head WHERE tenant = 'acme'")
    await db.execute("SELECT set_config('setpoint.reach', '*', false)")
    await db.execute("SELECT audit_append('acme', array_fill('{}'::text, ARRAY[$1::int]))", head["sequence"])
    await db.execute("UPDATE audit_head SET hash = $1 WHERE tenant = 'acme'", head["hash"])

    verdict = await verify(db, "acme")
    assert (verdict.records, verdict.broken_at) == (head["sequence"] - 1, head["sequence"])
    assert verdict.reason == "It is not the record that was written last."


@pytest.mark.parametrize(
    "revoked", ["INSERT ON audit_record", "UPDATE ON audit_head", "EXECUTE ON FUNCTION audit_append"]
)
async def test_without_a_record_there_is_no_change(api: Api, db: Connection, revoked: str) -> None:
    made = await make(api.admin, "ui.theme", "dark")
    before = await everything(db)
    whom = "setpoint_app" if "FUNCTION" not in revoked else "setpoint_app, PUBLIC"
    await db.execute(f"REVOKE {revoked} FROM {whom}")
    try:
        response = await api.admin.put(f"/api/settings/{made['id']}", json={"value": "auto"}, headers=match(made))

        problem(response, 503, "database-unavailable")
        assert await everything(db) == before
        assert (await api.admin.get(f"/api/settings/{made['id']}")).json()["value"] == "dark"
    finally:
        await db.execute(f"GRANT {revoked} TO {whom}")


@pytest.mark.parametrize("statement", ["DELETE FROM", "TRUNCATE", "UPDATE"])
async def test_the_role_that_serves_cannot_change_a_record(api: Api, db: Connection, statement: str) -> None:
    del api
    what = "audit_record SET body = ''" if statement == "UPDATE" else "audit_record"
    transaction = db.transaction()
    await transaction.start()
    try:
        await db.execute("SET LOCAL ROLE setpoint_app")
        with pytest.raises(Exception, match="permission denied for table audit_record"):
            await db.execute(f"{statement} {what}")
    finally:
        await transaction.rollback()


async def test_a_tenant_sees_its_own_chain_only(api: Api, db: Connection) -> None:
    await settle_some(api)
    seen = {}
    for reach in ("acme", "globex", "", "*"):
        transaction = db.transaction()
        await transaction.start()
        try:
            await db.execute("SELECT set_config('setpoint.reach', $1, true)", reach)
            await db.execute("SET LOCAL ROLE setpoint_app")
            rows = await db.fetch("SELECT DISTINCT tenant FROM audit_record")
            seen[reach] = {row["tenant"] for row in rows}
        finally:
            await transaction.rollback()

    assert seen["acme"] == {"acme"}
    assert seen["globex"] <= {"globex"}
    assert seen[""] == set()
    assert {"", "acme"} <= seen["*"]


async def test_admins_and_auditors_read_their_own_tenants_audit_newest_first(api: Api) -> None:
    await settle_some(api)

    page = (await api.auditor.get("/api/security/audit", params={"limit": 2})).json()
    rest = (await api.admin.get("/api/security/audit", params={"limit": 2, "cursor": page["next"]})).json()

    sequences = [one["sequence"] for one in page["items"] + rest["items"]]
    assert sequences == sorted(sequences, reverse=True)
    assert len(set(sequences)) == 4
    assert page["items"][0]["action"] == "setting.unset"
    assert page["items"][0]["before"] == "light"
    for stranger in (api.alice, api.manager, api.service, api.nobody):
        problem(await stranger.get("/api/security/audit"), 404)
    problem(await api.globex.get("/api/security/audit", params={"tenantId": "acme"}), 404)


async def test_verifying_names_the_first_broken_record(api: Api, db: Connection) -> None:
    await settle_some(api)
    whole = (await api.auditor.get("/api/security/audit/verify")).json()

    await db.execute("UPDATE audit_record SET body = body || ' ' WHERE tenant = 'acme' AND sequence = 2")

    broken = (await api.auditor.get("/api/security/audit/verify")).json()
    assert (whole["valid"], whole["brokenAt"], whole["tenantId"]) == (True, None, "acme")
    assert (broken["valid"], broken["brokenAt"], broken["records"]) == (False, 2, 1)
    assert (await api.platform.get("/api/security/audit/verify")).json()["valid"]
