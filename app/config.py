"""
How one process runs: a frozen Struct read once from the environment.

`settings` are what Setpoint serves; `config` is how it serves. Every field says its unit, default and reason, and
is read from `SETPOINT_<FIELD>`; a bad value or an unknown `SETPOINT_` name is reported in one sentence.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec

PREFIX = "SETPOINT_"
SHIPPED = "shipped"  # in SETPOINT_POLICIES_DIR; a folder of this name is written ./shipped
CLIENT_NAMES = ("url", "token")  # what the command line reads to find a node and to sign in there; no node needs them

MIN_PEPPER_CHARACTERS = 32

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_LOOPBACK = ("127.0.0.1", "::1", "localhost")

Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
PerSecond = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]


class ConfigError(Exception):
    """The environment says something that cannot be followed; the message names the variable and the remedy."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All that one process needs to know before it starts."""

    host: str = "127.0.0.1"  # loopback, so that a first try on a laptop is not open to its network
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8080  # free for users without privileges
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1  # processes sharing the port
    data_dir: str = ".setpoint"  # embedded servers' files and the local development key live here

    database_url: str | None = None  # a PostgreSQL 15+ URL of a role that owns nothing; None starts the embedded one
    owner_database_url: str | None = None  # the same database as the role that owns its tables, for migrations only
    redis_url: str | None = None  # redis://, rediss://, unix://, …+sentinel://, …+cluster://; None: the embedded one
    pool_size: Annotated[int, msgspec.Meta(ge=1, le=500)] = 8  # PostgreSQL connections per worker; more only wait
    acquire_timeout_seconds: Seconds = 2.0  # how long a request waits for a free connection before 503
    statement_timeout_seconds: Seconds = 5.0  # PostgreSQL ends any statement after this
    connect_timeout_seconds: Seconds = 5.0  # how long a connection attempt may take
    redis_timeout_seconds: Seconds = 0.05  # redis-py waits 5 s, eleven times, if left alone; PostgreSQL answers sooner
    l1_bytes: Annotated[int, msgspec.Meta(ge=0)] = 67_108_864  # 64 MiB of entries and views per worker; 0: none
    redis_ttl_seconds: Positive = 86_400  # a day; sweeps out what nobody reads, and has nothing to do with freshness
    cache_secret: str | None = None  # seals entries in Redis, the same for all nodes; None: a file in the data folder
    fast_lane: Literal["on", "off"] = "on"  # off: every read takes the ordinary way, as when one of them is in doubt
    stale_if_error_seconds: Annotated[int, msgspec.Meta(ge=0)] = 300  # longest that what is held outlives PostgreSQL
    min_position_wait_seconds: Seconds = 0.25  # API.md: the longest a read waits for Setpoint-Min-Position

    public_url: str | None = None  # where clients reach us, as AuthZEN's metadata names it; None: http://host:port
    allowed_hosts: str | None = None  # names in Host that are answered, with commas; None: a proxy may see to it
    trusted_proxies: str | None = None  # networks whose X-Forwarded-* are believed, with commas; None: anybody lies

    header_timeout_seconds: Seconds = 5.0  # for the head of a request; also how long an idle connection is kept
    body_timeout_seconds: Seconds = 10.0  # for the body of a request; 1 MiB takes that long at 100 KiB/s
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 1_024  # per worker; others wait to be let in

    # A limit is a bucket of `burst` requests that fills by `per_second`; 0 per second turns it off.
    reads_per_second: PerSecond = 50_000.0  # per principal and worker; more than one answers: who wants less sets less
    read_burst: Positive = 100_000  # two seconds of that at once: a fleet that starts and warms up
    writes_per_second: PerSecond = 1_000.0  # per principal; twice what one worker commits singly, and a batch is one
    write_burst: Positive = 5_000  # an import that is over after that is not slowed down
    failed_auths_per_second: PerSecond = 50.0  # per address and worker; to refuse one takes 0.1 ms
    failed_auth_burst: Positive = 1_000  # a fleet behind one address may lose its credentials at once

    max_body_bytes: Positive = 1_048_576  # 1 MiB; a batch of 1,000 ordinary operations is about 150 KiB
    max_value_bytes: Positive = 65_536  # 64 KiB of canonical JSON per value
    max_batch_operations: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000  # each is locked until the commit
    max_bulk_keys: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000  # of one effective read by names
    max_evaluations: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000  # questions in one request; about 20 µs each
    idempotency_ttl_seconds: Positive = 86_400  # a day; how long a repeated Idempotency-Key is answered from store

    audit_accesses: Literal["off", "best-effort", "strict"] = "best-effort"  # strict: no record, no answer
    audit_window_seconds: Seconds = 0.05  # how long accesses gather to be written together; not under strict
    audit_timeout_seconds: Seconds = 2.0  # the longest an answer waits for its records, and shutdown for what is left
    audit_ring_records: Annotated[int, msgspec.Meta(ge=2, le=1_000_000)] = 10_000  # waiting in one worker, 1 KiB each

    policies_dir: str = "shipped"  # folders of .polar files, with commas; `shipped` stands for those that come with us
    local_issuer: Literal["on", "off"] = "on"  # whether tokens of `setpoint token` are believed
    jwt_issuer: str | None = None  # the `iss` of real tokens; set together with jwks and jwt_audience
    jwt_audience: str | None = None  # the `aud` that says a real token is meant for us
    jwks: str | None = None  # https:// URL or file of the issuer's keys
    jwks_ttl_seconds: Positive = 300  # keys are fetched anew after 0.8 of this
    jwks_max_stale_seconds: Positive = 86_400  # a day; how long the last good keys outlive the issuer's silence
    issuers: str | None = None  # a JSON or YAML file of several issuers, beside the one above
    token_cache_entries: Positive = 10_000  # verified credentials remembered per worker
    revocation_poll_seconds: Annotated[float, msgspec.Meta(gt=0, le=0.5)] = 0.25  # a second is promised
    revocation_stale_seconds: Seconds = 60.0  # without a successful look for so long, revocations count as stale
    revocation_stale: Literal["serve", "refuse"] = "serve"  # refuse: then nobody gets in; reads end with PostgreSQL
    max_revocations: Positive = 10_000  # per tenant; every worker keeps them all in memory

    api_key_pepper: str | None = None  # secrets with commas, the first for new keys; None keeps one in the data folder
    api_key_environment: Annotated[str, msgspec.Meta(pattern="^[a-z0-9]{1,16}$")] = "live"  # the second word of a key
    api_key_max_seconds: Positive = 31_536_000  # a year; the longest a key may live
    api_key_default_seconds: Positive = 7_776_000  # 90 days; how long it lives if nobody says
    max_api_keys: Positive = 1_000  # per tenant, revoked and expired ones not counted

    log_level: Literal["debug", "info", "warning", "error"] = "info"  # what is less is not written
    log_format: Literal["auto", "json", "console"] = "auto"  # auto: console on a terminal, else JSON

    @property
    def data_path(self) -> Path:
        """The data folder as an absolute path."""
        return Path(self.data_dir).expanduser().absolute()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names that Host may give; `.example.com` for all below example.com. Raises ValueError."""
        return tuple(_host(one) for one in _list(self.allowed_hosts))

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks of the proxies that are believed. Raises ValueError."""
        return tuple(ipaddress.ip_network(one) for one in _list(self.trusted_proxies))

    @property
    def peppers(self) -> tuple[str, ...]:
        """The peppers of API keys, the one for new secrets first; none when it is kept in the data folder."""
        return tuple(_list(self.api_key_pepper))

    @property
    def policies_paths(self) -> list[Path]:
        """The folders the policy is loaded from, as one. Raises ValueError."""
        folders = [policy_folder(one) for one in _list(self.policies_dir)]
        if not folders:
            raise ValueError("it names no folder; leave it out for the shipped policy")
        return folders

    @property
    def base_url(self) -> str:
        """Where clients reach us, without a slash at its end. Raises ValueError."""
        if self.public_url is None:
            return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        return _base_url(self.public_url)


def policy_folder(name: str) -> Path:
    """A folder of policy files by its path; `shipped` for those that come with us."""
    if name == SHIPPED:
        return Path(__file__).resolve().parent.parent / "policies"
    return Path(name).expanduser().absolute()


def read_config(environment: Mapping[str, str]) -> tuple[Config, list[str]]:
    """
    Read the configuration and the warnings about names that mean nothing.

    An empty variable counts as not set. Raises ConfigError naming the variable and what it may be.
    """
    fields = Config.__struct_fields__
    given = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and value != ""
    }
    warnings = [_unknown(name, fields) for name in sorted(given) if name not in fields + CLIENT_NAMES]
    known = {name: value for name, value in given.items() if name in fields}
    config = _convert(known)
    _check_together(config)
    _check_lists(config)
    _check_peppers(config)
    return config, warnings


def _convert(known: dict[str, str]) -> Config:
    try:
        return msgspec.convert(known, Config, strict=False)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        field = where.rstrip("`")
        options = get_args(get_type_hints(Config)[field]) if what.startswith("Invalid enum value") else ()
        allowed = f"; it may be {', '.join(map(str, options))}" if options else ""
        raise ConfigError(f"{PREFIX}{field.upper()} cannot be used: {what[:1].lower()}{what[1:]}{allowed}.") from error


def _check_together(config: Config) -> None:
    issuer = (config.jwt_issuer, config.jwt_audience, config.jwks)
    if any(part is not None for part in issuer) and None in issuer:
        raise ConfigError(
            f"{PREFIX}JWT_ISSUER, {PREFIX}JWT_AUDIENCE and {PREFIX}JWKS belong together: set all three or none."
        )
    if config.jwt_issuer is None and config.issuers is None and config.local_issuer == "off":
        raise ConfigError(
            f"nobody could sign in: {PREFIX}LOCAL_ISSUER is off, and neither {PREFIX}JWT_ISSUER nor {PREFIX}ISSUERS is "
            "set. Set one of them."
        )


def _check_lists(config: Config) -> None:
    lists = {
        "allowed_hosts": "hosts",
        "trusted_proxies": "proxies",
        "policies_dir": "policies_paths",
        "public_url": "base_url",
    }
    for field, read in lists.items():
        try:
            getattr(config, read)
        except ValueError as error:
            raise ConfigError(f"{PREFIX}{field.upper()} cannot be used: {error}.") from error


def _check_peppers(config: Config) -> None:
    # Their text is never shown. A short one could be guessed along with the digests that it is to protect.
    too_short = any(len(one) < MIN_PEPPER_CHARACTERS for one in config.peppers)
    if too_short or (config.api_key_pepper is not None and not config.peppers):
        raise ConfigError(
            f"{PREFIX}API_KEY_PEPPER cannot be used: each pepper takes at least {MIN_PEPPER_CHARACTERS} characters."
        )


def _list(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def _base_url(text: str) -> str:
    """AuthZEN wants https and neither query nor fragment; http is for trying things out on one machine."""
    parts = urlsplit(text)
    plain = parts.hostname in _LOOPBACK and parts.scheme == "http"
    if not parts.hostname or not (plain or parts.scheme == "https") or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{text!r} is no https:// URL without query and fragment")
    return text.rstrip("/")


def _host(text: str) -> str:
    if not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]", text.lower()):
        raise ValueError(f"{text!r} is no host name; write example.com, *.example.com, 192.0.2.1 or [2001:db8::1]")
    return text.lower().removeprefix("*")


def _unknown(name: str, fields: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, fields, n=1)
    hint = f" Did you mean {PREFIX}{near[0].upper()}?" if near else ""
    return f"{PREFIX}{name.upper()} is not a known setting and is ignored.{hint}"
