"""
Which issuers are believed, about whom, and where their keys are.

They are named in a file (SETPOINT_ISSUERS), or one of them by three variables. The file is read as strictly as a
request: a member that nobody knows may be a misspelt limit, and a limit that is not seen is none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
import yaml

from app.access import local_key
from app.access.claims import PLATFORM_ADMIN, ClaimNames
from app.config import PREFIX, Config, ConfigError
from app.domain.errors import Malformed
from app.domain.scope import ScopeId, TenantId
from app.kit.json import parse_strictly
from app.kit.yaml import parse_yaml_strictly

MAX_ISSUERS = 100
MAX_FILE_BYTES = 1_048_576  # one line for each tenant of a large issuer fits many times over

Algorithm = Literal["EdDSA", "Ed25519", "ES256", "RS256"]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
Some = msgspec.Meta(min_length=1)

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class IssuerEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One issuer as it is configured. `tenants` and `roles`, where given, are the only ones that it has a say in."""

    issuer: Text
    audience: Text
    jwks: Text
    algorithms: Annotated[tuple[Algorithm, ...], Some] = ("EdDSA", "ES256", "RS256")
    typ: Text | None = None
    claims: ClaimNames = ClaimNames()
    tenants: Annotated[tuple[TenantId, ...], Some] | None = None
    roles: tuple[ScopeId, ...] | None = None


Entries = Annotated[tuple[IssuerEntry, ...], msgspec.Meta(min_length=1, max_length=MAX_ISSUERS)]


def issuer_entries(config: Config) -> tuple[IssuerEntry, ...]:
    """All issuers but the local one. Raises ConfigError naming the variable or the file, and the member."""
    entries: list[IssuerEntry] = []
    if config.jwt_issuer is not None and config.jwt_audience is not None and config.jwks is not None:
        _check_source(config.jwks, f"{PREFIX}JWKS")
        entries.append(IssuerEntry(issuer=config.jwt_issuer, audience=config.jwt_audience, jwks=config.jwks))
    if config.issuers is not None:
        entries += _read(Path(config.issuers).expanduser().absolute())
    known = {local_key.ISSUER}
    for entry in entries:
        if entry.issuer in known:
            raise ConfigError(f"{PREFIX}ISSUERS cannot be used: the issuer {entry.issuer} is named twice.")
        known.add(entry.issuer)
    return tuple(entries)


def _read(path: Path) -> tuple[IssuerEntry, ...]:
    place = f"{PREFIX}ISSUERS ({path})"
    try:
        entries = msgspec.convert(_document(path), Entries)
    except (OSError, UnicodeDecodeError, ValueError, RecursionError, yaml.YAMLError, Malformed) as error:
        raise ConfigError(f"{place} cannot be used: {_sentence(error)}.") from error
    for number, entry in enumerate(entries):
        _check_source(entry.jwks, f"{place} at $[{number}].jwks")
        if entry.tenants is not None and PLATFORM_ADMIN in (entry.roles or ()):
            raise ConfigError(
                f"{place} at $[{number}].roles cannot be used: {PLATFORM_ADMIN} is a role in all tenants, and this "
                "issuer speaks for some."
            )
    return entries


def _document(path: Path) -> Any:
    with path.open("rb") as file:
        text = file.read(MAX_FILE_BYTES + 1)
    if len(text) > MAX_FILE_BYTES:
        raise ValueError(f"it is longer than {MAX_FILE_BYTES} bytes")
    if path.suffix == ".json":
        return parse_strictly(text)
    return parse_yaml_strictly(text)


def _check_source(source: str, place: str) -> None:
    parts = urlsplit(source)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigError(f"{place} cannot be used: keys are fetched by https, and by http from this machine only.")
    if parts.scheme in ("http", "https") and not parts.hostname:
        raise ConfigError(f"{place} cannot be used: {source} names no host.")


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()).replace("`", "").rstrip(".")
    return text[:1].lower() + text[1:300]
