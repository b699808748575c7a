"""
Whether the role that serves can do no more than it needs: otherwise row-level security locks nothing.

Superusers and roles with BYPASSRLS pass every policy, owners can take policies away, and a table that somebody forgot
to lock is open. None of that can be seen in an answer, so it is looked for before the first request.
"""

from __future__ import annotations

from typing import Any

import asyncpg

from app.kit.database import Connection

# Tables of tenants are those with a column `tenant`, and `tenant` itself. Partitions are reached by their parent alone.
_POWER = """
SELECT r.rolsuper AS is_superuser, r.rolbypassrls AS bypasses,
    has_schema_privilege('public', 'CREATE') AS creates,
    ARRAY(SELECT c.relname::text FROM pg_class c
          WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
            AND pg_has_role(current_user, c.relowner, 'USAGE') ORDER BY 1) AS owned,
    ARRAY(SELECT c.relname::text FROM pg_class c
          WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
            AND (c.relname = 'tenant' OR EXISTS (
                SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped))
            AND NOT (c.relrowsecurity AND c.relforcerowsecurity) ORDER BY 1) AS unlocked,
    ARRAY(SELECT c.relname::text FROM pg_class c
          WHERE c.relnamespace = 'public'::regnamespace AND c.relispartition
            AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE') ORDER BY 1) AS partitions,
    ARRAY(SELECT p.proname::text FROM pg_proc p
          WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef ORDER BY 1) AS definers,
    ARRAY(SELECT c.relname::text FROM pg_class c
          WHERE c.relnamespace = 'public'::regnamespace AND (c.relkind = 'm' OR (c.relkind = 'v'
            AND NOT coalesce(c.reloptions @> ARRAY['security_invoker=true'], false))) ORDER BY 1) AS views
FROM pg_roles r WHERE r.rolname = current_user
"""


class TooMuchPower(Exception):
    """The role of SETPOINT_DATABASE_URL may do more than serving needs; the message names what and the remedy."""


async def require_least_power(connection: Connection) -> None:
    """Raise TooMuchPower unless row-level security holds this connection's role, on every table of tenants."""
    row: Any = await connection.fetchrow(_POWER)
    found = [sentence for is_so, sentence in _findings(row) if is_so]
    if found:
        raise TooMuchPower(
            f"The role of SETPOINT_DATABASE_URL has more power than it needs: {'; '.join(found)}. Connect as a member "
            "of setpoint_app that owns nothing, and let SETPOINT_OWNER_DATABASE_URL migrate (docs/operations.md)."
        )


async def require_least_power_at(url: str, *, timeout: float) -> None:  # noqa: ASYNC109 (asyncpg's own parameter)
    """The same for a URL. Raises TooMuchPower, and what asyncpg raises."""
    connection = await asyncpg.connect(url, timeout=timeout, command_timeout=timeout)
    try:
        await require_least_power(connection)
    finally:
        await connection.close(timeout=timeout)


def _findings(row: Any) -> list[tuple[bool, str]]:
    return [
        (row["is_superuser"], "it is a superuser"),
        (row["bypasses"], "it bypasses row-level security"),
        (row["creates"], "it can create in the schema public"),
        (bool(row["owned"]), f"it owns {', '.join(row['owned'])}"),
        (bool(row["unlocked"]), f"row-level security is not forced on {', '.join(row['unlocked'])}"),
        (bool(row["partitions"]), f"it reaches the partitions {', '.join(row['partitions'])} past their policies"),
        (bool(row["definers"]), f"functions run with their owner's rights: {', '.join(row['definers'])}"),
        (bool(row["views"]), f"views read with their owner's rights: {', '.join(row['views'])}"),
    ]
