"""SQL of API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from app.domain.access import EVERYWHERE
from app.domain.definition import Sensitivity
from app.domain.position import Position
from app.kit.database import Connection, Database
from app.log.append import SETTINGS_POSITION

WRITE_SECONDS = 60  # how often the last use of one key is written down, at most


class SecretDigest(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a secret."""

    digest: bytes
    pepper_id: str


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is stored. `scopes` is None when it is good for whatever its roles allow."""

    id: str
    tenant: str | None
    owner: str
    name: str
    kind: Literal["user", "service"]
    roles: tuple[str, ...]
    territories: tuple[str, ...]
    accounts: tuple[str, ...]
    clearance: Sensitivity
    scopes: tuple[str, ...] | None
    secret: SecretDigest
    old_secret: SecretDigest | None
    old_secret_until: datetime | None
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    version: int
    position: Position
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


_COLUMNS = """id, tenant, owner, name, kind, roles, territories, accounts, clearance, scopes, secret_digest, pepper_id,
    old_secret_digest, old_pepper_id, old_secret_until, expires_at, last_used_at, revoked_at, version, position,
    created_at, created_by, updated_at, updated_by"""

# Index: api_key_pkey.
_KEY = f"SELECT {_COLUMNS} FROM api_key WHERE id = $1"
_LOCK = f"{_KEY} FOR UPDATE"
_ONE = f"""
SELECT {SETTINGS_POSITION} AS feed_position, ARRAY(
    SELECT ROW({_COLUMNS}) FROM api_key WHERE id = $1) AS items"""
# Index: api_key_by_tenant.
_PAGE = f"""
SELECT {SETTINGS_POSITION} AS feed_position, ARRAY(
    SELECT ROW({_COLUMNS}) FROM api_key
    WHERE coalesce(tenant, '') = coalesce($1, '') AND id > $2 ORDER BY id LIMIT $3) AS items"""
# The first lock of any writer, before the feed's counter row: removing a tenant takes them in this order.
_LOCK_TENANT = "SELECT id FROM tenant WHERE id = $1 FOR KEY SHARE"
_COUNT = """
SELECT count(*) FROM api_key WHERE coalesce(tenant, '') = coalesce($1, '') AND revoked_at IS NULL AND expires_at > $2"""
# Index: api_key_by_position.
_CHANGED = "SELECT id FROM api_key WHERE position > $1"
_INSERT = f"""
INSERT INTO api_key ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
    $18, $19, $20, $21, $22, $23, $24)"""
_UPDATE = """
UPDATE api_key SET secret_digest = $2, pepper_id = $3, old_secret_digest = $4, old_pepper_id = $5,
    old_secret_until = $6, revoked_at = $7, version = $8, position = $9, updated_at = $10, updated_by = $11
WHERE id = $1"""
# Several workers see the same key: the condition keeps them from writing one after the other.
_USED = f"""
UPDATE api_key k SET last_used_at = u.at
FROM unnest($1::text[], $2::timestamptz[]) AS u (id, at)
WHERE k.id = u.id AND (k.last_used_at IS NULL OR k.last_used_at <= u.at - interval '{WRITE_SECONDS} seconds')"""


async def find_anywhere(database: Database, key_id: str) -> ApiKey | None:
    """
    The key of this id, whosever it is: the look-up that finds out who is asking.

    Nobody is known yet, so there is no reach to hold it to, and it is the one read that goes everywhere for a caller.
    It shows the row to nobody: authentication compares it with the secret that was sent.
    """
    async with database.transaction(EVERYWHERE) as tx:
        row = await tx.fetchrow(_KEY, key_id)
    return None if row is None else _key(tuple(row))


async def key(connection: Connection, key_id: str) -> tuple[Position, list[ApiKey]]:
    """The key of this id, if it is within reach."""
    return _listed(await connection.fetchrow(_ONE, key_id))


async def page(connection: Connection, *, tenant: str | None, after: str, limit: int) -> tuple[Position, list[ApiKey]]:
    """Keys of a tenant in order of their ids."""
    return _listed(await connection.fetchrow(_PAGE, tenant, after, limit))


async def lock(tx: Connection, key_id: str) -> ApiKey | None:
    """A key, held for a change."""
    row = await tx.fetchrow(_LOCK, key_id)
    return None if row is None else _key(tuple(row))


async def lock_tenant(tx: Connection, tenant: str) -> bool:
    """Keep a tenant from being removed until the transaction ends; gives whether there is one."""
    return await tx.fetchval(_LOCK_TENANT, tenant) is not None


async def count(tx: Connection, tenant: str | None, *, now: datetime) -> int:
    """How many keys of a tenant are good for something."""
    found: int = await tx.fetchval(_COUNT, tenant, now)
    return found


async def changed(connection: Connection, *, after: Position) -> list[str]:
    """The ids of keys that were made or changed after a position."""
    return [row["id"] for row in await connection.fetch(_CHANGED, after)]


async def insert(tx: Connection, one: ApiKey) -> None:
    """Write a new key down."""
    await tx.execute(
        _INSERT,
        one.id,
        one.tenant,
        one.owner,
        one.name,
        one.kind,
        one.roles,
        one.territories,
        one.accounts,
        one.clearance.value,
        one.scopes,
        *_secrets(one),
        one.expires_at,
        one.last_used_at,
        one.revoked_at,
        one.version,
        one.position,
        one.created_at,
        one.created_by,
        one.updated_at,
        one.updated_by,
    )


async def update(tx: Connection, one: ApiKey) -> None:
    """Change the secrets of a key, or whether it is good for anything."""
    signed = (one.version, one.position, one.updated_at, one.updated_by)
    await tx.execute(_UPDATE, one.id, *_secrets(one), one.revoked_at, *signed)


async def note_uses(tx: Connection, uses: Mapping[str, float]) -> None:
    """Write down when keys were used last, in seconds since the epoch."""
    await tx.execute(_USED, [*uses], [datetime.fromtimestamp(at, UTC) for at in uses.values()])


def _secrets(one: ApiKey) -> tuple[object, ...]:
    old = one.old_secret
    old_columns = (None, None, None) if old is None else (old.digest, old.pepper_id, one.old_secret_until)
    return (one.secret.digest, one.secret.pepper_id, *old_columns)


def _listed(row: Any) -> tuple[Position, list[ApiKey]]:
    return Position(row["feed_position"]), [_key(tuple(item)) for item in row["items"]]


def _key(columns: Sequence[Any]) -> ApiKey:
    read = dict(zip((name.strip() for name in _COLUMNS.split(",")), columns, strict=True))
    old_digest, old_pepper = read.pop("old_secret_digest"), read.pop("old_pepper_id")
    for name in ("roles", "territories", "accounts", "scopes"):
        read[name] = None if read[name] is None else tuple(read[name])
    secret = SecretDigest(digest=read.pop("secret_digest"), pepper_id=read.pop("pepper_id"))
    old_secret = None if old_digest is None else SecretDigest(digest=old_digest, pepper_id=old_pepper)
    read["clearance"] = Sensitivity(read["clearance"])
    return ApiKey(**read, secret=secret, old_secret=old_secret)
