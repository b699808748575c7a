"""The PostgreSQL and the Redis a node uses: those of the configuration, looked at first, or embedded ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg
import msgspec
import redis

from app.cli.errors import UNREACHABLE, USAGE, CommandFailed
from app.config import Config
from app.embedded import EmbeddedError, embedded_servers
from app.kit.redis_client import ping

OLDEST_POSTGRES = 150_000  # server_version_num; nothing older is tested


@contextmanager
def backends(config: Config, *, announce: Callable[[str], None]) -> Iterator[Config]:
    """
    Give the configuration with both URLs filled in and the data folder absolute.

    Embedded servers live as long as the block. Raises CommandFailed when a server cannot be used; for Redis it is
    only said, since everything works without it.
    """
    if config.database_url is not None:
        asyncio.run(_require_postgres(config.database_url, timeout=config.connect_timeout_seconds))
    if config.redis_url is not None:
        _look_at_redis(config.redis_url, timeout=config.connect_timeout_seconds, announce=announce)
    servers = embedded_servers(
        config.data_path,
        announce=announce,
        need_postgres=config.database_url is None,
        need_valkey=config.redis_url is None,
    )
    try:
        with servers as embedded:
            yield msgspec.structs.replace(
                config,
                data_dir=str(config.data_path),
                database_url=config.database_url or embedded.database_url,
                owner_database_url=config.owner_database_url or embedded.owner_database_url,
                redis_url=config.redis_url or embedded.redis_url,
            )
    except EmbeddedError as error:
        raise CommandFailed(str(error), code=UNREACHABLE) from error


async def _require_postgres(url: str, *, timeout: float) -> None:  # noqa: ASYNC109 (asyncpg's own parameter)
    try:
        connection = await asyncpg.connect(url, timeout=timeout)
    except (ValueError, asyncpg.ClientConfigurationError) as error:
        raise CommandFailed(f"SETPOINT_DATABASE_URL is not a PostgreSQL URL: {error}.", code=USAGE) from error
    except TimeoutError as error:
        message = f"PostgreSQL at SETPOINT_DATABASE_URL has not answered within {timeout:g} s."
        raise CommandFailed(message, code=UNREACHABLE) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        message = f"PostgreSQL at SETPOINT_DATABASE_URL cannot be reached: {error}."
        raise CommandFailed(message, code=UNREACHABLE) from error
    try:
        version = int(await connection.fetchval("SHOW server_version_num", timeout=timeout))
    finally:
        await connection.close(timeout=timeout)
    if version < OLDEST_POSTGRES:
        message = f"PostgreSQL {version // 10_000} is too old: Setpoint needs 15 or newer at SETPOINT_DATABASE_URL."
        raise CommandFailed(message, code=UNREACHABLE)


def _look_at_redis(url: str, *, timeout: float, announce: Callable[[str], None]) -> None:
    try:
        asyncio.run(ping(url, timeout_seconds=timeout))
    except ValueError as error:
        raise CommandFailed(f"SETPOINT_REDIS_URL is not a Redis URL: {error}.", code=USAGE) from error
    except (redis.RedisError, OSError) as error:
        announce(f"Redis at SETPOINT_REDIS_URL cannot be reached ({error}); serving without it, more slowly.")
