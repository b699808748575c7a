"""
Applying migrations: Piccolo's, under a lock, with a clear word when something is in the way.

Piccolo takes no lock of its own, so two nodes that start together would both migrate; a session lock on a connection
of ours makes the second one wait and find nothing to do. Piccolo and its imports stay out of serving workers: this
module imports them when asked to migrate, and not at all when a look at the bookkeeping says there is nothing to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import asyncpg

LOCK_KEY = 7203411  # any number nobody else uses on this database
LOCK_WAIT_SECONDS = 120  # another node may be running a long migration
CONNECT_SECONDS = 5

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
    os.environ["SETPOINT_DATABASE_URL"] = url  # migrations/piccolo_conf.py reads it
    os.environ["PICCOLO_CONF"] = "migrations.piccolo_conf"
    if str(_ROOT) not in sys.path:
        sys.path.insert(0, str(_ROOT))
    from piccolo.apps.migrations.commands.backwards import run_backwards
    from piccolo.apps.migrations.commands.forwards import run_forwards

    from migrations import piccolo_conf

    piccolo_conf.DB.config = {"dsn": url}  # the module is imported once, and a process may migrate several databases
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        if direction == "forwards":
            result = await run_forwards("setpoint", migration_id=to)
        else:
            result = await run_backwards("setpoint", migration_id=to, auto_agree=True)
    if not result.success:
        last = said.getvalue().strip().splitlines()[-1:] or [""]
        raise MigrationFailed(f"A migration failed: {result.message or last[0]}")
