"""SQL of definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from app.access.compiler.sql import SqlCondition
from app.domain.canonical import CanonicalJson, canonical, plain
from app.domain.combination import MergeStrategy
from app.domain.definition import Sensitivity, SettingDefinition
from app.domain.position import Position
from app.domain.scope import Level, Scope
from app.kit.database import Connection
from app.log.append import SETTINGS_POSITION


class StoredValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a changed definition must still accept."""

    id: UUID
    scope: Scope
    value: CanonicalJson


COLUMNS = """key, title, description, schema, default_value, merge_strategy, levels, sensitivity, owner, tags,
    deprecated, version, position, created_at, created_by, updated_at, updated_by"""

# What `Sensitivity.rank` says in Python.
RANK = " ".join(["CASE sensitivity", *(f"WHEN '{one}' THEN {one.rank}" for one in Sensitivity), "END"])

# What the attributes of a DefinitionResource are here, and the first parameter of a condition on them.
ATTRIBUTES = {"sensitivity": RANK}
VISIBLE_FROM = 4

# Sorted, so that writers of several keys lock them in one order.
_LOCK_SHARED = f"SELECT {COLUMNS} FROM setting_definition WHERE key = ANY($1::text[]) ORDER BY key FOR SHARE"
_LOCK = f"SELECT {COLUMNS} FROM setting_definition WHERE key = $1 FOR UPDATE"
# Index: setting_definition_pkey.
_ONE = f"""
SELECT {SETTINGS_POSITION} AS feed_position, ARRAY(
    SELECT ROW({COLUMNS}) FROM setting_definition WHERE key = $1) AS items"""
# Index: setting_definition_pkey; a prefix is a range of keys, never a pattern. The rest is the gate's.
_PAGE = f"""
SELECT {SETTINGS_POSITION} AS feed_position, ARRAY(
    SELECT ROW({COLUMNS}) FROM setting_definition
    WHERE key > $1 AND starts_with(key, $2) AND key >= $2 AND {{visible}}
    ORDER BY key LIMIT $3) AS items"""
_INSERT = f"""
INSERT INTO setting_definition ({COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"""
_UPDATE = f"""
UPDATE setting_definition SET ({COLUMNS})
    = ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
WHERE key = $1"""
_DELETE = "DELETE FROM setting_definition WHERE key = $1"
# Index: setting_value_by_key.
_COUNT_VALUES = "SELECT count(*) FROM setting_value WHERE key = $1"
_VALUES = """
SELECT id, tenant, level, scope_id, value, scope_path FROM setting_value
WHERE key = $1 AND scope_path > $2 ORDER BY scope_path LIMIT $3"""


async def lock_shared(tx: Connection, keys: Sequence[str]) -> dict[str, SettingDefinition]:
    """The definitions of these keys, kept as they are until the transaction ends; unknown keys are left out."""
    rows = await tx.fetch(_LOCK_SHARED, list(keys))
    return {row["key"]: _definition(tuple(row)) for row in rows}


async def lock(tx: Connection, key: str) -> SettingDefinition | None:
    """The definition of a key, held for a change."""
    row = await tx.fetchrow(_LOCK, key)
    return None if row is None else _definition(tuple(row))


async def one(connection: Connection, key: str) -> tuple[Position, SettingDefinition | None]:
    """The definition of a key, None if there is none."""
    position, found = _listed(await connection.fetchrow(_ONE, key))
    return position, found[0] if found else None


async def page(
    connection: Connection, *, after: str, prefix: str, visible: SqlCondition, limit: int
) -> tuple[Position, list[SettingDefinition]]:
    """Definitions in order of their keys, as far as they are visible."""
    statement = _PAGE.format(visible=visible.text)
    return _listed(await connection.fetchrow(statement, after, prefix, limit, *visible.arguments))


async def put(tx: Connection, definition: SettingDefinition, *, is_new: bool) -> None:
    """Create or change a definition. Raises asyncpg.UniqueViolationError when another writer created it first."""
    await tx.execute(
        _INSERT if is_new else _UPDATE,
        definition.key,
        definition.title,
        definition.description,
        canonical(definition.schema).decode(),
        definition.default.decode(),
        definition.merge_strategy.value,
        [level.value for level in definition.levels],
        definition.sensitivity.value,
        definition.owner,
        list(definition.tags),
        definition.deprecated,
        definition.version,
        definition.position,
        definition.created_at,
        definition.created_by,
        definition.updated_at,
        definition.updated_by,
    )


async def delete(tx: Connection, key: str) -> None:
    """Remove a definition that has no values."""
    await tx.execute(_DELETE, key)


async def count_values(tx: Connection, key: str) -> int:
    """How many values are set for a key."""
    count: int = await tx.fetchval(_COUNT_VALUES, key)
    return count


async def values_of(tx: Connection, key: str, *, after_path: str, limit: int) -> list[StoredValue]:
    """Values set for a key, in order of their scopes' paths."""
    rows = await tx.fetch(_VALUES, key, after_path, limit)
    return [
        StoredValue(
            id=row["id"],
            scope=Scope(Level(row["level"]), row["tenant"], row["scope_id"]),
            value=CanonicalJson(row["value"].encode()),
        )
        for row in rows
    ]


def _listed(row: Any) -> tuple[Position, list[SettingDefinition]]:
    return Position(row["feed_position"]), [_definition(tuple(item)) for item in row["items"]]


def _definition(columns: tuple[Any, ...]) -> SettingDefinition:
    key, title, description, schema, default, strategy, levels, sensitivity, owner, tags, deprecated, *rest = columns
    version, position, created_at, created_by, updated_at, updated_by = rest
    return SettingDefinition(
        key=key,
        title=title,
        description=description,
        schema=plain(CanonicalJson(schema.encode())),
        default=CanonicalJson(default.encode()),
        merge_strategy=MergeStrategy(strategy),
        levels=tuple(Level(level) for level in levels),
        sensitivity=Sensitivity(sensitivity),
        owner=owner,
        tags=tuple(tags),
        deprecated=deprecated,
        version=version,
        position=position,
        created_at=created_at,
        created_by=created_by,
        updated_at=updated_at,
        updated_by=updated_by,
    )
