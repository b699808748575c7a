"""
Applying migrations: Piccolo's, under a lock, with a clear word when something is in the way.

Piccolo takes no lock of its own, so two nodes that start together would both migrate; a session lock on a connection
of ours makes the second one wait and find nothing to do. Piccolo runs in a process of its own, and not at all when a
look at the bookkeeping says there is nothing to do: workers are forked from the process that migrates, and are to
carry none of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import asyncpg

LOCK_KEY = 7203411  # any number nobody else uses on this database
LOCK_WAIT_SECONDS = 120  # another node may be running a long migration
CONNECT_SECONDS = 5
MIGRATION_LIMIT_SECONDS = 1_800  # half an hour; whatever takes longer should be run by hand, and watched

# A superuser may migrate, but is not to own anything: row-level security binds owners (FORCE) and never superusers.
_HAND_OVER = """
DO $$
DECLARE
    command text;
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RETURN;
    END IF;
    FOR command IN
        SELECT format('ALTER TABLE %s OWNER TO setpoint_owner', oid::regclass) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relowner = current_user::regrole
        UNION ALL
        SELECT format('ALTER FUNCTION %s OWNER TO setpoint_owner', oid::regprocedure) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND proowner = current_user::regrole
    LOOP
        EXECUTE command;
    END LOOP;
END
$$
"""

_ROOT = Path(__file__).resolve().parents[2]
_VERSIONS = _ROOT / "migrations" / "versions"
_ID = re.compile(r'^ID = "([^"]+)"', re.MULTILINE)


class MigrationFailed(Exception):
    """The database could not be migrated; the message says why."""


def migrate_forwards(database_url: str) -> list[str]:
    """Apply what is not applied yet and return its ids, oldest first. Raises MigrationFailed."""
    return asyncio.run(_under_lock(database_url, _forwards))


def migrate_backwards(database_url: str, *, to: str) -> list[str]:
    """Undo back to and including `to` (an id, or `all`) and return the ids undone. Raises MigrationFailed."""

    async def backwards(connection: Any, url: str) -> list[str]:
        before = await applied_ids(connection)
        await _run_piccolo("backwards", to, url)
        after = await applied_ids(connection)
        return [one for one in reversed(before) if one not in after]

    return asyncio.run(_under_lock(database_url, backwards))


def known_ids() -> list[str]:
    """The ids of all migrations there are, oldest first."""
    found = [_ID.search(path.read_text()) for path in _VERSIONS.glob("*.py")]
    return sorted(match[1] for match in found if match is not None)


async def applied_ids(connection: Any) -> list[str]:
    """The ids of the migrations that a database has seen, oldest first."""
    if await connection.fetchval("SELECT to_regclass('migration')") is None:
        return []
    rows = await connection.fetch("SELECT name FROM migration WHERE app_name = 'setpoint' ORDER BY name")
    return [row["name"] for row in rows]


async def _forwards(connection: Any, url: str) -> list[str]:
    applied = await applied_ids(connection)
    unknown = [one for one in applied if one not in known_ids()]
    if unknown:
        raise MigrationFailed(
            f"The database was migrated by a newer release (it knows {unknown[-1]}); run that release, or restore "
            "a backup from before it."
        )
    missing = [one for one in known_ids() if one not in applied]
    if missing:
        await _run_piccolo("forwards", "all", url)
        await connection.execute(_HAND_OVER)
    return missing


async def _under_lock(url: str, work: Any) -> list[str]:
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
        raise MigrationFailed(
            f"PostgreSQL cannot be reached for migrating: {type(error).__name__}: {error}."
        ) from error
    try:
        await connection.execute(f"SET lock_timeout = '{LOCK_WAIT_SECONDS}s'")
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        result: list[str] = await work(connection, url)
    except asyncpg.PostgresError as error:
        raise MigrationFailed(f"The database refused to be migrated: {error}.") from error
    else:
        return result
    finally:
        await connection.close()


async def _run_piccolo(direction: str, to: str, url: str) -> None:
    """Run Piccolo in a process of its own: it prints, and keeps engine and imports for the life of its process."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app.kit.migrations",
        direction,
        to,
        cwd=_ROOT,
        env={**os.environ, "SETPOINT_DATABASE_URL": url, "PICCOLO_CONF": "migrations.piccolo_conf"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(child.communicate(), MIGRATION_LIMIT_SECONDS)
    except TimeoutError as error:
        child.kill()
        await child.wait()
        raise MigrationFailed(f"Migrating took longer than {MIGRATION_LIMIT_SECONDS} s and was ended.") from error
    if child.returncode != 0:
        lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise MigrationFailed(f"A migration failed: {lines[-1]}")


def _main(direction: str, to: str) -> int:
    """What the process of its own does."""
    from piccolo.apps.migrations.commands.backwards import run_backwards
    from piccolo.apps.migrations.commands.forwards import run_forwards

    if direction == "forwards":
        result = asyncio.run(run_forwards("setpoint", migration_id=to))
    else:
        result = asyncio.run(run_backwards("setpoint", migration_id=to, auto_agree=True))
    if not result.success:
        sys.stdout.write(f"{result.message}\n")
    return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
