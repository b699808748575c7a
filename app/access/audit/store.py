"""SQL of the audit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.access.audit.record import Record
from app.kit.database import Connection, Row

# A function of the database: it links the records in one round trip, with the chain's head locked to the commit.
_APPEND = "SELECT audit_append($1, $2::text[])"
# Index: audit_record_pkey.
_PAGE = """
SELECT tenant, sequence, body, hash FROM audit_record WHERE tenant = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"""
_NEWEST = """
SELECT tenant, sequence, body, hash FROM audit_record WHERE tenant = $1 AND sequence < $2
ORDER BY sequence DESC LIMIT $3"""
_HEAD = "SELECT sequence, hash FROM audit_head WHERE tenant = $1"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a chain, as it was last written."""

    sequence: int
    hash: bytes


async def append(tx: Connection, tenant: str, bodies: Sequence[str]) -> None:
    """Add records to the end of a chain."""
    await tx.execute(_APPEND, tenant, list(bodies))


async def page(connection: Connection, tenant: str, *, after: int, limit: int) -> list[Record]:
    """Records of a chain in order."""
    return _records(await connection.fetch(_PAGE, tenant, after, limit))


async def newest(connection: Connection, tenant: str, *, before: int, limit: int) -> list[Record]:
    """Records of a chain before a place, newest first."""
    return _records(await connection.fetch(_NEWEST, tenant, before, limit))


async def head(connection: Connection, tenant: str) -> Head | None:
    """The end of a chain; None when nothing was ever written to it."""
    row = await connection.fetchrow(_HEAD, tenant)
    return None if row is None else Head(sequence=row["sequence"], hash=row["hash"])


def _records(rows: Sequence[Row]) -> list[Record]:
    return [Record(tenant=row["tenant"], sequence=row["sequence"], body=row["body"], hash=row["hash"]) for row in rows]
