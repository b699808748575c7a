"""`setpoint migrate`: the database of a node, without the node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from app.cli.environment import configuration
from app.cli.errors import FINDINGS, REFUSED, UNREACHABLE, USAGE, CommandFailed
from app.cli.output import say

if TYPE_CHECKING:
    from app.config import Config

T = TypeVar("T")


@click.command()
@click.option("--down-to", metavar="ID", help="Undo back to and with this migration; `all` undoes every one.")
@click.option("--check", is_flag=True, help="Only look: exit code 1 when there is something to do.")
def migrate(*, down_to: str | None, check: bool) -> int:
    """
    Bring the database at SETPOINT_OWNER_DATABASE_URL (or SETPOINT_DATABASE_URL) up to date, or the one in the data
    folder.

    A node does this by itself when it starts. Undoing throws away what the undone migrations made, data and all.
    """
    if check and down_to is not None:
        raise click.UsageError("Name --check or --down-to, not both.")
    config = configuration()
    from app.kit.migrations import known_ids, migrate_backwards, migrate_forwards

    if down_to not in (None, "all", *known_ids()):
        raise click.UsageError(f"There is no migration {down_to}; there are {', '.join(known_ids())}.")
    with _database(config) as url:
        if check:
            return _report(asyncio.run(_missing(url, timeout=config.connect_timeout_seconds)))
        if down_to is None:
            _say_done("applied", _carried_out(lambda: migrate_forwards(url)))
        else:
            target = down_to
            _say_done("undone", _carried_out(lambda: migrate_backwards(url, to=target)))
    return 0


@contextmanager
def _database(config: Config) -> Iterator[str]:
    """The URL of the database, which is started for the time of the block when it is ours."""
    from app.embedded import EmbeddedError, embedded_servers

    if config.database_url is not None:
        yield config.owner_database_url or config.database_url
        return
    try:
        with embedded_servers(config.data_path, announce=say, need_valkey=False) as servers:
            assert servers.owner_database_url is not None  # noqa: S101 (it was asked for; for the type checker)
            yield servers.owner_database_url
    except EmbeddedError as error:
        raise CommandFailed(str(error), code=UNREACHABLE) from error


async def _missing(url: str, *, timeout: float) -> list[str]:  # noqa: ASYNC109 (asyncpg's own parameter)
    import asyncpg

    from app.kit.migrations import applied_ids, known_ids

    try:
        connection = await asyncpg.connect(url, timeout=timeout)
        try:
            applied = await applied_ids(connection)
        finally:
            await connection.close(timeout=timeout)
    except ValueError as error:
        raise CommandFailed(f"SETPOINT_DATABASE_URL is not a PostgreSQL URL: {error}.", code=USAGE) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandFailed(f"PostgreSQL cannot be reached: {error}.", code=UNREACHABLE) from error
    return [one for one in known_ids() if one not in applied]


def _carried_out(work: Callable[[], T]) -> T:
    from app.kit.migrations import MigrationFailed

    try:
        return work()
    except MigrationFailed as error:
        code = UNREACHABLE if isinstance(error.__cause__, OSError) else REFUSED
        raise CommandFailed(str(error), code=code) from error


def _report(missing: Sequence[str]) -> int:
    if not missing:
        say("The database is up to date.")
        return 0
    say(f"To be applied: {', '.join(missing)}.")
    return FINDINGS


def _say_done(verb: str, ids: Sequence[str]) -> None:
    say("\n".join(f"{one} {verb}" for one in ids) or "Nothing to do.")
