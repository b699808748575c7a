"""The secret that seals what is kept in Redis: of the configuration, or made once for a data folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from app.config import Config
from app.kit.clock import new_id

FILE = "cache-secret"
BYTES = 32


def cache_secret(config: Config) -> bytes:
    """
    The configured secret, else that of the data folder, made if there is none.

    Nodes with different secrets share a Redis without harm: each finds nothing there but its own. Where no file can be
    made the secret is this process's own, and nobody shares. Safe when several processes ask at once.
    """
    if config.cache_secret is not None:
        return config.cache_secret.encode()
    path = config.data_path / FILE
    try:
        config.data_path.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        return path.read_bytes()
    except OSError:
        return secrets.token_bytes(BYTES)


def _create(path: Path) -> None:
    own = path.with_suffix(f".{new_id()}")
    own.touch(mode=0o600)
    own.write_bytes(secrets.token_bytes(BYTES))
    try:
        os.link(own, path)  # fails if another process was first; unlike rename, which would replace its secret
    except FileExistsError:
        pass
    finally:
        own.unlink()
