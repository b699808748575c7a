"""SQL of revocations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from app.access.revocation.standing import Revocation
from app.domain.position import Position
from app.kit.database import Connection
from app.log.append import SETTINGS_POSITION

_COLUMNS = """id, tenant, issuer, subject, token_id, issued_before, reason, expires_at, lifted_at, position,
    created_at, created_by"""

# Index: revocation_by_position.
_CHANGED = f"SELECT {_COLUMNS} FROM revocation WHERE position > $1 ORDER BY position"
_IN_FORCE = f"SELECT {_COLUMNS} FROM revocation WHERE lifted_at IS NULL AND (expires_at IS NULL OR expires_at > $1)"
# Index: revocation_by_tenant. Ids rise with time, so what was revoked last comes first.
_PAGE = f"""
SELECT {SETTINGS_POSITION} AS feed_position, ARRAY(
    SELECT ROW({_COLUMNS}) FROM revocation
    WHERE coalesce(tenant, '') = coalesce($1, '') AND lifted_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
      AND ($3::uuid IS NULL OR id < $3)
    ORDER BY id DESC LIMIT $4) AS items"""
_LOCK = f"SELECT {_COLUMNS} FROM revocation WHERE id = $1 FOR UPDATE"
_COUNT = "SELECT count(*) FROM revocation WHERE coalesce(tenant, '') = coalesce($1, '') AND lifted_at IS NULL"
_INSERT = f"INSERT INTO revocation ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
_LIFT = "UPDATE revocation SET lifted_at = $2, position = $3 WHERE id = $1"
# What was lifted stays a while: workers hear of it by its row.
_CLEAR = """
DELETE FROM revocation WHERE coalesce(tenant, '') = coalesce($1, '') AND (expires_at < $2 OR lifted_at < $2)"""


async def changed(connection: Connection, *, after: Position) -> list[Revocation]:
    """Revocations that were made or lifted after a position."""
    return [_revocation(tuple(row)) for row in await connection.fetch(_CHANGED, after)]


async def in_force(connection: Connection, *, now: datetime) -> list[Revocation]:
    """All revocations that hold."""
    return [_revocation(tuple(row)) for row in await connection.fetch(_IN_FORCE, now)]


async def page(
    connection: Connection, *, tenant: str | None, now: datetime, before: UUID | None, limit: int
) -> tuple[Position, list[Revocation]]:
    """Revocations of a tenant that hold, newest first."""
    row: Any = await connection.fetchrow(_PAGE, tenant, now, before, limit)
    return Position(row["feed_position"]), [_revocation(tuple(item)) for item in row["items"]]


async def lock(tx: Connection, revocation_id: UUID) -> Revocation | None:
    """A revocation, held for a change."""
    row = await tx.fetchrow(_LOCK, revocation_id)
    return None if row is None else _revocation(tuple(row))


async def count(tx: Connection, tenant: str | None) -> int:
    """How many revocations a tenant has."""
    found: int = await tx.fetchval(_COUNT, tenant)
    return found


async def insert(tx: Connection, one: Revocation) -> None:
    """Write a revocation down."""
    await tx.execute(_INSERT, *msgspec.structs.astuple(one))


async def lift(tx: Connection, revocation_id: UUID, *, at: datetime, position: Position) -> None:
    """Let a revocation hold no longer."""
    await tx.execute(_LIFT, revocation_id, at, position)


async def clear(tx: Connection, tenant: str | None, *, before: datetime) -> None:
    """Remove what has not held since before a moment."""
    await tx.execute(_CLEAR, tenant, before)


def _revocation(columns: Sequence[Any]) -> Revocation:
    return Revocation(**dict(zip(Revocation.__struct_fields__, columns, strict=True)))
