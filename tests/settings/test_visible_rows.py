"""Lists hold what the gate lets pass, row by row, in full pages; and their statements go on finding it by an index."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.access.compiler.sql import SqlCondition
from app.access.gate import Gate
from app.access.polar import load_policy
from app.config import Config
from app.domain.access import (
    Action,
    Circumstances,
    DefinitionResource,
    Principal,
    ScopeResource,
    SettingResource,
    TenantResource,
    circumstances_at,
    reach_of,
)
from app.domain.scope import Level
from app.kit.database import Connection
from app.settings.definitions import store as definitions
from app.settings.directory import store as directory
from app.settings.values import store as values
from tests.builders import AT, NOW, caller
from tests.settings.test_listing import pages
from tests.world import CREATE, LEVELS, PRINCIPALS, Api, make

pytestmark = pytest.mark.anyio

OVERRIDING = circumstances_at(AT, override_reason="the office in CH burns")
ASKERS = {
    "admin": (PRINCIPALS["admin"], NOW),
    "manager": (PRINCIPALS["manager"], NOW),
    "manager with a reason": (PRINCIPALS["manager"], OVERRIDING),
    "user": (PRINCIPALS["alice"], NOW),
    "platform": (PRINCIPALS["platform"], NOW),
}


# ---- Pages ----


async def test_pages_of_the_directory_are_full_of_what_may_be_seen(api: Api) -> None:
    for number in range(24):
        territory = {"territory": "DE" if number % 4 == 0 else "CH"}
        path = f"/api/scopes/ACCOUNT/{number:02}"
        assert (await api.admin.put(path, json=territory, headers=CREATE)).status_code == 201
    await api.admin.put("/api/scopes/ACCOUNT/zz", json={"territory": "CH", "owner": "alice"}, headers=CREATE)

    found = await pages(api.alice, "/api/scopes", scope="ACCOUNT", limit=4)

    assert [len(page) for page in found] == [4, 4]
    assert [item["scopeId"] for page in found for item in page] == ["00", "04", "08", "12", "16", "20", "adler", "zz"]


async def test_what_a_level_implies_counts_in_a_list_as_it_does_for_one(api: Api) -> None:
    """Her USER scope is hers and a TERRITORY lies in itself, though the entries say neither."""
    await api.admin.put("/api/scopes/USER/erika", json={}, headers=CREATE)
    erika = api.of(Principal(id="erika", tenant="acme", roles=("user",), territories=("CH",)))

    [items] = await pages(erika, "/api/scopes")

    assert [(one["scope"], one["scopeId"]) for one in items] == [
        ("ACCOUNT", "bern"),
        ("TERRITORY", "CH"),
        ("USER", "carl"),
        ("USER", "erika"),
    ]
    for item in items:
        assert (await erika.get(f"/api/scopes/{item['scope']}/{item['scopeId']}")).status_code == 200


async def test_nobody_sees_another_tenants_directory_by_sharing_its_territories(api: Api) -> None:
    stranger = api.of(Principal(id="alice", tenant="globex", roles=("user",), territories=("DE", "US")))

    [items] = await pages(stranger, "/api/scopes")

    assert {item["tenantId"] for item in items} == {"globex"}


async def test_pages_of_definitions_and_tenants_hold_everything_once(api: Api) -> None:
    for number in range(7):
        sensitivity = ["public", "secret"][number % 2]
        definition = {"schema": True, "default": None, "levels": LEVELS, "sensitivity": sensitivity}
        await api.platform.put(f"/api/definitions/paged.{number}", json=definition, headers=CREATE)
        await api.platform.put(f"/api/tenants/paged-{number}", json={}, headers=CREATE)

    seen = await pages(api.alice, "/api/definitions", prefix="paged.", limit=2)
    tenants = await pages(api.platform, "/api/tenants", limit=3)

    assert [[one["key"] for one in page] for page in seen] == [["paged.0", "paged.2"], ["paged.4", "paged.6"]]
    assert [one["tenantId"] for page in tenants for one in page] == [
        "acme",
        "globex",
        *(f"paged-{number}" for number in range(7)),
    ]
    assert [len(page) for page in tenants] == [3, 3, 3]


async def test_a_reason_opens_the_rows_of_other_territories(api: Api) -> None:
    await make(api.admin, "ui.theme", "dark", "TERRITORY", "CH")
    where = {"scope": "TERRITORY", "scopeId": "CH"}

    without = await api.manager.get("/api/settings/list", params=where)
    with_reason = await api.manager.get(
        "/api/settings/list", params=where, headers={"Setpoint-Override-Reason": "the office burns"}
    )

    assert without.status_code == 404
    assert [item["value"] for item in with_reason.json()["items"]] == ["dark"]


# ---- Indexes ----

MANY = """
INSERT INTO tenant (id, name, version, position, created_at, created_by, updated_at, updated_by)
SELECT 't' || n, '', 1, n, now(), '', now(), '' FROM generate_series(1, 300) n;
INSERT INTO scope (tenant, level, scope_id, territory, attributes, version, position, created_at, created_by,
    updated_at, updated_by)
SELECT tenant, 'ACCOUNT', 'n' || n, (ARRAY['DE', 'CH', 'FR'])[n % 3 + 1], '{}', 1, n, now(), '', now(), ''
FROM generate_series(1, 300) n, unnest(ARRAY['acme', 'globex']) tenant;
INSERT INTO setting_definition (key, schema, default_value, merge_strategy, levels, sensitivity, tags, deprecated,
    version, position, created_at, created_by, updated_at, updated_by)
SELECT 'many.' || n, 'true', 'null', 'replace', ARRAY['TENANT'], (ARRAY['public', 'secret'])[n % 2 + 1], '{}', false,
    1, n, now(), '', now(), ''
FROM generate_series(1, 300) n;
INSERT INTO setting_value (id, tenant, level, scope_id, key, value, metadata, version, position, created_at,
    created_by, updated_at, updated_by)
SELECT gen_random_uuid(), tenant, 'TENANT', tenant, 'many.' || n, '1', '{}', 1, n, now(), '', now(), ''
FROM generate_series(1, 300) n, unnest(ARRAY['acme', 'globex']) tenant;
ANALYZE tenant, scope, setting_definition, setting_value;
"""


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(load_policy(*Config().policies_paths))


@pytest.fixture
async def crowded(db: Connection) -> AsyncIterator[Connection]:
    """
    The database with many rows, for the role that serves.

    Few enough to be made for a test, though, so it is kept from reading and sorting them all: an index that row-level
    security or a condition had made useless could not be used even so.
    """
    transaction = db.transaction()
    await transaction.start()
    try:
        await db.execute(MANY)
        await db.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        await db.execute("SET LOCAL enable_sort = off; SET LOCAL ROLE setpoint_app")
        yield db
    finally:
        await transaction.rollback()


async def plan(crowded: Connection, somebody: Principal, statement: str, *arguments: Any) -> str:
    """How PostgreSQL would run a statement within somebody's reach."""
    await crowded.execute("SELECT set_config('setpoint.reach', $1, true)", reach_of(somebody))
    return "\n".join(row[0] for row in await crowded.fetch(f"EXPLAIN (COSTS OFF) {statement}", *arguments))


def condition(
    gate: Gate, asker: tuple[Principal, Circumstances], class_: type, columns: dict[str, str], start: int, **known: Any
) -> SqlCondition:
    somebody, circumstances = asker
    return gate.condition(
        caller(somebody, circumstances=circumstances), Action.READ, class_, columns, known=known, start=start
    )


async def test_a_page_of_the_directory_is_found_by_its_index(crowded: Connection, gate: Gate) -> None:
    for asker in ASKERS.values():
        visible = condition(
            gate, asker, ScopeResource, directory.ENTRY_ATTRIBUTES, directory.ENTRY_VISIBLE_FROM, tenant="acme"
        )
        assert visible.text != "FALSE"
        statement = directory._ENTRIES.format(visible=visible.text)
        asked = ("acme", "ACCOUNT/acme/n5", None, None, 101)

        found = await plan(crowded, asker[0], statement, *asked, *visible.arguments)

        assert "Index Scan using scope_by_tenant" in found, found
        assert "Index Cond: ((tenant = 'acme'::text) AND (scope_path > 'ACCOUNT/acme/n5'::text))" in found, found


async def test_a_page_of_values_is_found_by_its_index(crowded: Connection, gate: Gate) -> None:
    scope = {"tenant": "acme", "level": Level.TENANT.value, "scope_id": "acme", "territory": None, "owner": None}
    for asker in ASKERS.values():
        visible = condition(gate, asker, SettingResource, values.ATTRIBUTES, values.VISIBLE_FROM, **scope)
        assert visible.text not in ("FALSE", "TRUE")
        statement = values._PAGE.format(visible=visible.text)

        found = await plan(crowded, asker[0], statement, "TENANT/acme", "many.5", "many.", 101, *visible.arguments)

        assert "Index Scan using setting_value_by_scope" in found, found
        assert "Index Cond: ((scope_path = 'TENANT/acme'::text) AND (key > 'many.5'::text)" in found, found


async def test_a_page_of_definitions_is_found_by_its_index(crowded: Connection, gate: Gate) -> None:
    for asker in ASKERS.values():
        visible = condition(gate, asker, DefinitionResource, definitions.ATTRIBUTES, definitions.VISIBLE_FROM)
        statement = definitions._PAGE.format(visible=visible.text)

        found = await plan(crowded, asker[0], statement, "many.5", "many.", 101, *visible.arguments)

        assert "Index Scan using setting_definition_pkey" in found, found
        assert "Index Cond: ((key > 'many.5'::text) AND (key >= 'many.'::text)" in found, found


async def test_a_page_of_tenants_is_found_by_its_index(crowded: Connection, gate: Gate) -> None:
    asker = ASKERS["platform"]
    visible = condition(gate, asker, TenantResource, directory.TENANT_ATTRIBUTES, directory.TENANT_VISIBLE_FROM)
    statement = directory._TENANTS.format(visible=visible.text)

    found = await plan(crowded, asker[0], statement, "t5", 101, *visible.arguments)

    assert "Index Scan using tenant_pkey" in found, found
    assert "Index Cond: (id > 't5'::text)" in found, found
