"""Making, rotating and revoking API keys."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from app.access.api_keys import store
from app.access.api_keys.power import Power, excess
from app.access.api_keys.secret import new_key_id, new_secret, written_key
from app.access.api_keys.store import ApiKey, SecretDigest
from app.access.audit.append import write_down
from app.access.audit.record import AuditedChange
from app.access.caller import Caller
from app.access.credentials import Credentials
from app.domain.access import Action, ApiKeyResource, Principal
from app.domain.canonical import CanonicalJson, canonical
from app.domain.definition import Sensitivity
from app.domain.errors import Forbidden, NotFound, Refused, Violation
from app.domain.event import ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated, Feed
from app.domain.position import Position
from app.domain.precondition import require_match
from app.domain.tag import change_tag
from app.kit.database import Connection
from app.log.append import Author, append
from app.log.position import current_position


class CreateApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a new key is to be. `clearance` and `expires_at` have defaults that depend on who makes it and when."""

    tenant: str | None
    name: str
    kind: Literal["user", "service"]
    roles: tuple[str, ...]
    territories: tuple[str, ...]
    accounts: tuple[str, ...]
    clearance: Sensitivity | None
    scopes: tuple[str, ...] | None
    expires_at: datetime | None


async def create_api_key(command: CreateApiKey, *, caller: Caller, credentials: Credentials) -> tuple[ApiKey, str]:
    """
    Make a key; gives it, and the text that its bearer sends, which nobody can find out later.

    Raises Refused for a key with more power than the caller has, or one that would live too long.
    """
    principal = caller.principal
    resource = ApiKeyResource(tenant=command.tenant or "", owner=principal.id)
    credentials.gate.require(caller, Action.WRITE, resource)
    author = caller.author(credentials.clock)
    clearance = command.clearance if command.clearance is not None else _default_clearance(principal)
    expires_at = command.expires_at or author.at + timedelta(seconds=_default_seconds(credentials))
    _check(command, clearance, expires_at, principal=principal, credentials=credentials, now=author.at)
    key_id, secret = new_key_id(), new_secret()
    async with credentials.database.transaction(caller.reach) as tx:
        if command.tenant is not None and not await store.lock_tenant(tx, command.tenant):
            raise NotFound
        await _require_room(tx, command.tenant, credentials=credentials, now=author.at)
        fact = ApiKeyCreated(key_id=key_id, tenant_id=command.tenant, version=1)
        [position] = await append(tx, Feed.SETTINGS, [fact], author=author)
        key = ApiKey(
            id=key_id,
            tenant=command.tenant,
            owner=principal.id,
            name=command.name,
            kind=command.kind,
            roles=command.roles,
            territories=command.territories,
            accounts=command.accounts,
            clearance=clearance,
            scopes=command.scopes,
            secret=_digested(secret, credentials),
            old_secret=None,
            old_secret_until=None,
            expires_at=expires_at,
            last_used_at=None,
            revoked_at=None,
            version=1,
            position=position,
            created_at=author.at,
            created_by=author.id,
            updated_at=author.at,
            updated_by=author.id,
        )
        await store.insert(tx, key)
        await _audit(tx, "api-key.create", None, key, caller=caller, credentials=credentials, author=author)
    return key, written_key(environment=credentials.config.api_key_environment, key_id=key_id, secret=secret)


async def rotate_api_key(
    key_id: str, *, overlap_seconds: float, if_match: str | None, caller: Caller, credentials: Credentials
) -> tuple[ApiKey, str]:
    """
    Give a key a new secret; the one it had is good for the overlap, an older one no longer.

    Whoever gets the secret can be the key. So it takes all the power that the key has, and a user's key, which stands
    for its owner, is rotated by that owner alone.
    """
    author = caller.author(credentials.clock)
    secret = new_secret()
    async with credentials.database.transaction(caller.reach) as tx:
        current = await _locked(tx, key_id, caller=caller, credentials=credentials)
        require_match(if_match, change_tag(current.position))
        if current.revoked_at is not None or current.expires_at <= author.at:
            raise Refused("The key is revoked or has expired; make another.")
        _require_as_much_power(current, caller.principal)
        fact = ApiKeyRotated(key_id=key_id, tenant_id=current.tenant, version=current.version + 1)
        [position] = await append(tx, Feed.SETTINGS, [fact], author=author)
        key = msgspec.structs.replace(
            current,
            secret=_digested(secret, credentials),
            old_secret=current.secret if overlap_seconds else None,
            old_secret_until=author.at + timedelta(seconds=overlap_seconds) if overlap_seconds else None,
            version=current.version + 1,
            position=position,
            updated_at=author.at,
            updated_by=author.id,
        )
        await store.update(tx, key)
        await _audit(tx, "api-key.rotate", current, key, caller=caller, credentials=credentials, author=author)
    await credentials.follower.try_to_catch_up()
    return key, written_key(environment=credentials.config.api_key_environment, key_id=key_id, secret=secret)


async def revoke_api_key(key_id: str, *, if_match: str | None, caller: Caller, credentials: Credentials) -> Position:
    """Let a key be good for nothing from now on. One that is revoked already stays so."""
    author = caller.author(credentials.clock)
    async with credentials.database.transaction(caller.reach) as tx:
        current = await _locked(tx, key_id, caller=caller, credentials=credentials)
        if if_match is not None:
            require_match(if_match, change_tag(current.position))
        if current.revoked_at is not None:
            return await current_position(tx)
        fact = ApiKeyRevoked(key_id=key_id, tenant_id=current.tenant, version=current.version + 1)
        [position] = await append(tx, Feed.SETTINGS, [fact], author=author)
        key = msgspec.structs.replace(
            current,
            old_secret=None,
            old_secret_until=None,
            revoked_at=author.at,
            version=current.version + 1,
            position=position,
            updated_at=author.at,
            updated_by=author.id,
        )
        await store.update(tx, key)
        await _audit(tx, "api-key.revoke", current, key, caller=caller, credentials=credentials, author=author)
    await credentials.follower.try_to_catch_up()
    return position


def resource_of(key: ApiKey) -> ApiKeyResource:
    """The resource that a key is."""
    return ApiKeyResource(tenant=key.tenant or "", owner=key.owner)


def _default_clearance(principal: Principal) -> Sensitivity:
    return list(Sensitivity)[min(principal.clearance, Sensitivity.INTERNAL.rank)]


def _default_seconds(credentials: Credentials) -> int:
    return min(credentials.config.api_key_default_seconds, credentials.config.api_key_max_seconds)


def _check(
    command: CreateApiKey,
    clearance: Sensitivity,
    expires_at: datetime,
    *,
    principal: Principal,
    credentials: Credentials,
    now: datetime,
) -> None:
    wanted = Power(
        tenant=command.tenant,
        roles=command.roles,
        territories=command.territories,
        accounts=command.accounts,
        clearance=clearance,
        scopes=command.scopes,
    )
    errors = excess(wanted, over=principal)
    if command.kind == "user" and command.tenant != principal.tenant:
        detail = "A user's key stands for you, and you do not belong to this tenant; make one for a service."
        errors.append(Violation(pointer="#/kind", code="not-yours", detail=detail))
    longest = timedelta(seconds=credentials.config.api_key_max_seconds)
    if not now < expires_at <= now + longest:
        detail = f"A key lives until some moment within the next {longest.total_seconds() / 86_400:g} days."
        errors.append(Violation(pointer="#/expiresAt", code="out-of-range", detail=detail))
    if errors:
        raise Refused("A key can have no more power than you have, and no longer life than is allowed.", errors=errors)


def _require_as_much_power(key: ApiKey, principal: Principal) -> None:
    power = Power(
        tenant=key.tenant,
        roles=key.roles,
        territories=key.territories,
        accounts=key.accounts,
        clearance=key.clearance,
        scopes=key.scopes,
    )
    if excess(power, over=principal):
        raise Forbidden("The key has more power than you have: whoever rotates it could use it. You may revoke it.")
    if key.kind == "user" and (key.owner != principal.id or key.tenant != principal.tenant):
        raise Forbidden("A user's key stands for its owner, who alone may rotate it. You may revoke it.")


async def _require_room(tx: Connection, tenant: str | None, *, credentials: Credentials, now: datetime) -> None:
    limit = credentials.config.max_api_keys
    if await store.count(tx, tenant, now=now) >= limit:
        raise Refused(f"There are {limit} keys already, which is all there may be; revoke one that nobody uses.")


async def _locked(tx: Connection, key_id: str, *, caller: Caller, credentials: Credentials) -> ApiKey:
    current = await store.lock(tx, key_id)
    if current is None:
        raise NotFound
    credentials.gate.require(caller, Action.WRITE, resource_of(current))
    return current


def _digested(secret: str, credentials: Credentials) -> SecretDigest:
    pepper_id = credentials.peppers.current_id
    return SecretDigest(digest=credentials.peppers.digest(secret, pepper_id=pepper_id), pepper_id=pepper_id)


async def _audit(
    tx: Connection,
    action: str,
    before: ApiKey | None,
    after: ApiKey,
    *,
    caller: Caller,
    credentials: Credentials,
    author: Author,
) -> None:
    change = AuditedChange(
        tenant=after.tenant,
        action=action,
        resource=f"api-key/{after.id}",
        version=after.version,
        position=after.position,
        before=None if before is None else _written(before),
        after=_written(after),
    )
    await write_down(tx, [change], signature=credentials.signature(caller, at=author.at))


def _written(key: ApiKey) -> CanonicalJson:
    """What the audit keeps of a key: nothing of its secrets, not even digests."""
    return canonical(
        {
            "name": key.name,
            "kind": key.kind,
            "owner": key.owner,
            "roles": key.roles,
            "territories": key.territories,
            "accounts": key.accounts,
            "clearance": key.clearance.value,
            "scopes": key.scopes,
            "expiresAt": key.expires_at.isoformat(),
            "overlapUntil": None if key.old_secret_until is None else key.old_secret_until.isoformat(),
            "revokedAt": None if key.revoked_at is None else key.revoked_at.isoformat(),
        }
    )
