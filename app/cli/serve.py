"""`setpoint serve`: servers, schema, key and demo first, then workers until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

import asyncpg
import msgspec

from app.cli.backends import backends
from app.cli.errors import UNREACHABLE, USAGE, CommandFailed
from app.cli.port import held_port
from app.cli.workers import reachable_host, run_workers
from app.config import PREFIX, Config, ConfigError

APPLICATION = "app.main:create_app_from_environment"


class Prepare(Protocol):
    """What is done once the servers answer; gives the lines to print when the workers are ready."""

    def __call__(self, config: Config, *, demo: bool, announce: Callable[[str], None]) -> Sequence[str]:
        """Prepare."""


def prepare(config: Config, *, demo: bool, announce: Callable[[str], None]) -> Sequence[str]:
    """Bring the database up to date, and make the development key and the demo registry if they are not there."""
    from app.access.local_key import ensure_local_key

    _ensure_pepper(config)
    assert config.database_url is not None  # noqa: S101 (backends() fills it in; this tells the type checker)
    _migrate(config.owner_database_url or config.database_url, announce=announce)
    _require_least_power(config.database_url, timeout=config.connect_timeout_seconds)
    ensure_local_key(config.data_path)
    if not demo:
        return [f"Setpoint answers at {base_url(config)}"]
    from app.cli.demo import banner, seed_demo

    announce("Making sure the demo registry is there")
    return banner(config, seed_demo(config))


def _ensure_pepper(config: Config) -> None:
    from app.access.api_keys.pepper import PepperError, open_peppers

    try:
        open_peppers(config)
    except PepperError as error:
        raise CommandFailed(str(error), code=USAGE) from error


def _check_issuers(config: Config) -> None:
    """Before anything is started: workers would stumble over it one by one."""
    from app.access.issuers import issuer_entries

    try:
        issuer_entries(config)
    except ConfigError as error:
        raise CommandFailed(str(error), code=USAGE) from error


def _migrate(url: str, *, announce: Callable[[str], None]) -> None:
    from app.kit.migrations import MigrationFailed, migrate_forwards

    try:
        applied = migrate_forwards(url)
    except MigrationFailed as error:
        raise CommandFailed(str(error), code=UNREACHABLE) from error
    if applied:
        announce(f"Database: {len(applied)} migrations applied")


def _require_least_power(url: str, *, timeout: float) -> None:
    from app.kit.least_power import TooMuchPower, require_least_power_at

    try:
        asyncio.run(require_least_power_at(url, timeout=timeout))
    except TooMuchPower as error:
        raise CommandFailed(str(error), code=USAGE) from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandFailed(f"PostgreSQL cannot be reached: {error}.", code=UNREACHABLE) from error


def serve(
    config: Config,
    *,
    demo: bool,
    announce: Callable[[str], None],
    show: Callable[[str], None] = print,
    application: str = APPLICATION,
    prepare: Prepare = prepare,
) -> int:
    """
    Run a node until SIGINT or SIGTERM and give the exit code: 0 ended as asked, 1 a worker could not start, 2 the
    configuration cannot be followed, 3 a server or the port could not be had.

    `announce` takes messages for people, `show` the lines that are printed once requests are answered.
    """
    try:
        _check_issuers(config)
        with _interruptible(), held_port(config.host, config.port), backends(config, announce=announce) as resolved:
            lines = prepare(resolved, demo=demo, announce=announce)
            # Workers read the same configuration, so they never start servers of their own.
            os.environ.pop(f"{PREFIX}OWNER_DATABASE_URL", None)
            os.environ.update(environment_of(resolved))
            return run_workers(resolved, target=application, announce=announce, on_ready=lambda: show("\n".join(lines)))
    except CommandFailed as failed:
        announce(str(failed))
        return failed.code
    except KeyboardInterrupt:
        return 0


def environment_of(config: Config) -> dict[str, str]:
    """The variables from which read_config makes this very configuration; workers get no owner's credentials."""
    given = msgspec.structs.asdict(msgspec.structs.replace(config, owner_database_url=None)).items()
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in given if value is not None}


def base_url(config: Config) -> str:
    """Where this node answers."""
    host = reachable_host(config.host)
    return f"http://[{host}]:{config.port}" if ":" in host else f"http://{host}:{config.port}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """
    Let SIGINT and SIGTERM unwind us, once: a second Ctrl-C must not interrupt the stopping of the servers.

    While workers run, Granian handles both itself; its handlers, which only set a flag, stay until we end.
    """

    def unwind(number: int, frame: FrameType | None) -> None:
        del number, frame
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, unwind) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
