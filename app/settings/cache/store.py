"""Reading whole scopes and all definitions, each as of one position."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from app.domain.access import Reach, ScopeFacts
from app.domain.canonical import CanonicalJson
from app.domain.combination import MergeStrategy
from app.domain.definition import ResolutionRule, Sensitivity
from app.domain.position import Position
from app.domain.scope import Level, Scope
from app.domain.value import SettingValue
from app.kit.database import Connection
from app.log.trail import Mark, mark_of
from app.settings.cache.entry import DefinedKey, Definitions, Entry

# One statement has one snapshot: position, mark, values and facts are all of the same moment (guarantee G1). Both are
# functions of the database, which set the reach and read in one round trip, and give the rows of each table as arrays
# of its columns (migrations/versions/setpoint_2026_11_24t21_50_00_000000.py).
# Indexes: setting_value_by_scope, scope_by_path, tenant_pkey.
_SCOPES = "SELECT * FROM scope_entries($1, $2::text[], $3)"
_DEFINITIONS = "SELECT * FROM all_definitions()"

_VALUE = ("id", "value", "metadata", "version", "position", "created_at", "created_by", "updated_at", "updated_by")


async def entries(connection: Connection, scopes: Sequence[Scope]) -> dict[str, Entry]:
    """
    What is held of these scopes, by path. All have to be of one tenant, or GLOBAL. Cost: one round trip.

    The reach is that of the scopes' own tenant, whoever asks: the entries are for everybody who may see them.
    """
    by_path = {scope.path: scope for scope in scopes}
    tenant = next((scope.tenant for scope in scopes if scope.tenant is not None), None)
    row: Any = await connection.fetchrow(_SCOPES, Reach(tenant or ""), list(by_path), tenant)
    position, mark = _stamp(row)
    facts = {
        path: ScopeFacts(territory=territory, owner=owner)
        for path, territory, owner in _rows(row, "facts", "path", "territory", "owner")
    }
    values: dict[str, dict[str, SettingValue]] = {path: {} for path in by_path}
    for path, key, *columns in _rows(row, "values", "path", "key", *_VALUE):
        values[path][sys.intern(key)] = _value(by_path[path], key, *columns)
    return {
        path: Entry(
            position=position,
            mark=mark,
            good=position,
            scope=scope,
            path=path,
            tenant_exists=row["tenant_exists"] and scope.level is Level.TENANT,
            facts=facts.get(path),
            values=values[path],
        )
        for path, scope in by_path.items()
    }


async def definitions(connection: Connection) -> Definitions:
    """All definitions. Cost: one round trip."""
    row: Any = await connection.fetchrow(_DEFINITIONS)
    position, mark = _stamp(row)
    defined = [_defined(*item) for item in _rows(row, "keys", "key", "default", "merge_strategy", "sensitivity")]
    by_key = {one.rule.key: one for one in defined}
    return Definitions(position=position, mark=mark, good=position, by_key=by_key, names=list(by_key), all=defined)


def _stamp(row: Any) -> tuple[Position, Mark]:
    return Position(row["feed_position"]), mark_of(row["feed_mark"])


def _rows(row: Any, table: str, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a table from its columns; an aggregate over no rows is nil, not an empty array."""
    return zip(*(row[f"{table}_{column}"] or () for column in columns), strict=True)


def _value(scope: Scope, key: str, setting_id: UUID, value: str, metadata: str, *rest: Any) -> SettingValue:
    version, position, created_at, created_by, updated_at, updated_by = rest
    return SettingValue(
        id=UUID(int=setting_id.int),  # a standard one: asyncpg's own subclass is not one that msgspec encodes
        scope=scope,
        key=sys.intern(key),  # as many scopes have them as there are; each name is held once
        value=CanonicalJson(value.encode()),
        metadata=CanonicalJson(metadata.encode()),
        version=version,
        position=Position(position),
        created_at=created_at,
        created_by=sys.intern(created_by),
        updated_at=updated_at,
        updated_by=sys.intern(updated_by),
    )


def _defined(key: str, default: str, merge_strategy: str, sensitivity: str) -> DefinedKey:
    rule = ResolutionRule(
        key=sys.intern(key), default=CanonicalJson(default.encode()), merge_strategy=MergeStrategy(merge_strategy)
    )
    return DefinedKey(rule=rule, sensitivity=Sensitivity(sensitivity))
