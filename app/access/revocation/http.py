"""`/api/security/revocations`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response

from app.access.caller import caller_of
from app.access.claims import TokenId
from app.access.credentials import credentials_of
from app.access.moments import Moment, in_utc
from app.access.revocation import commands, queries
from app.access.revocation.commands import RevokeCredentials
from app.access.revocation.standing import Revocation
from app.domain.errors import NotFound
from app.domain.scope import ScopeId, TenantId
from app.kit.http import ApiRequest, Operation, api, changed, encode, gone, paged
from app.kit.paging import DEFAULT_LIMIT, Cursor, Limit, Page

_TAG = "Revocations"

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)")]


class RevocationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """
    Which credentials: one by its `jti`, or those issued before a moment (now, if left out), of a subject, an issuer, or
    all of the tenant. `expiresAt` is when the last of them expires; without it the revocation holds until it is lifted.
    """

    jti: TokenId | None = None
    subject: ScopeId | None = None
    issuer: Line | None = None
    issued_before: Moment | None = None
    reason: Line | None = None
    expires_at: Moment | None = None
    tenant_id: TenantId | None = None


class RevocationView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Credentials that are believed no longer."""

    id: UUID
    tenant_id: str | None
    issuer: str | None
    subject: str | None
    jti: str | None
    issued_before: datetime | None
    reason: str | None
    expires_at: datetime | None
    created_at: datetime
    created_by: str


class RevocationsQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whose revocations, and which page of them."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None
    tenant_id: TenantId | None = None


@api(
    "GET",
    "/api/security/revocations",
    Operation(
        id="listRevocations",
        tag=_TAG,
        summary="Credentials that are believed no longer",
        query=RevocationsQuery,
        answer=Page[RevocationView],
        errors=(404,),
        conditional=True,
    ),
)
async def list_revocations(request: ApiRequest, params: RevocationsQuery) -> Response[bytes]:
    """Those that hold, newest first."""
    position, page = await queries.revocations(
        tenant=request.tenant_of(params.tenant_id),
        cursor=params.cursor,
        limit=params.limit,
        caller=caller_of(request),
        credentials=credentials_of(request),
    )
    return paged(request, page, shown=_view, position=position)


@api(
    "POST",
    "/api/security/revocations",
    Operation(
        id="addRevocation",
        tag=_TAG,
        summary="Revoke credentials",
        answer=RevocationView,
        status=201,
        errors=(403, 404, 422),
    ),
)
async def add_revocation(request: ApiRequest, data: RevocationBody) -> Response[bytes]:
    """They are refused by every worker within a second. Who has no tenant revokes for all of them."""
    command = RevokeCredentials(
        tenant=request.tenant_of(data.tenant_id),
        issuer=data.issuer,
        subject=data.subject,
        token_id=data.jti,
        issued_before=None if data.issued_before is None else in_utc(data.issued_before, pointer="#/issuedBefore"),
        reason=data.reason,
        expires_at=None if data.expires_at is None else in_utc(data.expires_at, pointer="#/expiresAt"),
    )
    made = await commands.revoke_credentials(command, caller=caller_of(request), credentials=credentials_of(request))
    location = f"/api/security/revocations/{made.id}"
    return changed(encode(_view(made)), tag=None, position=made.position, location=location)


@api(
    "DELETE",
    "/api/security/revocations/{revocation_id:str}",
    Operation(id="liftRevocation", tag=_TAG, summary="Lift a revocation", status=204, errors=(403, 404)),
)
async def lift_revocation(request: ApiRequest, revocation_id: str) -> Response[bytes]:
    """The credentials are believed again, unless they have expired. A revocation never changes: no `If-Match`."""
    try:
        wanted = UUID(revocation_id)
    except ValueError:
        raise NotFound from None
    position = await commands.lift_revocation(wanted, caller=caller_of(request), credentials=credentials_of(request))
    return gone(position=position)


HANDLERS = [list_revocations, add_revocation, lift_revocation]


def _view(one: Revocation) -> RevocationView:
    return RevocationView(
        id=one.id,
        tenant_id=one.tenant,
        issuer=one.issuer,
        subject=one.subject,
        jti=one.token_id,
        issued_before=one.issued_before,
        reason=one.reason,
        expires_at=one.expires_at,
        created_at=one.created_at,
        created_by=one.created_by,
    )
