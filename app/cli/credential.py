"""Whose word a command is: a token that was given, or one signed here with the local development key."""

from __future__ import annotations

import getpass
import ipaddress
import os
from datetime import timedelta
from pathlib import Path

from app.cli.environment import configuration
from app.cli.errors import USAGE, CommandFailed

TOKEN_VARIABLE = "SETPOINT_TOKEN"
LOCAL_TTL = timedelta(minutes=5)  # longer than any command takes
HOW_TO_SIGN_IN = f"Sign in first: export {TOKEN_VARIABLE}=$(setpoint token --role admin --tenant acme)"


def find_token(token_file: str | None, *, host: str) -> str | None:
    """The token for a node on this host, or None when there is no credential at all."""
    if token_file is not None:
        return _one_word(_read(Path(token_file)), source=token_file)
    given = os.environ.get(TOKEN_VARIABLE, "")
    return _one_word(given, source=TOKEN_VARIABLE) if given else _local_token(host)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"The token cannot be read from {path}: {error}.", code=USAGE) from error


def _one_word(text: str, *, source: str) -> str:
    # Looked at here, because http.client would quote what it cannot send, and a token must not be shown.
    token = text.strip()
    if not token.isascii() or not token.isprintable() or len(token.split()) != 1:
        raise CommandFailed(f"{source} should hold one token and nothing else.", code=USAGE)
    return token


def _local_token(host: str) -> str | None:
    # A token that this machine's nodes take for the highest authority is for their ears only.
    if not is_loopback(host):
        return None
    config = configuration()
    from app.access.local_key import FILE, LocalKeyError, ensure_local_key, sign
    from app.domain.access import Principal
    from app.domain.definition import Sensitivity
    from app.kit.clock import utc_now

    if not (config.data_path / FILE).exists():
        return None
    principal = Principal(id=user_name(), roles=("platform_admin",), clearance=Sensitivity.SECRET.rank)
    try:
        return sign(ensure_local_key(config.data_path), principal, now=utc_now(), ttl=LOCAL_TTL)
    except LocalKeyError as error:
        raise CommandFailed(str(error), code=USAGE) from error


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or number alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def user_name() -> str:
    """Who is at the keyboard; a container may have a user without a name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"
