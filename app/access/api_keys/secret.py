"""The text of a key: made, read, and checked for junk without asking anybody."""

from __future__ import annotations

import re
import secrets
import zlib
from typing import NamedTuple

# For secret scanners (docs/operations.md). What follows the secret without a mark of its own are six digits of CRC-32.
PATTERN = r"sp_[a-z0-9]{1,16}_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}"
PREFIX = "sp_"
ID_CHARACTERS = 10
SECRET_CHARACTERS = 32  # 190 bits
CHECK_CHARACTERS = 6

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID = re.compile(rf"[0-9A-Za-z]{{{ID_CHARACTERS}}}")
_KEY = re.compile(rf"(sp_([a-z0-9]{{1,16}})_([0-9A-Za-z]{{{ID_CHARACTERS}}})_([0-9A-Za-z]{{32}}))([0-9A-Za-z]{{6}})")


class PresentedKey(NamedTuple):
    """A key that somebody sent, its checksum right. Nothing else about it is known to be."""

    environment: str
    id: str
    secret: str


def new_key_id() -> str:
    """An id: 60 bits, so that no two meet, and nobody guesses one."""
    return _random(ID_CHARACTERS)


def new_secret() -> str:
    """The part of a key that only its bearer knows."""
    return _random(SECRET_CHARACTERS)


def written_key(*, environment: str, key_id: str, secret: str) -> str:
    """The whole key, as its bearer sends it."""
    body = f"{PREFIX}{environment}_{key_id}_{secret}"
    return body + _checksum(body)


def is_meant_as_key(credential: str) -> bool:
    """Whether a credential is one of ours rather than a token; tokens begin with an encoded brace."""
    return credential[: len(PREFIX)].lower() == PREFIX


def read_key(text: str) -> PresentedKey | None:
    """The parts of a key, None for what is none. Cost: a microsecond, and no look-up."""
    found = _KEY.fullmatch(text)
    if found is None or _checksum(found[1]) != found[5]:
        return None
    return PresentedKey(environment=found[2], id=found[3], secret=found[4])


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode("ascii")), ""
    for _ in range(CHECK_CHARACTERS):
        number, place = divmod(number, len(_DIGITS))
        digits = _DIGITS[place] + digits
    return digits


def _random(length: int) -> str:
    return "".join(secrets.choice(_DIGITS) for _ in range(length))
