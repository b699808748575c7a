"""Revoking credentials, and lifting it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from app.access.audit.append import write_down
from app.access.audit.record import AuditedChange
from app.access.caller import Caller
from app.access.credentials import Credentials
from app.access.revocation import store
from app.access.revocation.standing import Revocation
from app.domain.access import Action, ApiKeyResource
from app.domain.canonical import CanonicalJson, canonical
from app.domain.errors import NotFound, Refused, Violation
from app.domain.event import CredentialsRevoked, Feed, RevocationLifted
from app.domain.position import Position
from app.kit.clock import new_id
from app.log.append import Author, append

KEPT_DAYS = 1  # how long a row outlives what it said: workers that were away hear of it by the row


class RevokeCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """Which credentials: one by its id, or all issued before a moment, which is now if nothing is said."""

    tenant: str | None
    issuer: str | None
    subject: str | None
    token_id: str | None
    issued_before: datetime | None
    reason: str | None
    expires_at: datetime | None


async def revoke_credentials(command: RevokeCredentials, *, caller: Caller, credentials: Credentials) -> Revocation:
    """
    Have credentials believed no longer, on every worker within a second.

    Raises Refused when both ways to say which are used, or neither holds now.
    """
    credentials.gate.require(caller, Action.WRITE, resource_of(command.tenant))
    author = caller.author(credentials.clock)
    _check(command, now=author.at)
    async with credentials.database.transaction(caller.reach) as tx:
        await store.clear(tx, command.tenant, before=author.at - timedelta(days=KEPT_DAYS))
        limit = credentials.config.max_revocations
        if await store.count(tx, command.tenant) >= limit:
            raise Refused(f"There are {limit} revocations already, which is all there may be; lift some, or wait.")
        revocation_id = new_id()
        fact = CredentialsRevoked(revocation_id=revocation_id, tenant_id=command.tenant, version=1)
        [position] = await append(tx, Feed.SETTINGS, [fact], author=author)
        revocation = Revocation(
            id=revocation_id,
            tenant=command.tenant,
            issuer=command.issuer,
            subject=command.subject,
            token_id=command.token_id,
            issued_before=None if command.token_id is not None else command.issued_before or author.at,
            reason=command.reason,
            expires_at=command.expires_at,
            lifted_at=None,
            position=position,
            created_at=author.at,
            created_by=author.id,
        )
        await store.insert(tx, revocation)
        change = _audited("revocation.add", revocation, position, version=1, after=_written(revocation))
        await write_down(tx, [change], signature=credentials.signature(caller, at=author.at))
    await credentials.follower.try_to_catch_up()
    return revocation


async def lift_revocation(revocation_id: UUID, *, caller: Caller, credentials: Credentials) -> Position:
    """Have credentials believed again that were revoked and have not expired."""
    author: Author = caller.author(credentials.clock)
    async with credentials.database.transaction(caller.reach) as tx:
        current = await store.lock(tx, revocation_id)
        if current is None:
            raise NotFound
        credentials.gate.require(caller, Action.WRITE, resource_of(current.tenant))
        if current.lifted_at is not None:
            raise NotFound
        fact = RevocationLifted(revocation_id=revocation_id, tenant_id=current.tenant, version=2)
        [position] = await append(tx, Feed.SETTINGS, [fact], author=author)
        await store.lift(tx, revocation_id, at=author.at, position=position)
        change = _audited("revocation.lift", current, position, version=2, before=_written(current))
        await write_down(tx, [change], signature=credentials.signature(caller, at=author.at))
    await credentials.follower.try_to_catch_up()
    return position


def resource_of(tenant: str | None) -> ApiKeyResource:
    """The resource that the revocations of a tenant are; they are their tenant's, and nobody's own."""
    return ApiKeyResource(tenant=tenant or "", owner="")


def _check(command: RevokeCredentials, *, now: datetime) -> None:
    errors = []
    if not any((command.token_id, command.subject, command.issuer, command.issued_before)):
        detail = "Say which credentials: by jti, subject, issuer or issuedBefore. Not saying would mean everybody's."
        errors.append(Violation(pointer="#", code="missing", detail=detail))
    if command.token_id is not None:
        for member, given in (("subject", command.subject), ("issuedBefore", command.issued_before)):
            if given is not None:
                detail = "jti names one credential; leave this out, or leave jti out."
                errors.append(Violation(pointer=f"#/{member}", code="ambiguous", detail=detail))
    if command.expires_at is not None and command.expires_at <= now:
        detail = "What has expired need not be revoked; name the moment when the last of these credentials expires."
        errors.append(Violation(pointer="#/expiresAt", code="out-of-range", detail=detail))
    if errors:
        raise Refused(errors=errors)


def _audited(
    action: str,
    revocation: Revocation,
    position: Position,
    *,
    version: int,
    before: CanonicalJson | None = None,
    after: CanonicalJson | None = None,
) -> AuditedChange:
    return AuditedChange(
        tenant=revocation.tenant,
        action=action,
        resource=f"revocation/{revocation.id}",
        version=version,
        position=position,
        before=before,
        after=after,
    )


def _written(one: Revocation) -> CanonicalJson:
    return canonical(
        {
            "issuer": one.issuer,
            "subject": one.subject,
            "jti": one.token_id,
            "issuedBefore": None if one.issued_before is None else one.issued_before.isoformat(),
            "reason": one.reason,
            "expiresAt": None if one.expires_at is None else one.expires_at.isoformat(),
        }
    )
