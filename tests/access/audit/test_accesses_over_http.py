"""The audit of accesses as the registry feeds it: what callers are refused or shown, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from app.access.audit import store
from app.config import Config
from app.domain.access import Reach
from app.kit.database import Connection, open_database
from tests.access.audit.listening import LIMIT, accesses, not_to_be_written, watched
from tests.fixtures import running
from tests.world import Api, SteppableClock, make, match, problem

pytestmark = pytest.mark.anyio

AT_ACME = {"scope": "TENANT", "key": "limit.secret"}


class Heard:
    """What the audit was told of since the last time it was asked."""

    def __init__(self, api: Api, db: Connection, attempts: asyncio.Queue[int]) -> None:
        self.api = api
        self._db = db
        self._attempts = attempts
        self._known: dict[str, int] = {}

    async def told(self, tenant: str = "acme", *, of: int = 1) -> list[tuple[str, str, str, str]]:
        """Who got what outcome, doing what to what, once so many records were written."""
        while of > 0:
            of -= await asyncio.wait_for(self._attempts.get(), LIMIT)
        found = await accesses(self._db, tenant)
        fresh = found[self._known.get(tenant, 0) :]
        self._known[tenant] = len(found)
        return [(one["actor"]["id"], one["outcome"], one["action"], one["resource"]) for one in fresh]


@pytest.fixture
async def heard(api: Api, db: Connection, monkeypatch: pytest.MonkeyPatch) -> Heard:
    return Heard(api, db, watched(monkeypatch))


@pytest.fixture
async def strict(
    db: Connection, app_url: str, config: Config, clock: SteppableClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Api]:
    """The application that answers nothing it could not write down."""
    del db, monkeypatch
    changes: dict[str, Any] = {"database_url": app_url, "audit_accesses": "strict", "audit_timeout_seconds": LIMIT}
    async with running(msgspec.structs.replace(config, **changes), clock=clock) as api:
        yield api


async def test_what_the_gate_refuses_is_heard_of(heard: Heard) -> None:
    api = heard.api
    made = await make(api.admin, "ui.theme", "dark", "ACCOUNT", "adler")

    problem(await api.bob.put(f"/api/settings/{made['id']}", json={"value": "auto"}, headers=match(made)), 403)
    assert await heard.told() == [("bob", "denied", "write", "setting/ACCOUNT/acme/adler")]
    problem(await api.carl.get(f"/api/settings/{made['id']}"), 404)
    assert await heard.told() == [("carl", "denied", "read", "setting/ACCOUNT/acme/adler")]
    problem(await api.carl.get("/api/settings/list", params={"scope": "ACCOUNT", "scopeId": "adler"}), 404)
    assert await heard.told() == [("carl", "denied", "read", "setting/ACCOUNT/acme/adler")]
    problem(await api.nobody.get("/api/security/audit"), 404)
    assert await heard.told() == [("nemo", "denied", "read", "audit/acme")]


async def test_a_context_and_a_clearance_that_do_not_reach_are_heard_of(heard: Heard) -> None:
    api = heard.api

    problem(await api.carl.get("/api/settings/resolve/ui.theme", params={"territory": "DE"}), 404)
    assert await heard.told() == [("carl", "denied", "resolve", "setting/TERRITORY/acme/DE")]
    problem(await api.alice.get("/api/settings/resolve/limit.secret"), 404)
    assert await heard.told() == [("alice", "denied", "resolve", "setting/TENANT/acme/limit.secret")]


async def test_a_foreign_tenant_that_is_named_is_heard_of_in_the_callers_own_chain(heard: Heard) -> None:
    response = await heard.api.globex.get("/api/settings/list", params={"scope": "TENANT", "tenantId": "acme"})

    problem(response, 404)
    assert await heard.told("globex") == [("gina", "denied", "GET", "tenant/acme")]
    assert await heard.told("acme", of=0) == []


async def test_every_way_to_a_secret_is_heard_of(heard: Heard) -> None:
    api = heard.api
    made = await make(api.admin, "limit.secret", 4711)
    path = f"/api/settings/{made['id']}"
    it = "setting/TENANT/acme/limit.secret"

    for asked, action in {
        path: "read",
        "/api/settings?scope=TENANT&key=limit.secret": "read",
        "/api/settings/list?scope=TENANT": "read",
        f"{path}/history": "read",
        "/api/settings/resolve/limit.secret": "resolve",
        "/api/settings/effective": "resolve",
        "/api/settings/effective?keys=limit.secret": "resolve",
    }.items():
        response = await api.admin.get(asked)
        assert b"4711" in response.content
        assert await heard.told() == [("anna", "read", action, it)], asked
    assert (await api.admin.get(path, headers={"If-None-Match": made["etag"]})).status_code == 304
    assert await heard.told() == [("anna", "read", "read", it)]


async def test_what_is_not_secret_leaves_no_record(heard: Heard) -> None:
    api = heard.api
    made = await make(api.admin, "ui.theme", "dark")
    for client in (api.admin, api.alice, api.service):
        assert (await client.get("/api/settings/effective", params={"keys": "ui.theme"})).status_code == 200
    assert (await api.alice.get(f"/api/settings/{made['id']}")).status_code == 200
    problem(await api.alice.get("/api/no-such-thing"), 404)
    problem(await api.anonymous.get("/api/settings/list"), 401)

    problem(await api.nobody.get("/api/security/audit"), 404)
    assert await heard.told() == [("nemo", "denied", "read", "audit/acme")]


async def test_a_reason_to_override_stands_in_the_record_of_the_access(heard: Heard, db: Connection) -> None:
    await make(heard.api.admin, "ui.theme", "dark", "ACCOUNT", "bern")
    query = {"scope": "ACCOUNT", "scopeId": "bern", "key": "ui.theme"}

    response = await heard.api.manager.get("/api/settings", params=query, headers={"Setpoint-Override-Reason": "fire"})

    assert response.status_code == 200
    assert await heard.told() == [("maria", "overridden", "read", "setting/ACCOUNT/acme/bern")]
    assert (await accesses(db))[-1]["reason"] == "fire"


async def test_the_audit_is_shown_with_accesses_and_by_what_they_are(heard: Heard) -> None:
    api = heard.api
    await make(api.admin, "ui.theme", "dark")
    await make(api.admin, "limit.secret", 4711)
    problem(await api.nobody.get("/api/security/audit"), 404)
    await api.admin.get("/api/settings/resolve/limit.secret")
    await heard.told(of=2)

    async def found(**wanted: str) -> list[tuple[str, str]]:
        page = (await api.auditor.get("/api/security/audit", params=wanted)).json()
        assert page["next"] is None
        return [(one["actor"]["id"], one["outcome"]) for one in page["items"]]

    assert set(await found(outcome="denied")) == {("nemo", "denied")}
    assert set(await found(outcome="read")) == {("anna", "read")}
    assert {outcome for _, outcome in await found(outcome="changed")} == {"changed"}
    assert set(await found(actor="anna")) == {("anna", "changed"), ("anna", "read")}
    assert await found(actor="anna", outcome="read") == [("anna", "read")]
    assert set(await found(resource="setting/TENANT/acme/limit")) == {("anna", "read"), ("anna", "changed")}
    assert await found(resource="setting/TENANT/acme/limit", actor="nemo") == []
    assert await found(since="2026-03-04T12:00:01Z") == []
    assert await found(since="9999-12-31T23:59:59-01:00") == await found(until="0001-01-01T00:00:00+01:00") == []
    assert await found(until="2026-03-04T13:00:00+01:00") == []
    assert len(await found(since="2026-03-04T13:00:00+01:00", until="2026-03-04T12:00:01Z", actor="nemo")) == 1
    items = (await api.auditor.get("/api/security/audit", params={"outcome": "denied"})).json()["items"]
    assert set(items[0]) == {
        "action", "actor", "at", "client", "count", "hash", "outcome", "policyVersion", "requestId", "resource",
        "sequence",
    }  # fmt: skip


@pytest.mark.parametrize(
    "wanted",
    [{"outcome": "allowed"}, {"since": "2026-03-04T12:00:00"}, {"until": "yesterday"}, {"resource": ""}, {"actor": ""}],
    ids=str,
)
async def test_a_filter_that_is_none_is_named(api: Api, wanted: dict[str, str]) -> None:
    body = problem(await api.auditor.get("/api/security/audit", params=wanted), 400)

    assert [error["pointer"] for error in body["errors"]] == [f"/query/{next(iter(wanted))}"]


async def test_health_tells_that_accesses_are_not_written_and_that_they_are_again(heard: Heard, db: Connection) -> None:
    api = heard.api

    async def part() -> dict[str, Any]:
        report: dict[str, Any] = (await api.anonymous.get("/api/health")).json()
        assert report["state"] == ("degraded" if report["parts"]["audit"]["state"] != "up" else "up")
        audit: dict[str, Any] = report["parts"]["audit"]
        return audit

    assert (await part())["state"] == "up"
    async with not_to_be_written(db):
        problem(await api.nobody.get("/api/security/audit"), 404)
        assert await asyncio.wait_for(heard._attempts.get(), LIMIT) == 0
        told = await part()
        assert told["state"] == "degraded"
        assert told["lastError"].startswith("DatabaseUnavailable; 0 dropped, ")
        assert "acme" not in told["lastError"]
        assert (await api.anonymous.get("/api/health/ready")).status_code == 200
    assert await heard.told() == [("nemo", "denied", "read", "audit/acme")]
    assert (await part())["state"] == "up"


async def test_strict_shows_no_secret_and_tells_no_refusal_without_its_record(strict: Api, db: Connection) -> None:
    made = await make(strict.admin, "limit.secret", 4_711_081_522)
    path = f"/api/settings/{made['id']}"
    async with not_to_be_written(db):
        for client, asked in (
            (strict.admin, path),
            (strict.admin, f"{path}/history"),
            (strict.admin, "/api/settings/effective"),
            (strict.carl, path),
            (strict.globex, path),
            (strict.globex, "/api/settings/00000000-0000-7000-8000-000000000000"),
            (strict.globex, "/api/no-such-thing"),
        ):
            refused = await client.get(asked)
            problem(refused, 503, "audit-unavailable")
            assert refused.headers["Retry-After"] == "1"
            assert b"47110815" not in refused.content
            assert "etag" not in refused.headers
        assert (await strict.alice.get("/api/settings/effective", params={"keys": "ui.theme"})).status_code == 200

    assert (await strict.admin.get(path)).json()["value"] == 4_711_081_522
    hidden, absent = [
        await strict.globex.get(asked) for asked in (path, "/api/settings/00000000-0000-7000-8000-000000000000")
    ]
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert [one["outcome"] for one in await accesses(db)] == ["read"]
    assert [one["resource"] for one in await accesses(db, "globex")] == [
        f"request{path}",
        "request/api/settings/00000000-0000-7000-8000-000000000000",
    ]


async def test_a_change_that_cannot_be_written_down_is_not_made_whatever_the_mode(strict: Api, db: Connection) -> None:
    made = await make(strict.admin, "ui.theme", "dark")
    async with not_to_be_written(db):
        refused = await strict.admin.put(f"/api/settings/{made['id']}", json={"value": "auto"}, headers=match(made))
        problem(refused, 503)

    assert (await strict.admin.get(f"/api/settings/{made['id']}")).json() == made


async def test_a_long_chain_is_verified_in_steps(api: Api, db: Connection) -> None:
    for value in ("dark", "auto", "light"):
        made = await make(api.admin, "ui.theme", value)
        await api.admin.delete(f"/api/settings/{made['id']}", headers=match(made))
    whole = (await api.auditor.get("/api/security/audit/verify")).json()

    steps = [step async for step in verified_in_steps(api.auditor, 4)]

    assert len(steps) == -(-whole["records"] // 4) or len(steps) == whole["records"] // 4 + 1
    assert [step["records"] for step in steps[:-1]] == [4 * (place + 1) for place in range(len(steps) - 1)]
    assert {**steps[-1], "next": None} == whole
    assert whole["hash"] == (await db.fetchval("SELECT hash FROM audit_head WHERE tenant = 'acme'")).hex()


async def verified_in_steps(client: httpx.AsyncClient, limit: int) -> AsyncIterator[dict[str, Any]]:
    cursor: str | None = None
    for _ in range(100):
        query = {"limit": str(limit), **({} if cursor is None else {"cursor": cursor})}
        step = (await client.get("/api/security/audit/verify", params=query)).json()
        yield step
        cursor = step["next"]
        if cursor is None:
            return
    raise AssertionError("it does not get on")


async def test_what_is_rewritten_between_two_steps_is_found(api: Api, db: Connection) -> None:
    """The cursor holds the hash: a chain that was made anew from the beginning does not go on from it."""
    await make(api.admin, "ui.theme", "dark")
    first = (await api.auditor.get("/api/security/audit/verify", params={"limit": "3"})).json()
    bodies = [row["body"] for row in await db.fetch("SELECT body FROM audit_record WHERE tenant = 'acme' ORDER BY 1")]
    await db.execute("DELETE FROM audit_record WHERE tenant = 'acme'")
    await db.execute("DELETE FROM audit_head WHERE tenant = 'acme'")
    await db.execute("SELECT set_config('setpoint.reach', '*', false), audit_append('acme', $1)", bodies[::-1])

    anew = (await api.auditor.get("/api/security/audit/verify")).json()
    second = (await api.auditor.get("/api/security/audit/verify", params={"cursor": first["next"]})).json()

    assert anew["valid"]
    assert (second["valid"], second["brokenAt"]) == (False, 4)


@pytest.mark.parametrize("cursor", ["x", "AAAA", "W10"])
async def test_a_cursor_of_nothing_is_malformed(api: Api, cursor: str) -> None:
    problem(await api.auditor.get("/api/security/audit/verify", params={"cursor": cursor}), 400)
    other = (await api.auditor.get("/api/security/audit", params={"limit": "1"})).json()["next"]
    problem(await api.auditor.get("/api/security/audit/verify", params={"cursor": other}), 400)


async def test_a_page_that_found_nothing_yet_has_a_next_one(
    api: Api, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(api.admin, "ui.theme", "dark")
    for number in range(12):
        await make(api.admin, "ui.density", number, "USER", f"u-{number}")
    monkeypatch.setattr("app.access.audit.store.MOST_WALKED", 5)

    pages, cursor = [], None
    for _ in range(100):
        query = {"resource": "setting/TENANT/acme/ui.theme"} | ({} if cursor is None else {"cursor": cursor})
        page = (await api.auditor.get("/api/security/audit", params=query)).json()
        pages.append([one["resource"] for one in page["items"]])
        cursor = page["next"]
        if cursor is None:
            break

    assert len(pages) == -(-await db.fetchval("SELECT sequence FROM audit_head WHERE tenant = 'acme'") // 5)
    assert [one for page in pages for one in page] == ["setting/TENANT/acme/ui.theme"]
    assert pages[0] == []


@pytest.mark.parametrize(
    ("wanted", "index"),
    [({"actor": "rare"}, "audit_record_by_actor"), ({"outcome": "denied"}, "audit_record_by_outcome")],
)
async def test_an_actor_and_an_outcome_are_found_by_an_index_behind_row_level_security(
    api: Api, db: Connection, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, str], index: str
) -> None:
    """Security barriers keep what is not leakproof out of indexes, so that this is not a matter of course."""
    body = '{"actor":{"id":"%s"},"outcome":"%s"}'
    bodies = [body % ("many", "changed")] * 5_000 + [body % ("rare", "denied")]
    await db.execute("SELECT set_config('setpoint.reach', '*', false), audit_append('acme', $1)", bodies)
    await db.execute("ANALYZE audit_record")
    plans: list[str] = []
    fetch = asyncpg.Connection.fetch

    async def explained(it: Connection, sql: str, *arguments: Any) -> Any:
        if "FROM audit_record" in sql:
            plans.extend(row[0] for row in await fetch(it, "EXPLAIN " + sql, *arguments))
        return await fetch(it, sql, *arguments)

    monkeypatch.setattr(asyncpg.Connection, "fetch", explained)
    async with api_database(api) as connection:
        found, _ = await store.newest(connection, "acme", store.Wanted(**wanted), before=2**62, limit=10)

    assert [one.body for one in found][:1] == bodies[-1:]
    assert index in "\n".join(plans)
    assert "sequence" in next(plan for plan in plans if "Index Cond" in plan), "in the order of the chain"


@asynccontextmanager
async def api_database(api: Api) -> AsyncIterator[Connection]:
    """A connection as the application has it, for people of acme."""
    assert api.config.database_url is not None
    opened = open_database(api.config.database_url, config=api.config)
    async with opened as database, database.moment(Reach("acme")) as connection:
        yield connection
