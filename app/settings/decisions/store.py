"""SQL of what decisions are based on."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from app.access.authzen.source import Entry
from app.domain.access import ScopeFacts
from app.domain.definition import Sensitivity
from app.domain.scope import Level, Scope
from app.kit.database import Connection

# Index: scope_by_path.
_ENTRIES = "SELECT scope_path, territory, owner, attributes FROM scope WHERE scope_path = ANY($1::text[])"
# Index: setting_definition_pkey.
_SENSITIVITIES = "SELECT key, sensitivity FROM setting_definition WHERE key = ANY($1::text[])"
# Index: tenant_pkey.
_TENANTS = "SELECT id FROM tenant WHERE id = ANY($1::text[])"

# What may be looked through by a search, in order of its ids. Index: scope_by_tenant.
_SCOPES = """
SELECT level, tenant, scope_id FROM scope
WHERE tenant = $1 AND scope_path > $2 AND ($3::text IS NULL OR level = $3) ORDER BY scope_path LIMIT $4"""
# Index: setting_value_by_scope. A tenant's paths are one range at each level, so nobody else's rows are passed over.
_PLACES = """
SELECT found.scope_path, found.key
FROM unnest($1::text[], $2::text[]) AS range (low, high) CROSS JOIN LATERAL (
    SELECT v.scope_path, v.key FROM setting_value v
    WHERE v.scope_path >= range.low AND v.scope_path < range.high AND (v.scope_path, v.key) > ($3, $4)
    ORDER BY v.scope_path, v.key LIMIT $5) found
ORDER BY found.scope_path, found.key LIMIT $5"""
# Index: setting_definition_pkey.
_KEYS = "SELECT key FROM setting_definition WHERE key > $1 ORDER BY key LIMIT $2"
# Index: tenant_pkey.
_TENANT_IDS = "SELECT id FROM tenant WHERE id > $1 ORDER BY id LIMIT $2"


async def entries(connection: Connection, scopes: Collection[Scope]) -> dict[str, Entry]:
    """What the directory says of these scopes, by path; scopes without an entry are left out."""
    rows = await connection.fetch(_ENTRIES, [scope.path for scope in scopes]) if scopes else []
    return {
        row["scope_path"]: Entry(
            facts=ScopeFacts(territory=row["territory"], owner=row["owner"]),
            attributes=msgspec.json.decode(row["attributes"], type=dict),
        )
        for row in rows
    }


async def sensitivities(connection: Connection, keys: Collection[str]) -> dict[str, Sensitivity]:
    """How sensitive these keys are; those that nobody defined are left out."""
    rows = await connection.fetch(_SENSITIVITIES, list(keys)) if keys else []
    return {row["key"]: Sensitivity(row["sensitivity"]) for row in rows}


async def tenants(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those of these tenants that there are."""
    rows = await connection.fetch(_TENANTS, list(ids)) if ids else []
    return {row["id"] for row in rows}


async def scopes(connection: Connection, *, tenant: str, after: str, level: Level | None, limit: int) -> list[Scope]:
    """Scopes that a tenant's directory knows, in order of their paths."""
    rows = await connection.fetch(_SCOPES, tenant, after, None if level is None else level.value, limit)
    return [Scope(Level(row["level"]), row["tenant"], row["scope_id"]) for row in rows]


async def places(
    connection: Connection, *, tenant: str, after_path: str, after_key: str, limit: int
) -> list[tuple[str, str]]:
    """Paths and keys of what is set in a tenant and for everybody, in order."""
    ranges = [("GLOBAL", "GLOBAL!"), (f"TENANT/{tenant}", f"TENANT/{tenant}!")]  # no path goes on with a "!"
    below = list(Level)[Level.TENANT.rank + 1 :]
    ranges += [(f"{level}/{tenant}/", f"{level}/{tenant}0") for level in below]  # "0" comes after "/"
    lows, highs = [low for low, _ in ranges], [high for _, high in ranges]
    rows = await connection.fetch(_PLACES, lows, highs, after_path, after_key, limit)
    return [(row["scope_path"], row["key"]) for row in rows]


async def keys(connection: Connection, *, after: str, limit: int) -> list[str]:
    """Keys that are defined, in order."""
    return [row["key"] for row in await connection.fetch(_KEYS, after, limit)]


async def tenant_ids(connection: Connection, *, after: str, limit: int) -> list[str]:
    """Ids of tenants, in order."""
    return [row["id"] for row in await connection.fetch(_TENANT_IDS, after, limit)]
