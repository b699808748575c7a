"""The database and the domain spell the path of a scope alike: reads find rows by what the domain says."""

from __future__ import annotations

import asyncpg
import pytest

from app.domain.scope import Level, Scope, scope_of
from app.kit.database import Connection

pytestmark = pytest.mark.anyio

SCOPES = [
    scope_of(level, tenant=None if level is Level.GLOBAL else "acme", scope_id=scope_id)
    for level in Level
    for scope_id in ((None,) if level in (Level.GLOBAL, Level.TENANT) else ("DE", "a/b", "ünï ☃", "TENANT/acme"))
]


@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: scope.path)
async def test_a_scope_has_one_path(db: Connection, scope: Scope) -> None:
    path = await db.fetchval(
        """INSERT INTO setting_history (position, setting_id, operation, tenant, level, scope_id, key, version, at, by)
        VALUES (1000000, gen_random_uuid(), 'unset', $1, $2, $3, 'k', 1, now(), 'x') RETURNING scope_path""",
        scope.tenant,
        scope.level.value,
        scope.scope_id,
    )

    assert path == scope.path


async def test_the_database_knows_the_levels_of_the_domain_and_no_others(db: Connection) -> None:
    insert = """INSERT INTO scope (tenant, level, scope_id, attributes, version, position, created_at, created_by,
        updated_at, updated_by) VALUES ('acme', $1, 'test', '{}', 1, 1, now(), 'x', now(), 'x')"""

    for level in list(Level)[1:]:
        await db.execute(insert, level.value)

    for level in ("GLOBAL", "PLANET", "user"):
        with pytest.raises(asyncpg.CheckViolationError):
            await db.execute(insert, level)
