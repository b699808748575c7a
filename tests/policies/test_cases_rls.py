"""
Row-level security alone, held against the tables: never stricter than they are, and closed to other tenants.

Whatever a table allows has to work for the role that serves, within the reach of the principal. What is another
tenant's, or nobody's to change but the platform's, it may not touch, though no gate has been asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
import pytest

from app.domain.access import (
    EVERYWHERE,
    ApiKeyResource,
    AuditResource,
    DefinitionResource,
    EventResource,
    Reach,
    Resource,
    ScopeResource,
    SettingResource,
    TenantResource,
    reach_of,
)
from app.kit.database import Connection
from tests.policies.seeds import Stage, cases_in, id_of, key_of, scope_of, seed, seed_definitions, stages_of
from tests.policies.tables import SHIPPED_TABLES, TABLES, Case, Table
from tests.world import START

pytestmark = pytest.mark.anyio

# Tables without rows of their own for each resource; who reads or adds to them is asked by tenant.
BY_TENANT = {AuditResource: "audit_record", EventResource: "event"}
IN_TABLES = (SettingResource, ScopeResource, TenantResource, DefinitionResource, ApiKeyResource, *BY_TENANT)
MADE = (START, "case")


class Touched(NamedTuple):
    """What of a stage the database lets somebody see and change, by the names in the table."""

    seen: set[str]
    changed: set[str]
    added: set[str]


@asynccontextmanager
async def within(db: Connection, reach: Reach) -> AsyncIterator[None]:
    """As the role that serves, with this reach; whatever is changed is not kept."""
    transaction = db.transaction()
    await transaction.start()
    try:
        await db.execute("SET LOCAL ROLE setpoint_app")
        await db.execute("SELECT set_config('setpoint.reach', $1, true)", reach)
        yield
    finally:
        await transaction.rollback()


async def touched(db: Connection, stage: Stage, reach: Reach) -> Touched:
    found = Touched(set(), set(), set())
    for name, resource in stage.items():
        if isinstance(resource, IN_TABLES):
            async with within(db, reach):
                if await sees(db, resource):
                    found.seen.add(name)
                if await changes(db, resource):
                    found.changed.add(name)
                if await adds(db, resource):
                    found.added.add(name)
    return found


async def sees(db: Connection, resource: Resource) -> bool:
    return await db.fetchval(f"SELECT EXISTS (SELECT FROM {_rows(resource)[0]})", *_rows(resource)[1])  # type: ignore[no-any-return]  # of one


async def changes(db: Connection, resource: Resource) -> bool:
    """What is out of reach is not found by an UPDATE. Audit and events are only added to."""
    if type(resource) in BY_TENANT:
        return False
    table, arguments = _rows(resource)
    name, _, condition = table.partition(" WHERE ")
    try:
        async with db.transaction():
            status = await db.execute(f"UPDATE {name} SET version = version + 1 WHERE {condition}", *arguments)
    except asyncpg.InsufficientPrivilegeError:
        return False
    return status != "UPDATE 0"


async def adds(db: Connection, resource: Resource) -> bool:
    """Whether another row of the same tenant is taken."""
    try:
        async with db.transaction():
            match resource:
                case SettingResource(tenant=tenant, level=level):
                    scope_id = tenant if level == "TENANT" else "another" if tenant else ""
                    await db.execute(
                        """
                        INSERT INTO setting_value (id, tenant, level, scope_id, key, value, metadata, version, position,
                            created_at, created_by, updated_at, updated_by)
                        VALUES (gen_random_uuid(), $3, $4, $5, 'any.thing', '1', '{}', 1, 1, $1, $2, $1, $2)
                        """,
                        *(*MADE, tenant, level, scope_id),
                    )
                case ScopeResource(tenant=tenant, level=level):
                    await db.execute(
                        """
                        INSERT INTO scope (tenant, level, scope_id, attributes, version, position, created_at,
                            created_by, updated_at, updated_by)
                        VALUES ($3, $4, 'another', '{}', 1, 1, $1, $2, $1, $2)
                        """,
                        *(*MADE, tenant, level),
                    )
                case TenantResource():
                    await db.execute(
                        """
                        INSERT INTO tenant (id, name, version, position, created_at, created_by, updated_at, updated_by)
                        VALUES ('another', '', 1, 1, $1, $2, $1, $2)
                        """,
                        *MADE,
                    )
                case ApiKeyResource(tenant=tenant):
                    await db.execute(
                        """
                        INSERT INTO api_key (id, tenant, owner, name, kind, roles, territories, accounts, clearance,
                            secret_digest, pepper_id, expires_at, version, position, created_at, created_by,
                            updated_at, updated_by)
                        VALUES ('another', nullif($3, ''), $2, '', 'service', '{}', '{}', '{}', 'public', '', '',
                            'infinity', 1, 1, $1, $2, $1, $2)
                        """,
                        *(*MADE, tenant),
                    )
                case AuditResource(tenant=tenant):
                    await db.execute("SELECT audit_append($1, ARRAY['{}'])", tenant)
                case EventResource(tenant=tenant):
                    await db.execute(
                        """
                        INSERT INTO event (feed, position, id, type, tenant, aggregate_type, aggregate_id, payload,
                            actor, recorded_at)
                        VALUES (2, 1, gen_random_uuid(), 'order.paid', nullif($3, ''), 'order', '1', '{}', $2, $1)
                        """,
                        *(*MADE, tenant),
                    )
                case _:
                    return True
    except asyncpg.InsufficientPrivilegeError:
        return False
    return True


def _rows(resource: Resource) -> tuple[str, tuple[object, ...]]:
    """Where the rows of a resource are, and the arguments of that."""
    match resource:
        case SettingResource(sensitivity=sensitivity):
            path = scope_of(resource).path
            return "setting_value WHERE scope_path = $1 AND key = $2", (path, key_of(sensitivity))
        case ScopeResource():
            return "scope WHERE scope_path = $1", (scope_of(resource).path,)
        case TenantResource(tenant=tenant):
            return "tenant WHERE id = $1", (tenant,)
        case ApiKeyResource():
            return "api_key WHERE id = $1", (id_of(resource),)
        case DefinitionResource(sensitivity=sensitivity):
            return "setting_definition WHERE key = $1", (key_of(sensitivity),)
        case _:
            return f"{BY_TENANT[type(resource)]} WHERE coalesce(tenant, '') = $1", (getattr(resource, "tenant", ""),)


def is_foreign(resource: Resource, reach: Reach) -> bool:
    """Whether a thing is another tenant's."""
    tenant = getattr(resource, "tenant", None)
    return bool(tenant) and reach not in (EVERYWHERE, tenant)


def is_the_platforms(resource: Resource, reach: Reach) -> bool:
    """Whether a thing belongs to no tenant, and who asks to one, or to none."""
    is_nobodys = not getattr(resource, "tenant", None) and not isinstance(resource, DefinitionResource)
    return is_nobodys and reach != EVERYWHERE


async def differences(db: Connection, table: Table) -> list[str]:
    """Where row-level security is stricter than a table, or open to others."""
    wrong = []
    await seed_definitions(db)
    for stage in stages_of(table):
        await seed(db, stage)
        reaches = {reach_of(case.principal) for case in table.cases}
        by_reach = {reach: await touched(db, stage, reach) for reach in reaches}
        for case in cases_in(stage, table):
            if isinstance(case.resource, IN_TABLES):
                it = by_reach[reach_of(case.principal)]
                wrong += [f"{case.who}: {case.what} {fault}" for fault in faults(case, it)]
    return wrong


def faults(case: Case, it: Touched) -> Iterator[str]:
    reach, name = reach_of(case.principal), case.what
    seen, changed, added = name in it.seen, name in it.changed, name in it.added
    if case.allowed & {"read", "resolve"} and not seen:
        yield "may be seen, and is not there"
    if "write" in case.allowed and not (added if type(case.resource) in BY_TENANT else changed and added):
        yield "may be changed, and cannot"
    if is_foreign(case.resource, reach) and (seen or changed or added):
        yield f"is another tenant's, and within reach: {seen, changed, added}"
    if is_the_platforms(case.resource, reach) and (changed or added):
        yield f"is the platform's, and can be changed: {changed, added}"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_row_level_security_allows_what_the_table_does_and_no_other_tenants_things(
    db: Connection, table: Table
) -> None:
    assert await differences(db, table) == []


@pytest.mark.parametrize(
    "fault",
    [
        "ALTER POLICY scope_sees ON scope USING (true)",
        "ALTER POLICY scope_adds ON scope WITH CHECK (true)",
        "ALTER POLICY tenant_adds ON tenant WITH CHECK (true)",
        "ALTER POLICY scope_sees ON scope USING (false)",
        "ALTER POLICY scope_changes ON scope USING (false)",
        "ALTER POLICY scope_adds ON scope WITH CHECK (false)",
        "REVOKE UPDATE ON tenant FROM setpoint_app",
    ],
)
async def test_a_lock_that_is_too_open_or_too_tight_is_found(db: Connection, fault: str) -> None:
    [registry] = [table for table in SHIPPED_TABLES if table.name == "registry"]
    transaction = db.transaction()
    await transaction.start()
    try:
        await db.execute(fault)
        assert await differences(db, registry) != []
    finally:
        await transaction.rollback()


def test_the_tables_try_a_foreign_thing_of_every_kind() -> None:
    foreign = {
        type(case.resource)
        for table in SHIPPED_TABLES
        for case in table.cases
        if is_foreign(case.resource, reach_of(case.principal))
    }

    assert foreign >= set(IN_TABLES) - {DefinitionResource}
