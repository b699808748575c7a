"""
Idempotency keys: a retried request gets the answer of the first, and changes nothing again.

The key is kept in the transaction that it guards, so either both are there or neither is. Two requests that race with
one key queue on its row: the second finds the first's answer, or, if that rolled back, goes ahead itself.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta

from app.domain.access import Principal
from app.domain.canonical import CanonicalJson
from app.domain.errors import IdempotencyKeyReused, Malformed, Violation
from app.kit.database import Connection

MAX_KEY_CHARACTERS = 255
CLEAN_ROWS = 100  # expired keys removed along with each new one, so that the table stays as small as its traffic

_KEY = re.compile(r'"?([\x21\x23-\x7e]{1,255})"?')  # a structured-field string; bare, as many clients send it

_CLEAN = """
DELETE FROM append_dedupe WHERE caller IN (
    SELECT caller FROM append_dedupe WHERE created_at < $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)"""
_CLAIM = """
INSERT INTO append_dedupe (caller, fingerprint, created_at) VALUES ($1, $2, $3)
ON CONFLICT (caller) DO NOTHING RETURNING caller"""
_CLAIMED = "SELECT fingerprint, answer FROM append_dedupe WHERE caller = $1"
_KEEP = "UPDATE append_dedupe SET answer = $2 WHERE caller = $1"


def parse_key(header: str | None) -> str | None:
    """The key in an Idempotency-Key header, None without one. Raises Malformed."""
    if header is None:
        return None
    match = _KEY.fullmatch(header.strip())
    if match is None:
        detail = f"Idempotency-Key takes 1 to {MAX_KEY_CHARACTERS} visible ASCII characters, in quotes or bare."
        raise Malformed(detail, errors=[Violation(pointer="/header/Idempotency-Key", code="form", detail=detail)])
    return match[1]


def claim_of(principal: Principal, *, route: str, key: str) -> str:
    """Whose key it is: one caller's on one route, so that nobody is answered with another's result."""
    parts = (principal.tenant or "", principal.kind, principal.id, route, key)
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


async def claim(
    tx: Connection, claimed: str, *, fingerprint: bytes, at: datetime, ttl_seconds: int
) -> CanonicalJson | None:
    """
    Claim a key for this transaction; gives the answer of the request that had it before, None for the first.

    Raises IdempotencyKeyReused when that was another request.
    """
    await tx.execute(_CLEAN, at - timedelta(seconds=ttl_seconds), CLEAN_ROWS)
    if await tx.fetchval(_CLAIM, claimed, fingerprint, at) is not None:
        return None
    row = await tx.fetchrow(_CLAIMED, claimed)
    if row is None or row["fingerprint"] != fingerprint or row["answer"] is None:
        raise IdempotencyKeyReused
    return CanonicalJson(row["answer"].encode())


async def keep(tx: Connection, claimed: str, answer: bytes) -> None:
    """Keep the answer for whoever comes with the same key."""
    await tx.execute(_KEEP, claimed, answer.decode())
