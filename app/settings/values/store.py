"""SQL of values and of their history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from app.access.compiler.sql import SqlCondition
from app.domain.access import Reach, ScopeFacts
from app.domain.canonical import CanonicalJson
from app.domain.definition import Sensitivity
from app.domain.position import Position
from app.domain.scope import Level, Scope
from app.domain.value import SettingValue
from app.kit.database import Connection, Row
from app.log.append import SETTINGS_POSITION
from app.settings.definitions.store import RANK


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A value with what the gate needs to know of it, read in one snapshot."""

    position: Position
    value: SettingValue
    sensitivity: Sensitivity
    facts: ScopeFacts


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A value in a list, with how widely it may be known."""

    value: SettingValue
    sensitivity: Sensitivity


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a value's history. A removal has neither value nor metadata."""

    setting_id: UUID
    operation: Literal["set", "unset"]
    scope: Scope
    key: str
    value: CanonicalJson | None
    metadata: CanonicalJson | None
    version: int
    position: Position
    at: datetime
    by: str


_COLUMNS = """v.id, v.tenant, v.level, v.scope_id, v.key, v.value, v.metadata, v.version, v.position, v.created_at,
    v.created_by, v.updated_at, v.updated_by"""
# What differs between the values at one scope, of the attributes of a SettingResource, and the first parameter of a
# condition on it.
ATTRIBUTES = {"sensitivity": RANK}
VISIBLE_FROM = 5

# Functions of the database, which set the reach and read in one round trip (migrations/…_row_level_security.py).
# Index: setting_value_pkey.
_BY_ID = "SELECT * FROM setting_by_id($1, $2)"
# Index: setting_value_by_scope; a prefix is a range of keys, never a pattern.
_PAGE = f"""
SELECT {SETTINGS_POSITION} AS feed_position, ARRAY(
    SELECT ROW(d.sensitivity, {_COLUMNS}) FROM setting_value v JOIN setting_definition d ON d.key = v.key
    WHERE v.scope_path = $1 AND v.key > $2 AND v.key >= $3 AND starts_with(v.key, $3) AND {{visible}}
    ORDER BY v.key LIMIT $4) AS items"""
# Sorted, so that writers of several values lock them in one order. Index: setting_value_by_scope.
_LOCK = f"""
SELECT {_COLUMNS}
FROM setting_value v JOIN unnest($1::text[], $2::text[]) AS t (scope_path, key)
  ON v.scope_path = t.scope_path AND v.key = t.key
ORDER BY v.scope_path, v.key FOR UPDATE OF v"""
_PUT = """
INSERT INTO setting_value (id, tenant, level, scope_id, key, value, metadata, version, position, created_at, created_by,
    updated_at, updated_by)
SELECT t.id, t.tenant, t.level, t.scope_id, t.key, t.value::json, t.metadata::json, t.version, t.position,
    t.created_at, t.created_by, t.updated_at, t.updated_by
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[],
    $9::bigint[], $10::timestamptz[], $11::text[], $12::timestamptz[], $13::text[])
    AS t (id, tenant, level, scope_id, key, value, metadata, version, position, created_at, created_by, updated_at,
          updated_by)
ON CONFLICT (id) DO UPDATE SET value = excluded.value, metadata = excluded.metadata, version = excluded.version,
    position = excluded.position, updated_at = excluded.updated_at, updated_by = excluded.updated_by"""
_DELETE = "DELETE FROM setting_value WHERE id = ANY($1::uuid[])"
_ADD_HISTORY = """
INSERT INTO setting_history (setting_id, operation, tenant, level, scope_id, key, value, metadata, version, position,
    at, by)
SELECT t.setting_id, t.operation, t.tenant, t.level, t.scope_id, t.key, t.value::json, t.metadata::json, t.version,
    t.position, $11, $12
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int[],
    $10::bigint[])
    AS t (setting_id, operation, tenant, level, scope_id, key, value, metadata, version, position)"""
_VERSION_COLUMNS = "setting_id, operation, tenant, level, scope_id, key, value, metadata, version, position, at, by"
# Index: setting_history_by_setting.
_HISTORY = f"""
SELECT {SETTINGS_POSITION} AS feed_position, ARRAY(
    SELECT ROW({_VERSION_COLUMNS}) FROM setting_history WHERE setting_id = $1 AND version < $2
    ORDER BY version DESC LIMIT $3) AS items"""


async def by_id(connection: Connection, setting_id: UUID, *, reach: Reach) -> Found | None:
    """The value with this id."""
    return _found(await connection.fetchrow(_BY_ID, reach, setting_id))


async def page(
    connection: Connection,
    scope: Scope,
    *,
    after: str,
    prefix: str,
    visible: SqlCondition,
    limit: int,
) -> tuple[Position, list[Listed]]:
    """Values set at a scope, in order of their keys, as far as they are visible."""
    statement = _PAGE.format(visible=visible.text)
    row: Any = await connection.fetchrow(statement, scope.path, after, prefix, limit, *visible.arguments)
    return Position(row["feed_position"]), [_listed(tuple(item)) for item in row["items"]]


async def lock(tx: Connection, places: Sequence[tuple[Scope, str]]) -> dict[tuple[Scope, str], SettingValue]:
    """What is set at these places, held for a change; places where nothing is set are left out."""
    rows = await tx.fetch(_LOCK, [scope.path for scope, _ in places], [key for _, key in places])
    values = [_value(tuple(row)) for row in rows]
    return {(value.scope, value.key): value for value in values}


async def put(tx: Connection, values: Sequence[SettingValue]) -> None:
    """Create or replace values. Raises asyncpg.UniqueViolationError when another writer created one first."""
    if not values:
        return
    await tx.execute(
        _PUT,
        [value.id for value in values],
        [value.scope.tenant for value in values],
        [value.scope.level.value for value in values],
        [value.scope.scope_id for value in values],
        [value.key for value in values],
        [value.value.decode() for value in values],
        [value.metadata.decode() for value in values],
        [value.version for value in values],
        [value.position for value in values],
        [value.created_at for value in values],
        [value.created_by for value in values],
        [value.updated_at for value in values],
        [value.updated_by for value in values],
    )


async def delete(tx: Connection, ids: Sequence[UUID]) -> None:
    """Remove values."""
    if ids:
        await tx.execute(_DELETE, list(ids))


async def add_history(tx: Connection, versions: Sequence[Version]) -> None:
    """Write down versions of values, which share their moment and author."""
    if not versions:
        return
    await tx.execute(
        _ADD_HISTORY,
        [version.setting_id for version in versions],
        [version.operation for version in versions],
        [version.scope.tenant for version in versions],
        [version.scope.level.value for version in versions],
        [version.scope.scope_id for version in versions],
        [version.key for version in versions],
        [None if version.value is None else version.value.decode() for version in versions],
        [None if version.metadata is None else version.metadata.decode() for version in versions],
        [version.version for version in versions],
        [version.position for version in versions],
        versions[0].at,
        versions[0].by,
    )


async def history(
    connection: Connection, setting_id: UUID, *, before: int, limit: int
) -> tuple[Position, list[Version]]:
    """Versions of a value before a version, newest first."""
    row: Any = await connection.fetchrow(_HISTORY, setting_id, before, limit)
    return Position(row["feed_position"]), [_version(tuple(item)) for item in row["items"]]


def _found(row: Row | None) -> Found | None:
    if row is None:
        return None
    position, sensitivity, territory, owner, *columns = tuple(row)
    return Found(
        position=Position(position),
        value=_value(tuple(columns)),
        sensitivity=Sensitivity(sensitivity),
        facts=ScopeFacts(territory=territory, owner=owner),
    )


def _listed(columns: tuple[Any, ...]) -> Listed:
    sensitivity, *value = columns
    return Listed(value=_value(tuple(value)), sensitivity=Sensitivity(sensitivity))


def _value(columns: tuple[Any, ...]) -> SettingValue:
    setting_id, tenant, level, scope_id, key, value, metadata, *rest = columns
    version, position, created_at, created_by, updated_at, updated_by = rest
    return SettingValue(
        id=_plain_uuid(setting_id),
        scope=Scope(Level(level), tenant, scope_id),
        key=key,
        value=CanonicalJson(value.encode()),
        metadata=CanonicalJson(metadata.encode()),
        version=version,
        position=Position(position),
        created_at=created_at,
        created_by=created_by,
        updated_at=updated_at,
        updated_by=updated_by,
    )


def _version(columns: tuple[Any, ...]) -> Version:
    setting_id, operation, tenant, level, scope_id, key, value, metadata, version, position, moment, by = columns
    return Version(
        setting_id=_plain_uuid(setting_id),
        operation=operation,
        scope=Scope(Level(level), tenant, scope_id),
        key=key,
        value=None if value is None else CanonicalJson(value.encode()),
        metadata=None if metadata is None else CanonicalJson(metadata.encode()),
        version=version,
        position=Position(position),
        at=moment,
        by=by,
    )


def _plain_uuid(value: UUID) -> UUID:
    """A standard UUID: asyncpg's own subclass is not one that msgspec encodes."""
    return UUID(int=value.int)
