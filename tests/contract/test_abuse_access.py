"""
Hostile requests for what is others', by the ids of the abuse catalogue: A13, A14, A18, A19, A21, A35, A42, A45.

What a credential can do is in test_abuse_credentials.py, what a body or a path can in test_abuse.py. The whole matrix
of A13, over every operation, is tests/guarantees/test_g8.py.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import msgspec
import pytest
import yaml

from app.access.compiler.sql import SqlCondition
from app.access.gate import Gate
from app.access.policy import PolicyError
from app.domain.access import Reach
from app.kit.database import Connection, open_database
from app.kit.http import ApiRequest
from app.main import create_app
from app.settings.values import store
from tests.fixtures import running
from tests.guarantees.proxy import wired
from tests.guarantees.state import everything
from tests.world import COUNTING, CREATE, DE_CONTEXT, PRINCIPALS, SECRET, Api, make, match, place, problem

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
ABSENT = "00000000-0000-7000-8000-000000000000"
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


def bare(response: httpx.Response, *ids: str) -> tuple[int, dict[str, str], str]:
    """An answer without what differs between any two requests, and without the ids that were asked for."""
    headers = {name: value for name, value in response.headers.items() if name not in (*COUNTING, "content-length")}
    text = response.text
    for one in ids:
        text = text.replace(one, "ID")
    return response.status_code, headers, text


# ---- A13: what is others', by id and by key ----


@pytest.mark.parametrize("stranger", ["globex", "carl", "nobody"])
async def test_a13_what_is_others_is_absent_however_it_is_asked_for(api: Api, db: Connection, stranger: str) -> None:
    made = await make(api.admin, "ui.theme", "dark", "ACCOUNT", "adler")
    before = await everything(db)
    client: httpx.AsyncClient = getattr(api, stranger)

    async def asked(setting_id: str, scope_id: str) -> list[tuple[Any, ...]]:
        path, where = f"/api/settings/{setting_id}", {"tenantId": "acme", **place("ACCOUNT", scope_id)}
        any_tag = {"If-Match": "*"}
        change = {"op": "set", **where, "key": "ui.theme", "value": "light", "ifMatch": made["etag"]}
        return [
            bare(response, setting_id, scope_id)
            for response in (
                await client.get(path),
                await client.head(path),
                await client.get(path, headers={"If-None-Match": made["etag"]}),
                await client.get(f"{path}/history"),
                await client.put(path, json={"value": "light"}, headers=any_tag),
                await client.patch(path, content=b'{"value":"light"}', headers={**any_tag, **MERGE_PATCH}),
                await client.delete(path, headers=match(made)),
                await client.get("/api/settings", params={**where, "key": "ui.theme"}),
                await client.get("/api/settings/list", params=where),
                await client.get("/api/settings/resolve/ui.theme", params={"tenantId": "acme", "accountId": scope_id}),
                await client.get("/api/settings/effective", params={"tenantId": "acme", "accountId": scope_id}),
                await client.post("/api/settings", json={**where, "key": "ui.theme", "value": "light"}),
                await client.post("/api/settings/batch", json={"operations": [change]}),
            )
        ]

    found = await asked(made["id"], "adler")
    assert {status for status, _, _ in found} == {404}
    assert found == await asked(ABSENT, "no-such-account")
    assert await everything(db) == before
    assert (await api.alice.get(f"/api/settings/{made['id']}")).json() == made


# ---- A14: what is for other roles ----


@pytest.mark.parametrize("who", ["alice", "manager", "auditor", "service", "nobody", "clerk"])
async def test_a14_what_administrators_do_is_refused_to_other_roles(api: Api, db: Connection, who: str) -> None:
    before = await everything(db)
    client: httpx.AsyncClient = getattr(api, who)
    definition = {"schema": True, "default": None, "levels": ["TENANT"]}
    calls: list[tuple[str, str, Any, dict[str, str]]] = [
        ("PUT", "/api/tenants/new", {}, CREATE),
        ("PUT", "/api/tenants/acme", {"name": "mine"}, {"If-Match": "*"}),
        ("DELETE", "/api/tenants/globex", None, {"If-Match": "*"}),
        ("GET", "/api/tenants", None, {}),
        ("PUT", "/api/definitions/new.key", definition, CREATE),
        ("PUT", "/api/definitions/ui.theme", definition, {"If-Match": "*"}),
        ("DELETE", "/api/definitions/ui.theme", None, {"If-Match": "*"}),
        ("POST", "/api/settings", {"scope": "GLOBAL", "key": "ui.theme", "value": "dark"}, {}),
    ]
    if who != "clerk":  # an admin after all
        calls += [
            ("PUT", "/api/scopes/ACCOUNT/mine", {}, CREATE),
            ("DELETE", "/api/scopes/ACCOUNT/adler", None, {"If-Match": "*"}),
            ("POST", "/api/settings", {"scope": "TENANT", "key": "ui.theme", "value": "dark"}, {}),
        ]
    if who not in ("clerk", "auditor"):
        calls += [("GET", path, None, {}) for path in ("/api/security/audit", "/api/security/policy")]
    for method, path, body, headers in calls:
        response = await client.request(method, path, json=body, headers=headers)
        assert response.status_code in (403, 404), (method, path, response.status_code)
    for method, path in (
        ("POST", "/api/definitions/ui.theme"),
        ("PATCH", "/api/tenants/acme"),
        ("PUT", "/api/settings"),
    ):
        problem(await client.request(method, path, json={}), 405)
    assert await everything(db) == before


# ---- A18: no 304 without the right to the answer ----


async def _moved_away(api: Api) -> None:
    entry = await api.admin.get("/api/scopes/ACCOUNT/adler")
    away = {"territory": "CH", "owner": "carl"}
    assert (await api.admin.put("/api/scopes/ACCOUNT/adler", json=away, headers=match(entry))).status_code == 200


async def _made_secret(api: Api) -> None:
    for key in ("ui.theme",):
        current = await api.platform.get(f"/api/definitions/{key}")
        body = {name: current.json()[name] for name in ("schema", "default", "levels")} | {"sensitivity": "secret"}
        changed = await api.platform.put(f"/api/definitions/{key}", json=body, headers=match(current))
        assert changed.status_code == 200, changed.text


@pytest.mark.parametrize("taken_by", [_moved_away, _made_secret])
async def test_a18_a_tag_is_worth_nothing_without_the_right_to_what_it_marks(
    api: Api, taken_by: Callable[[Api], Any]
) -> None:
    made = await make(api.admin, "ui.theme", "dark", "ACCOUNT", "adler")
    paths = [
        f"/api/settings/{made['id']}",
        "/api/settings?scope=ACCOUNT&scopeId=adler&key=ui.theme",
        "/api/settings/resolve/ui.theme?accountId=adler",
    ]
    primed = [await api.alice.get(path) for path in paths]
    again = [
        await api.alice.get(path, headers={"If-None-Match": one.headers["ETag"]})
        for path, one in zip(paths, primed, strict=True)
    ]
    assert {one.status_code for one in again} == {304}

    await taken_by(api)

    for path, one in zip(paths, primed, strict=True):
        for condition in (one.headers["ETag"], "*", f"W/{one.headers['ETag']}"):
            refused = await api.alice.get(path, headers={"If-None-Match": condition})
            problem(refused, 404)
            assert "ETag" not in refused.headers


# ---- A19: one's answer is never another's ----

CACHED = [
    "/api/settings?scope=TENANT&key=ui.theme",
    "/api/settings/list?scope=TENANT",
    "/api/settings/resolve/ui.theme",
    "/api/settings/resolve/limit.secret",
    "/api/settings/effective",
    "/api/settings/effective?" + "&".join(f"{name}={value}" for name, value in DE_CONTEXT.items()),
    "/api/definitions",
    "/api/definitions/limit.secret",
    "/api/scopes",
    "/api/auth/verify",
]


async def test_a19_whoever_asked_before_everybody_gets_their_own_answer(api: Api) -> None:
    """Each gets what a node that was never asked by anybody else gives them; also when they change their rights."""
    await make(api.admin, "ui.theme", "dark")
    await make(api.admin, "limit.secret", 4711)
    await make(api.globex, "ui.theme", "auto")
    who = {**PRINCIPALS, "alice, cleared": msgspec.structs.replace(PRINCIPALS["alice"], clearance=SECRET)}
    fresh: dict[tuple[str, str], tuple[Any, ...]] = {}
    for name, principal in who.items():
        async with running(api.config, clock=api.clock) as alone:
            for path in CACHED:
                fresh[name, path] = bare(await alone.of(principal).get(path))

    order = [(name, path) for name in who for path in CACHED] * 2
    random.Random(19).shuffle(order)
    for name, path in order:
        response = await api.of(who[name]).get(path)
        assert bare(response) == fresh[name, path], (name, path)
        if response.status_code == 200:
            assert response.headers["Cache-Control"] == "private, no-cache"
            assert response.headers["Vary"] == "Authorization, X-API-Key, Accept, Accept-Encoding"
    assert len({fresh[name, "/api/settings/effective"][2] for name in who}) > 3, (
        "answers that are all alike show nothing"
    )


# ---- A21: with a part missing, nobody gets more ----


async def test_a21_without_redis_everybody_gets_the_same(api: Api, tmp_path: Path) -> None:
    await make(api.admin, "limit.secret", 4711)
    gone = msgspec.structs.replace(api.config, redis_url=f"unix://{tmp_path}/no-such-socket")
    async with running(gone, clock=api.clock) as other:
        for name in PRINCIPALS:
            for path in CACHED:
                assert bare(await getattr(other, name).get(path)) == bare(await getattr(api, name).get(path))


async def test_a21_without_postgresql_nothing_is_allowed_that_was_not(api: Api) -> None:
    await make(api.admin, "limit.secret", 4711)
    assert api.config.database_url is not None
    async with wired(api.config.database_url) as (wire, url):
        config = msgspec.structs.replace(
            api.config, database_url=url, acquire_timeout_seconds=0.3, connect_timeout_seconds=0.3
        )
        async with running(config, clock=api.clock) as other:
            await wire.cut()
            for name in ("alice", "globex", "nobody", "service"):
                for path in CACHED[:-1]:
                    response = await getattr(other, name).get(path)
                    assert response.status_code in (404, 503), (name, path)
                    assert b"4711" not in response.content
            await wire.mend()


@pytest.mark.parametrize("source", [None, "", "allow(", "allow(_p, _a, _r) if nothing(1);"])
@pytest.mark.filterwarnings("ignore::Warning")
async def test_a21_with_no_good_policy_there_is_no_node(api: Api, tmp_path: Path, source: str | None) -> None:
    if source is not None:
        (tmp_path / "a.polar").write_text(source)

    with pytest.raises(PolicyError):
        create_app(msgspec.structs.replace(api.config, policies_dir=str(tmp_path)))


# ---- A35: what is inherited tells nothing about where from ----


async def test_a35_an_explanation_hides_what_its_reader_may_not_read(api: Api) -> None:
    await make(api.admin, "notify.channels", {"canary": True}, "TENANT")
    await make(api.admin, "notify.channels", {"email": False}, "USER", "alice")
    seen = await api.service.get("/api/settings/resolve/notify.channels?userId=alice&explain=true")

    assert seen.status_code == 200
    links = {link["scope"]: link for link in seen.json()["chain"]}
    for level in ("TENANT", "USER"):
        assert links[level]["state"] == "hidden"
        assert links[level].keys() == {"scope", "scopeId", "state"}
    assert "anna" not in seen.text, "who set it is a detail"


async def test_a35_a_hidden_key_is_like_one_that_is_not_defined(api: Api) -> None:
    await make(api.admin, "limit.secret", 4711)
    for path in ("/api/settings/resolve/{}", "/api/settings/resolve/{}?explain=true", "/api/definitions/{}"):
        hidden, absent = [bare(await api.alice.get(path.format(key)), key) for key in ("limit.secret", "limit.absent")]
        assert hidden == absent
    named = [
        await api.alice.get(f"/api/settings/effective?keys={key},ui.theme") for key in ("limit.secret", "limit.absent")
    ]
    assert bare(named[0]) == bare(named[1])
    sets = [{"op": "set", **place("USER", "alice"), "key": key, "value": 1} for key in ("limit.secret", "limit.absent")]
    refused = [await api.alice.post("/api/settings/batch", json={"operations": [one]}) for one in sets]
    assert bare(refused[0], "limit.secret") == bare(refused[1], "limit.absent")
    assert refused[0].status_code == 422


async def test_a35_no_header_tells_more_than_its_body(api: Api) -> None:
    await make(api.admin, "limit.secret", 4711)
    asked = {"Setpoint-Server-Timing": "1", "X-Debug": "1", "Pragma": "x-get-cache-key"}
    response = await api.alice.get("/api/settings/effective", headers=asked)

    telling = {"server-timing", "x-cache", "age", "x-cache-key", "via", "server"}
    assert telling.isdisjoint(response.headers)


# ---- A42: row-level security alone ----


async def test_a42_with_one_connection_and_no_other_lock_no_row_of_another_is_seen(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tenants take turns on one connection, some of them leave in the middle; each row that comes is looked at."""
    for client, name in ((api.admin, "acme"), (api.globex, "globex")):
        for key in ("ui.theme", "any.thing"):
            await make(client, key, "dark" if key == "ui.theme" else f"canary of {name}")
    monkeypatch.setattr(Gate, "allows", lambda *_: True)
    monkeypatch.setattr(Gate, "require", lambda *_: None)
    monkeypatch.setattr(Gate, "require_visible", lambda *_: None)
    monkeypatch.setattr(Gate, "condition", lambda *_, **__: SqlCondition(text="TRUE"))
    monkeypatch.setattr(ApiRequest, "tenant_of", lambda it, named: it.user.tenant if named is None else named)
    chosen = random.Random(42)
    async with running(msgspec.structs.replace(api.config, pool_size=1), clock=api.clock) as other:
        clients = {"acme": other.admin, "globex": other.globex}
        for number in range(150):
            own = chosen.choice(("acme", "globex"))
            foreign = chosen.choice(("acme", "globex"))
            path = chosen.choice(
                (
                    f"/api/settings/list?scope=TENANT&tenantId={foreign}",
                    f"/api/settings?scope=TENANT&key=any.thing&tenantId={foreign}",
                    f"/api/settings/effective?tenantId={foreign}",
                    f"/api/scopes?tenantId={foreign}",
                )
            )
            request = asyncio.ensure_future(clients[own].get(path))
            if number % 5 == 0:
                await asyncio.sleep(0)
                request.cancel()
                await asyncio.gather(request, return_exceptions=True)
                continue
            response = await request
            others = {"acme": "globex", "globex": "acme"}[own]
            assert f"canary of {others}".encode() not in response.content
            assert f'"tenantId":"{others}"'.encode() not in response.content


async def test_a42_the_role_that_serves_cannot_turn_the_lock(api: Api) -> None:
    await make(api.admin, "ui.theme", "dark")
    connection = await asyncpg.connect(api.config.database_url)
    try:
        for table in ("setting_value", "setting_history", "scope", "tenant", "event", "audit_record"):
            of_tenants = f"SELECT count(*) FROM {table} WHERE {'id' if table == 'tenant' else 'tenant'} IS NOT NULL"
            assert await connection.fetchval(of_tenants) == 0, "without a reach there are no rows"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("INSERT INTO tenant VALUES ('x', 'x', 1, 1, now(), '', now(), '')")
        for statement in (
            "SET row_security = off; SELECT count(*) FROM setting_value",
            "ALTER TABLE setting_value DISABLE ROW LEVEL SECURITY",
            "DROP POLICY setting_value_sees ON setting_value",
            "SET ROLE setpoint_owner",
            "TRUNCATE setting_value",
            "UPDATE audit_record SET body = ''",
            "DELETE FROM setting_history",
        ):
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute(statement)
            await connection.execute("RESET ALL")
    finally:
        await connection.close()


async def test_a42_a_prepared_plan_serves_each_reach_its_own_rows(api: Api) -> None:
    ids = {}
    for client, tenant in ((api.admin, "acme"), (api.globex, "globex")):
        ids[tenant] = UUID((await make(client, "ui.theme", "dark"))["id"])
    assert api.config.database_url is not None
    config = msgspec.structs.replace(api.config, pool_size=1)
    async with open_database(api.config.database_url, config=config) as database:
        for _ in range(8):  # PostgreSQL makes one plan for all after the fifth
            for tenant in ("acme", "globex"):
                for named in ("acme", "globex"):
                    async with database.connection() as connection:
                        found = await store.by_id(connection, ids[named], reach=Reach(tenant))
                    assert (found is not None) is (tenant == named)


# ---- A45: how it is shipped ----


def test_a45_the_image_runs_as_nobody_on_files_that_it_cannot_change() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    app = compose["services"]["app"]

    assert [line for line in lines if line.startswith("USER")] == ["USER 65532:65532"]
    assert any("--require-hashes" in line and "--only-binary :all:" in line for line in lines)
    assert not any(word in line.lower() for line in lines for word in ("secret", "password", "token"))
    assert app["read_only"] is True
    assert app["cap_drop"] == ["ALL"]
    assert app["security_opt"] == ["no-new-privileges:true"]
    assert all(str(port).startswith("127.0.0.1:") for one in compose["services"].values() for port in one["ports"])


def test_a45_every_dependency_is_pinned_and_hashed() -> None:
    for name in ("server", "test"):
        lines = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8").splitlines()
        pinned = [line for line in lines if line and line[0].isalnum()]
        assert pinned
        assert all("==" in line and line.endswith("\\") for line in pinned)
        assert not any("://" in line for line in lines)


async def test_a45_no_open_page_tells_how_a_node_is_configured(api: Api) -> None:
    told = ""
    for path in (
        "/api/health",
        "/api/health/live",
        "/api/health/ready",
        "/schema/openapi.json",
        "/",
        "/api",
        "/metrics",
    ):
        response = await api.anonymous.get(path)
        told += response.text + str(response.headers)
    secrets = [str(api.config.database_url), str(api.config.data_path), "setpoint_app", "postgres@", "BEGIN PRIVATE"]
    assert [one for one in secrets if one in told] == []
