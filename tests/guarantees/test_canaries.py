"""
What is confidential or secret stands in no log line, audit record, event, metric, problem or health report (A37), and
nothing that a caller sends can forge a line of a log or of the audit (A38).

Unique strings are set, shown, refused and broken in every way that a real node knows, at its most talkative; then all
it said is searched for them. They are shown to those who may see them, which proves that the search would find them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from structlog.testing import capture_logs

from app.kit.database import Connection
from tests.guarantees.faults import RAISE, broken
from tests.guarantees.node import Node, node
from tests.guarantees.state import TABLES
from tests.world import CREATE, LEVELS, PRINCIPALS, Api, make, match, problem

pytestmark = pytest.mark.anyio

CANARIES = ["canary-1f0c9a", "canary-7be2d4", "canary-c93310", "canary-e0a855", "canary-default-55d1"]
# Where values are kept, and what may therefore hold them.
KEEPS_VALUES = {"setting_value", "setting_history", "setting_definition"}
SENSITIVITIES = ["confidential", "secret"]


@pytest.fixture
async def talkative(db: Connection, database_url: str, app_url: str, tmp_path: Path) -> AsyncIterator[Node]:
    del db
    settings = {"DATABASE_URL": app_url, "OWNER_DATABASE_URL": database_url, "LOG_LEVEL": "debug"}
    with node(tmp_path / "data", AUDIT_ACCESSES="strict", **settings) as one:
        yield one
        await one.hang_up()


class Answers:
    """What was answered: `shown` to those who may see it, and `told` to others and in problems."""

    def __init__(self) -> None:
        self.shown: list[httpx.Response] = []
        self.told: list[httpx.Response] = []

    def keep(self, response: httpx.Response) -> httpx.Response:
        (self.shown if response.is_success else self.told).append(response)
        return response


async def live(one: Node, db: Connection, sensitivity: str, answers: Answers) -> None:
    """A key and its values from the first definition to the last removal, with everything that goes wrong between."""
    first, second, third, fourth, default = CANARIES
    key = f"canary.{sensitivity}"
    root, admin = one.client(PRINCIPALS["root"]), one.client(PRINCIPALS["admin"])
    keep = answers.keep
    body = {"levels": LEVELS, "sensitivity": sensitivity, "schema": {"type": "object"}, "default": {"is": default}}
    path = f"/api/definitions/{key}"
    keep(await root.put(path, json={**body, "default": default}, headers=CREATE))  # no object
    defined = keep(await root.put(path, json=body, headers=CREATE))
    assert defined.status_code == 201, defined.text

    place = {"scope": "USER", "scopeId": "alice", "key": key}
    made = keep(await admin.post("/api/settings", json={**place, "value": {"is": first}}))
    assert made.status_code == 201, made.text
    value = f"/api/settings/{made.json()['id']}"
    keep(await admin.post("/api/settings", json={**place, "value": {"is": second}}))  # there already
    keep(await admin.put(value, json={"value": [second]}, headers=match(made)))  # no object
    keep(await admin.put(value, json={"value": {"is": second}}))  # based on nothing
    keep(await admin.put(value, json={"value": {"is": second}}, headers={"If-Match": '"v1"'}))  # late
    unfinished = f'{{"value": {{"is": "{second}"'
    keep(await admin.put(value, content=unfinished, headers={**match(made), "Content-Type": "application/json"}))
    changed = keep(await admin.put(value, json={"value": {"is": second}}, headers=match(made)))
    patched = keep(
        await admin.patch(
            value,
            content=json.dumps({"value": {"more": third}}),
            headers={**match(changed), "Content-Type": "application/merge-patch+json"},
        )
    )
    assert patched.status_code == 200, patched.text
    operations = [{"op": "set", "scope": "TENANT", "key": key, "value": {"is": fourth}}]
    for dry_run in (True, False):
        batch = {"operations": operations, "dryRun": dry_run}
        keep(await admin.post("/api/settings/batch", json=batch, headers={"Idempotency-Key": f"{key}-{dry_run}"}))
    keep(await admin.post("/api/settings/batch", json={"operations": [{**operations[0], "value": fourth}]}))

    context = {"userId": "alice"}
    for client in (admin, *(one.client(PRINCIPALS[name]) for name in ("carl", "globex", "clerk"))):
        keep(await client.get(value))
        keep(await client.get("/api/settings", params=place))
        keep(await client.get("/api/settings/list", params={"scope": "USER", "scopeId": "alice"}))
        keep(await client.get(f"{value}/history"))
        keep(await client.get(f"/api/settings/resolve/{key}", params={**context, "explain": "true"}))
    keep(await root.put(path, json={**body, "schema": False, "default": {}}, headers=match(defined)))  # breaks values
    lowered = {**body, "sensitivity": "public", "schema": {"maxProperties": 0}, "default": {}}
    keep(await root.put(path, json=lowered, headers=match(defined)))
    async with broken(db, "event", what=RAISE):  # 500
        keep(await admin.put(value, json={"value": {"is": first}}, headers=match(patched)))
    await db.execute("REVOKE INSERT ON audit_record FROM setpoint_app")  # 503
    try:
        keep(await admin.put(value, json={"value": {"is": first}}, headers=match(patched)))
        keep(await admin.get(value))
    finally:
        await db.execute("GRANT INSERT ON audit_record TO setpoint_app")
    assert keep(await admin.delete(value, headers=match(patched))).status_code == 204


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
async def test_what_is_sensitive_is_shown_to_those_who_may_see_it_and_told_nowhere_else(
    talkative: Node, db: Connection, sensitivity: str
) -> None:
    answers = Answers()

    await live(talkative, db, sensitivity, answers)

    auditor, root = talkative.client(PRINCIPALS["auditor"]), talkative.client(PRINCIPALS["platform"])
    told = {f"{one.request.method} {one.request.url.path} {one.status_code}": one.text for one in answers.told}
    told["audit"] = (await auditor.get("/api/security/audit", params={"limit": 1000})).text
    told["platform audit"] = (await root.get("/api/security/audit", params={"limit": 1000})).text
    told["health"] = (await auditor.get("/api/health")).text
    talkative.stop()
    told["log"] = talkative.log.read_text()
    for table in (*TABLES, "audit_record"):
        if table not in KEEPS_VALUES:
            told[table] = str(await db.fetch(f"SELECT t::text FROM {table} t"))
    shown = "".join(one.text for one in answers.shown)
    assert [canary for canary in CANARIES if canary not in shown] == []
    assert {404, 409, 412, 422, 428, 400, 500, 503} <= {one.status_code for one in answers.told}
    assert "request-failed" in told["log"]
    assert f"canary.{sensitivity}" in told["audit"]
    assert [(where, canary) for where, text in told.items() for canary in CANARIES if canary in text] == []


HOSTILE = 'x\n{"event":"fake","level":"info"}\r\n\x1b[2J\x9b31mroot\u202egnp'


async def test_nothing_that_a_caller_sends_makes_a_line_of_the_log(talkative: Node, db: Connection) -> None:
    client = talkative.client(PRINCIPALS["globex"])
    agent = {"User-Agent": "a" * 20_000}
    problem(await client.get(f"/api/settings/{quote(HOSTILE)}"), 404)
    problem(await client.get("/api/settings/list", params={"scope": "TENANT", "tenantId": HOSTILE}), 400)
    problem(await client.get("/api/settings/" + "%00%1b%5B2J%0A", headers=agent), 404)
    problem(await client.get("/api/settings/x", headers={"X-Request-ID": 'a"}{"event":"fake"'}), 404)
    assert (await client.get("/api/settings/x", headers={"User-Agent": "a" * 1_000_000})).status_code == 431
    async with broken(db, "audit_record", what=RAISE):  # its path is logged
        await client.get(f"/api/settings/{quote(HOSTILE)}")
    talkative.stop()

    lines = [line for line in talkative.log.read_text().splitlines() if line.startswith("{")]
    events = [json.loads(line)["event"] for line in lines]
    assert events
    assert "fake" not in events
    assert all(line.isprintable() for line in lines)
    records = [row["body"] for row in await db.fetch("SELECT body FROM audit_record WHERE outcome = 'denied'")]
    assert len(records) >= 3
    assert all(body.isascii() and body.isprintable() for body in records)
    assert any(json.loads(body)["resource"].endswith(HOSTILE) for body in records)


async def test_our_own_lines_hold_no_value_either(api: Api) -> None:
    """The same within this process, where every line is seen before it is filtered or shown."""
    with capture_logs() as logged:
        made = await make(api.admin, "limit.secret", 4_711_081_522)
        await api.admin.put(f"/api/settings/{made['id']}", json={"value": "4711081522"}, headers=match(made))
        await api.admin.get("/api/settings/effective")

    assert "4711081522" not in str(logged)


def test_every_canary_is_unlike_the_others() -> None:
    found: list[Any] = [one for one in CANARIES if sum(one in other for other in CANARIES) > 1]

    assert found == []
