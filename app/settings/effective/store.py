"""The one statement behind every effective read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from app.domain.access import ScopeFacts
from app.domain.canonical import CanonicalJson
from app.domain.combination import MergeStrategy
from app.domain.definition import ResolutionRule, Sensitivity
from app.domain.position import Position
from app.domain.resolution import Contribution
from app.domain.scope import Chain, Scope
from app.kit.database import Connection
from app.log.append import SETTINGS_POSITION


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
# Indexes: setting_definition_pkey, setting_value_by_scope, scope_by_path.
_SNAPSHOT = f"""
SELECT {SETTINGS_POSITION} AS position,
    EXISTS (SELECT FROM tenant WHERE id = $2) AS tenant_exists,
    ARRAY(SELECT ROW(s.scope_path, s.territory, s.owner) FROM scope s WHERE s.scope_path = ANY($1::text[])) AS facts,
    ARRAY(SELECT ROW(d.key, d.default_value, d.merge_strategy, d.sensitivity)
          FROM setting_definition d WHERE {{definitions}} ORDER BY d.key) AS keys,
    ARRAY(SELECT ROW(v.scope_path, v.key, v.value, v.version, v.updated_at, v.updated_by)
          FROM setting_value v WHERE v.scope_path = ANY($1::text[]) AND {{values}}) AS items"""
_BY_KEYS = _SNAPSHOT.format(definitions="d.key = ANY($3::text[])", values="v.key = ANY($3::text[])")
_BY_PREFIX = _SNAPSHOT.format(
    definitions="d.key >= $3 AND starts_with(d.key, $3)", values="v.key >= $3 AND starts_with(v.key, $3)"
)


async def snapshot(connection: Connection, chain: Chain, selection: Selection) -> Snapshot:
    """What the scopes of a chain say about the selected keys. Cost: one round trip."""
    by_path = {scope.path: scope for scope in chain}
    tenant = chain[1].tenant if len(chain) > 1 else None
    row = await _row(connection, list(by_path), tenant, selection)
    values: dict[str, dict[Scope, Contribution]] = {}
    for path, key, value, version, updated_at, updated_by in row["items"]:
        values.setdefault(key, {})[by_path[path]] = Contribution(
            value=CanonicalJson(value.encode()), version=version, updated_at=updated_at, updated_by=updated_by
        )
    return Snapshot(
        position=Position(row["position"]),
        tenant_exists=row["tenant_exists"],
        keys=[_defined(*item) for item in row["keys"]],
        values=values,
        facts={path: ScopeFacts(territory=territory, owner=owner) for path, territory, owner in row["facts"]},
    )


async def _row(connection: Connection, paths: Sequence[str], tenant: str | None, selection: Selection) -> Any:
    if selection.keys is not None:
        return await connection.fetchrow(_BY_KEYS, paths, tenant, list(selection.keys))
    return await connection.fetchrow(_BY_PREFIX, paths, tenant, selection.prefix)


def _defined(key: str, default: str, merge_strategy: str, sensitivity: str) -> DefinedKey:
    rule = ResolutionRule(
        key=key, default=CanonicalJson(default.encode()), merge_strategy=MergeStrategy(merge_strategy)
    )
    return DefinedKey(rule=rule, sensitivity=Sensitivity(sensitivity))
