"""SQL of tenants and of the scope directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from app.access.compiler.sql import SqlCondition
from app.domain.access import ScopeFacts
from app.domain.canonical import CanonicalJson
from app.domain.position import Position
from app.domain.scope import Level, Scope
from app.kit.database import Connection, Row
from app.log.append import SETTINGS_POSITION

T = TypeVar("T")


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A customer whose settings nobody else sees."""

    id: str
    name: str
    version: int
    position: Position
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class ScopeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a scope besides its values."""

    scope: Scope
    facts: ScopeFacts
    attributes: CanonicalJson
    version: int
    position: Position
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


_TENANT_COLUMNS = "id, name, version, position, created_at, created_by, updated_at, updated_by"
_ENTRY_COLUMNS = """tenant, level, scope_id, territory, owner, attributes, version, position, created_at, created_by,
    updated_at, updated_by"""

# What `facts_of` says in Python: a level implies one of the facts, whatever the entry claims.
_TERRITORY = "CASE level WHEN 'TERRITORY' THEN scope_id ELSE territory END"
_OWNER = "CASE level WHEN 'USER' THEN scope_id ELSE owner END"

# What the attributes of a TenantResource and of a ScopeResource are here, and the first parameters of conditions on
# them.
TENANT_ATTRIBUTES = {"tenant": "id"}
TENANT_VISIBLE_FROM = 3
ENTRY_ATTRIBUTES = {
    "tenant": "tenant",
    "level": "level",
    "scope_id": "scope_id",
    "territory": _TERRITORY,
    "owner": _OWNER,
}
ENTRY_VISIBLE_FROM = 6

# ---- tenants ----

# The lock keeps the tenant from being removed while its settings are written. It is the first lock of any writer.
_LOCK_TENANTS = "SELECT id FROM tenant WHERE id = ANY($1::text[]) ORDER BY id FOR KEY SHARE"
_LOCK_TENANT = f"SELECT {_TENANT_COLUMNS} FROM tenant WHERE id = $1 FOR UPDATE"
# Index: tenant_pkey.
_TENANTS = f"""
SELECT {SETTINGS_POSITION} AS feed_position, ARRAY(
    SELECT ROW({_TENANT_COLUMNS}) FROM tenant WHERE id > $1 AND {{visible}} ORDER BY id LIMIT $2) AS items"""
_INSERT_TENANT = f"INSERT INTO tenant ({_TENANT_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
_UPDATE_TENANT = """
UPDATE tenant SET name = $2, version = $3, position = $4, updated_at = $5, updated_by = $6 WHERE id = $1"""
# Indexes: setting_value_by_tenant, scope_by_tenant, api_key_by_tenant. Revoked keys are no hindrance.
_COUNT_DEPENDENTS = """
SELECT (SELECT count(*) FROM setting_value WHERE tenant = $1) AS setting_values,
       (SELECT count(*) FROM scope WHERE tenant = $1) AS scopes,
       (SELECT count(*) FROM api_key WHERE coalesce(tenant, '') = $1 AND revoked_at IS NULL) AS keys"""
_DELETE_TENANT = "DELETE FROM tenant WHERE id = $1"

# ---- scope directory ----

# Index: scope_by_path.
_FACTS = "SELECT scope_path, territory, owner FROM scope WHERE scope_path = ANY($1::text[])"
_LOCK_FACTS = f"{_FACTS} ORDER BY scope_path FOR SHARE"
_LOCK_ENTRY = f"SELECT {_ENTRY_COLUMNS} FROM scope WHERE scope_path = $1 FOR UPDATE"
_ENTRY = f"""
SELECT {SETTINGS_POSITION} AS feed_position, ARRAY(
    SELECT ROW({_ENTRY_COLUMNS}) FROM scope WHERE scope_path = $1) AS items"""
# Index: scope_by_tenant.
_ENTRIES = f"""
SELECT {SETTINGS_POSITION} AS feed_position, ARRAY(
    SELECT ROW({_ENTRY_COLUMNS}) FROM scope
    WHERE tenant = $1 AND scope_path > $2 AND ($3::text IS NULL OR level = $3)
      AND ($4::text IS NULL OR {_TERRITORY} = $4) AND {{visible}}
    ORDER BY scope_path LIMIT $5) AS items"""
_INSERT_ENTRY = f"""
INSERT INTO scope ({_ENTRY_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"""
_UPDATE_ENTRY = """
UPDATE scope SET territory = $2, owner = $3, attributes = $4, version = $5, position = $6, updated_at = $7,
    updated_by = $8
WHERE scope_path = $1"""
_DELETE_ENTRY = "DELETE FROM scope WHERE scope_path = $1"


async def lock_tenants(tx: Connection, ids: Sequence[str]) -> set[str]:
    """Keep these tenants from being removed until the transaction ends; gives those that exist."""
    return {row["id"] for row in await tx.fetch(_LOCK_TENANTS, list(ids))}


async def lock_tenant(tx: Connection, tenant_id: str) -> Tenant | None:
    """The tenant, held for a change."""
    row = await tx.fetchrow(_LOCK_TENANT, tenant_id)
    return None if row is None else _tenant(tuple(row))


async def tenants(
    connection: Connection, *, after: str, visible: SqlCondition, limit: int
) -> tuple[Position, list[Tenant]]:
    """Tenants in order of their ids, as far as they are visible."""
    statement = _TENANTS.format(visible=visible.text)
    return _listed(await connection.fetchrow(statement, after, limit, *visible.arguments), _tenant)


async def insert_tenant(tx: Connection, tenant: Tenant) -> None:
    """Create a tenant. Raises asyncpg.UniqueViolationError when another writer was first."""
    await tx.execute(_INSERT_TENANT, *msgspec.structs.astuple(tenant))


async def update_tenant(tx: Connection, tenant: Tenant) -> None:
    """Change a tenant."""
    changed = (tenant.name, tenant.version, tenant.position, tenant.updated_at, tenant.updated_by)
    await tx.execute(_UPDATE_TENANT, tenant.id, *changed)


async def count_dependents(tx: Connection, tenant_id: str) -> tuple[int, int, int]:
    """How many values, directory entries and API keys a tenant still has."""
    row = await tx.fetchrow(_COUNT_DEPENDENTS, tenant_id)
    return (row["setting_values"], row["scopes"], row["keys"]) if row is not None else (0, 0, 0)


async def delete_tenant(tx: Connection, tenant_id: str) -> None:
    """Remove a tenant that has nothing any more."""
    await tx.execute(_DELETE_TENANT, tenant_id)


async def facts_at(connection: Connection, scopes: Sequence[Scope]) -> dict[str, ScopeFacts]:
    """What the directory says of these scopes, by path; scopes without an entry are left out."""
    return _facts(await connection.fetch(_FACTS, [scope.path for scope in scopes]))


async def lock_facts(tx: Connection, scopes: Sequence[Scope]) -> dict[str, ScopeFacts]:
    """The same, kept as they are until the transaction ends: what is judged by them must not outlive them."""
    return _facts(await tx.fetch(_LOCK_FACTS, [scope.path for scope in scopes]))


async def lock_entry(tx: Connection, scope: Scope) -> ScopeEntry | None:
    """The entry of a scope, held for a change."""
    row = await tx.fetchrow(_LOCK_ENTRY, scope.path)
    return None if row is None else _entry(tuple(row))


async def entry_at(connection: Connection, scope: Scope) -> tuple[Position, list[ScopeEntry]]:
    """The entry of a scope, if it has one."""
    return _listed(await connection.fetchrow(_ENTRY, scope.path), _entry)


async def entries(
    connection: Connection,
    *,
    tenant: str,
    after: str,
    level: Level | None,
    territory: str | None,
    visible: SqlCondition,
    limit: int,
) -> tuple[Position, list[ScopeEntry]]:
    """Entries of a tenant in order of their paths, as far as they are visible."""
    statement = _ENTRIES.format(visible=visible.text)
    asked = (tenant, after, None if level is None else level.value, territory, limit)
    return _listed(await connection.fetchrow(statement, *asked, *visible.arguments), _entry)


async def insert_entry(tx: Connection, entry: ScopeEntry) -> None:
    """Create an entry. Raises asyncpg.UniqueViolationError when another writer was first."""
    await tx.execute(
        _INSERT_ENTRY,
        entry.scope.tenant,
        entry.scope.level.value,
        entry.scope.scope_id,
        entry.facts.territory,
        entry.facts.owner,
        entry.attributes.decode(),
        entry.version,
        entry.position,
        entry.created_at,
        entry.created_by,
        entry.updated_at,
        entry.updated_by,
    )


async def update_entry(tx: Connection, entry: ScopeEntry) -> None:
    """Change an entry."""
    await tx.execute(
        _UPDATE_ENTRY,
        entry.scope.path,
        entry.facts.territory,
        entry.facts.owner,
        entry.attributes.decode(),
        entry.version,
        entry.position,
        entry.updated_at,
        entry.updated_by,
    )


async def delete_entry(tx: Connection, scope: Scope) -> None:
    """Remove an entry."""
    await tx.execute(_DELETE_ENTRY, scope.path)


def _facts(rows: Sequence[Row]) -> dict[str, ScopeFacts]:
    return {row["scope_path"]: ScopeFacts(territory=row["territory"], owner=row["owner"]) for row in rows}


def _listed(row: Row | None, read: Callable[[tuple[Any, ...]], T]) -> tuple[Position, list[T]]:
    if row is None:  # the head of the feed is made by a migration
        raise LookupError("feed_head has no row for the settings feed")
    return Position(row["feed_position"]), [read(tuple(item)) for item in row["items"]]


def _tenant(columns: tuple[Any, ...]) -> Tenant:
    return Tenant(**dict(zip(Tenant.__struct_fields__, columns, strict=True)))


def _entry(columns: tuple[Any, ...]) -> ScopeEntry:
    tenant, level, scope_id, territory, owner, attributes, *rest = columns
    version, position, created_at, created_by, updated_at, updated_by = rest
    return ScopeEntry(
        scope=Scope(Level(level), tenant, scope_id),
        facts=ScopeFacts(territory=territory, owner=owner),
        attributes=CanonicalJson(attributes.encode()),
        version=version,
        position=position,
        created_at=created_at,
        created_by=created_by,
        updated_at=updated_at,
        updated_by=updated_by,
    )
