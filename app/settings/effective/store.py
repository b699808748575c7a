"""The one statement behind every effective read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from app.domain.access import Reach, ScopeFacts
from app.domain.canonical import CanonicalJson
from app.domain.combination import MergeStrategy
from app.domain.definition import ResolutionRule, Sensitivity
from app.domain.position import Position
from app.domain.resolution import Contribution
from app.domain.scope import Chain, Scope
from app.kit.database import Connection


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which keys: the named ones, or all with a prefix."""

    keys: tuple[str, ...] | None = None
    prefix: str = ""


class DefinedKey(msgspec.Struct, frozen=True, kw_only=True):
    """What resolving a key needs of its definition, and what the gate does."""

    rule: ResolutionRule
    sensitivity: Sensitivity


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """
    All that a chain has to say about a selection, as of one position.

    `keys` are in order of their names; `facts` are by path, without scopes that the directory does not know.
    """

    position: Position
    tenant_exists: bool
    keys: list[DefinedKey]
    values: dict[str, dict[Scope, Contribution]]
    facts: dict[str, ScopeFacts]


# One statement has one snapshot: position, definitions, values and facts are all of the same moment (guarantee G1).
# Both are functions of the database, which set the reach and read in one round trip, and give the rows of each table
# as arrays of its columns (migrations/…_row_level_security.py).
# Indexes: setting_definition_pkey, setting_value_by_scope, scope_by_path.
_BY_KEYS = "SELECT * FROM effective_by_keys($1, $2::text[], $3, $4::text[])"
_BY_PREFIX = "SELECT * FROM effective_by_prefix($1, $2::text[], $3, $4)"


async def snapshot(connection: Connection, chain: Chain, selection: Selection, *, reach: Reach) -> Snapshot:
    """What the scopes of a chain say about the selected keys. Cost: one round trip."""
    by_path = {scope.path: scope for scope in chain}
    tenant = chain[1].tenant if len(chain) > 1 else None
    row = await _row(connection, reach, list(by_path), tenant, selection)
    values: dict[str, dict[Scope, Contribution]] = {}
    for path, key, value, version, updated_at, updated_by in _rows(row, "values", "path", "key", "text", *_SIGNED):
        values.setdefault(key, {})[by_path[path]] = Contribution(
            value=CanonicalJson(value.encode()), version=version, updated_at=updated_at, updated_by=updated_by
        )
    return Snapshot(
        position=Position(row["feed_position"]),
        tenant_exists=row["tenant_exists"],
        keys=[_defined(*item) for item in _rows(row, "keys", "key", "default", "merge_strategy", "sensitivity")],
        values=values,
        facts={
            path: ScopeFacts(territory=territory, owner=owner)
            for path, territory, owner in _rows(row, "facts", "path", "territory", "owner")
        },
    )


_SIGNED = ("version", "updated_at", "updated_by")


def _rows(row: Any, table: str, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a table from its columns; an aggregate over no rows is nil, not an empty array."""
    return zip(*(row[f"{table}_{column}"] or () for column in columns), strict=True)


async def _row(
    connection: Connection, reach: Reach, paths: Sequence[str], tenant: str | None, selection: Selection
) -> Any:
    if selection.keys is not None:
        return await connection.fetchrow(_BY_KEYS, reach, paths, tenant, list(selection.keys))
    return await connection.fetchrow(_BY_PREFIX, reach, paths, tenant, selection.prefix)


def _defined(key: str, default: str, merge_strategy: str, sensitivity: str) -> DefinedKey:
    rule = ResolutionRule(
        key=key, default=CanonicalJson(default.encode()), merge_strategy=MergeStrategy(merge_strategy)
    )
    return DefinedKey(rule=rule, sensitivity=Sensitivity(sensitivity))
