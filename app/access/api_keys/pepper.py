"""
Peppers: what the digests of secrets are keyed with, kept outside of the database.

They come from the configuration, the one for new secrets first and older ones after it, or from a file in the data
folder that is made on first use and that only its owner can read. A pepper is named by a digest of itself, which is
stored with each secret: so peppers can be changed one after the other, and a key whose pepper is gone can be told.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from app.config import MIN_PEPPER_CHARACTERS, Config
from app.kit.clock import new_id

FILE = "api-key-pepper"

_ID_CHARACTERS = 12


class PepperError(Exception):
    """The pepper in the data folder cannot be used; the message says why."""


class Peppers:
    """All peppers that secrets may have been digested with; `current_id` names the one for new ones."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._by_id = {_id_of(text): text.encode() for text in texts}
        self.current_id = _id_of(texts[0])

    def knows(self, pepper_id: str) -> bool:
        """Whether this pepper is at hand."""
        return pepper_id in self._by_id

    def digest(self, secret: str, *, pepper_id: str) -> bytes:
        """
        The digest of a secret that is stored and compared.

        With a pepper that is not at hand it takes as long, and is equal to nothing that was ever stored.
        """
        pepper = self._by_id.get(pepper_id) or secrets.token_bytes(MIN_PEPPER_CHARACTERS)
        return hmac.digest(pepper, secret.encode(), hashlib.sha256)


def open_peppers(config: Config) -> Peppers:
    """The peppers of a configuration. Raises PepperError when the file in the data folder cannot be used."""
    return Peppers(config.peppers or [ensure_pepper(config.data_path)])


def ensure_pepper(data_path: Path) -> str:
    """The pepper of a data folder, made if there is none. Safe when several processes ask at once."""
    path = data_path / FILE
    try:
        data_path.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        text = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise PepperError(f"The pepper of API keys {path} cannot be used: {error}.") from error
    if len(text) < MIN_PEPPER_CHARACTERS:
        raise PepperError(f"The pepper of API keys {path} is too short; without the right one no API key is believed.")
    return text


def _create(path: Path) -> None:
    own = path.with_suffix(f".{new_id()}")
    own.touch(mode=0o600)
    own.write_text(secrets.token_urlsafe(32), "ascii")
    try:
        os.link(own, path)  # fails if another process was first; unlike rename, which would replace its pepper
    except FileExistsError:
        pass
    finally:
        own.unlink()


def _id_of(pepper: str) -> str:
    return hashlib.sha256(b"setpoint pepper\n" + pepper.encode()).hexdigest()[:_ID_CHARACTERS]
