"""What `setpoint doctor` looks at. Each check looks, changes nothing, and says what it found."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import asyncpg

from app.access.issuers import issuer_entries
from app.access.local_key import FILE, LocalKeyError, ensure_local_key
from app.cli.backends import OLDEST_POSTGRES
from app.cli.client import Client
from app.cli.credential import is_loopback
from app.cli.errors import CommandFailed
from app.config import Config, ConfigError, read_config
from app.kit.migrations import applied_ids, known_ids

State = Literal["pass", "warn", "fail"]


class Finding(NamedTuple):
    """What one check found."""

    check: str
    state: State
    detail: str


def check_configuration(environment: Mapping[str, str]) -> tuple[Config | None, list[Finding]]:
    """The configuration, None when it cannot be followed."""
    try:
        config, warnings = read_config(environment)
        issuer_entries(config)
    except ConfigError as error:
        return None, [Finding("configuration", "fail", str(error))]
    findings = [Finding("configuration", "warn", warning) for warning in warnings]
    if config.local_issuer == "on" and not is_loopback(config.host):
        detail = f"{config.host} is open to others, and tokens of the development key are believed there."
        findings.append(Finding("configuration", "warn", detail + " Set SETPOINT_LOCAL_ISSUER=off."))
    return config, findings or [Finding("configuration", "pass", "understood")]


def check_data_folder(config: Config) -> Finding:
    """Whether a node could keep its things there."""
    path = config.data_path
    if not path.exists():
        return Finding("data folder", "warn", f"{path} is not there yet; `setpoint serve` makes it.")
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        return Finding("data folder", "fail", f"{path} is no folder that can be written to; set SETPOINT_DATA_DIR.")
    return Finding("data folder", "pass", str(path))


def check_key(config: Config) -> Finding:
    """Whether the development key is there and its owner's alone."""
    path = config.data_path / FILE
    if config.local_issuer == "off":
        return Finding("development key", "pass", "not used: SETPOINT_LOCAL_ISSUER is off")
    if not path.exists():
        return Finding("development key", "warn", "not there yet; `setpoint serve` and `setpoint token` make it.")
    try:
        ensure_local_key(config.data_path)
    except LocalKeyError as error:
        return Finding("development key", "fail", str(error))
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Finding("development key", "fail", f"Others may use it and be anybody: chmod 600 {path}")
    return Finding("development key", "pass", str(path))


def check_postgres(config: Config, *, timeout: float) -> list[Finding]:
    """Whether PostgreSQL answers, is new enough, and has seen all migrations."""
    url = config.database_url or _embedded_url("postgres", config.data_path)
    if url is None:
        return [Finding("PostgreSQL", "warn", "embedded, and not running; `setpoint serve` starts it.")]
    try:
        version, missing = asyncio.run(asyncio.wait_for(_look(url), timeout))
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if config.database_url is None:
            return [Finding("PostgreSQL", "warn", "embedded, and not running; `setpoint serve` starts it.")]
        return [Finding("PostgreSQL", "fail", f"cannot be used: {_reason(error)}")]
    if version < OLDEST_POSTGRES:
        return [Finding("PostgreSQL", "fail", f"{version // 10_000} is too old; 15 or newer is needed.")]
    found = Finding("PostgreSQL", "pass", f"{version // 10_000}, {'external' if config.database_url else 'embedded'}")
    if missing:
        detail = f"{', '.join(missing)} missing; `setpoint migrate` applies them."
        return [found, Finding("migrations", "fail", detail)]
    return [found, Finding("migrations", "pass", "up to date")]


def check_redis(config: Config, *, timeout: float) -> Finding:
    """Whether Redis answers. Everything works without it, more slowly."""
    import redis

    from app.kit.redis_client import ping

    url = config.redis_url or _embedded_url("valkey", config.data_path)
    if url is None:
        return Finding("Redis", "warn", "embedded, and not running; `setpoint serve` starts it.")
    try:
        asyncio.run(ping(url, timeout_seconds=timeout))
    except (redis.RedisError, OSError, ValueError) as error:
        if config.redis_url is None:
            return Finding("Redis", "warn", "embedded, and not running; `setpoint serve` starts it.")
        return Finding("Redis", "warn", f"cannot be used, so reads are slower: {_reason(error)}")
    return Finding("Redis", "pass", "external" if config.redis_url else "embedded")


def check_node(client: Client) -> Finding:
    """What a node says of itself."""
    try:
        health = client.get("/api/health").body
    except CommandFailed as failed:
        return Finding("node", "fail", str(failed))
    if not isinstance(health, dict) or not isinstance(health.get("parts"), dict):
        return Finding("node", "fail", f"{client.url} answers, but not as a Setpoint node does.")
    away = [f"{name} is {part['state']}" for name, part in health["parts"].items() if part["state"] != "up"]
    state: State = {"up": "pass", "degraded": "warn"}.get(health["state"], "fail")  # type: ignore[assignment]
    return Finding("node", state, ", ".join([f"{client.url} is {health['state']}", *away]))


async def _look(url: str) -> tuple[int, list[str]]:
    """The version of the server, and the migrations that it has not seen."""
    connection: Any = await asyncpg.connect(url)
    try:
        version = int(await connection.fetchval("SHOW server_version_num"))
        applied = await applied_ids(connection)
    finally:
        await connection.close()
    return version, [one for one in known_ids() if one not in applied]


def _embedded_url(name: Literal["postgres", "valkey"], data_path: Path) -> str | None:
    """Where the embedded server of a data folder was last; whether it still is, connecting tells."""
    from app.embedded.postgres import Postgres
    from app.embedded.valkey import Valkey

    kind = Postgres if name == "postgres" else Valkey
    try:
        socket_dir = kind.life_lock(data_path).socket_dir()
    except OSError:
        return None
    return None if socket_dir is None else kind(data_path).url(socket_dir)


def _reason(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
