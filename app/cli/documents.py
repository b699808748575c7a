"""Files that people write: JSON or YAML, from disk or from stdin, read strictly."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from app.cli.errors import USAGE, CommandFailed

STDIN = "-"


def read_document(name: str) -> Any:
    """The content of a file, `-` for stdin. Raises CommandFailed when it cannot be read or understood."""
    raw = read_bytes(name)
    try:
        if _is_json(name, raw):
            return _parsed_json(raw)
        from app.cli.yaml_text import load_yaml

        document = load_yaml(raw.decode("utf-8"))
        json.dumps(document, allow_nan=False).encode("utf-8")  # dates, sets and infinities have no place in it
    except (ValueError, TypeError) as error:
        raise CommandFailed(f"{_shown(name)} cannot be understood: {error}", code=USAGE) from error
    return document


def read_bytes(name: str) -> bytes:
    """The bytes of a file, `-` for stdin."""
    try:
        return sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise CommandFailed(f"{_shown(name)} cannot be read: {error.strerror or error}.", code=USAGE) from error


def _is_json(name: str, raw: bytes) -> bool:
    suffix = Path(name).suffix.lower()
    return suffix == ".json" or (suffix not in (".yaml", ".yml") and raw.lstrip()[:1] in (b"{", b"["))


def _parsed_json(raw: bytes) -> Any:
    from app.domain.errors import Malformed
    from app.kit.json import parse_strictly

    try:
        return parse_strictly(raw)
    except Malformed as error:
        raise ValueError(error.detail.replace("The body", "It")) from error


def _shown(name: str) -> str:
    return "stdin" if name == STDIN else name
