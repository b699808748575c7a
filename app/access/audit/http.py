"""`/api/security/audit`: what was changed by whom, and whether the record of it is whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

import msgspec
from litestar import Response

from app.access.audit import store
from app.access.audit.record import PLATFORM, Record
from app.access.audit.verify import verify
from app.access.caller import caller_of
from app.access.gate import Gate
from app.domain.access import Action, AuditResource, reach_of
from app.domain.scope import TenantId
from app.kit.database import Database
from app.kit.http import ApiRequest, Operation, api, encode, paged, view
from app.kit.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after_cursor, bad_cursor, page_of
from app.log.position import current_position

_TAG = "Security"
_LATEST = 2**63 - 1  # before this place: all of them


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whose chain; yours, or without a tenant of your own the platform's."""

    tenant_id: TenantId | None = None


class AuditPageQuery(AuditQuery, frozen=True, kw_only=True, rename="camel"):
    """Whose chain, and which part of it."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None


class Actor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who did it, with the roles of that moment."""

    id: str
    kind: str
    tenant_id: str | None
    roles: tuple[str, ...]


class _Said(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    at: datetime
    actor: Actor
    action: str
    resource: str
    outcome: str
    version: int
    position: int
    request_id: str
    policy_version: str
    reason: str | msgspec.UnsetType = msgspec.UNSET
    before: Any = msgspec.UNSET
    after: Any = msgspec.UNSET


class AuditRecordView(_Said, frozen=True, kw_only=True, rename="camel"):
    """One record. `before` and `after` of what is confidential or secret are `{"masked": true}`."""

    sequence: int
    hash: str


class ChainView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many records hold, and the first that does not, with the reason."""

    tenant_id: str | None
    records: int
    valid: bool
    broken_at: int | None
    reason: str | None


@api(
    "GET",
    "/api/security/audit",
    Operation(
        id="listAudit",
        tag=_TAG,
        summary="Who changed what, newest first",
        query=AuditPageQuery,
        answer=Page[AuditRecordView],
        errors=(404,),
        conditional=True,
    ),
)
async def list_audit(request: ApiRequest, params: AuditPageQuery) -> Response[bytes]:
    """The records of one tenant, newest first."""
    tenant = _tenant_of(request, params)
    question = f"audit/{tenant}"
    before = _place_in(after_cursor(params.cursor, question=question))
    async with _database(request).moment(reach_of(request.user)) as connection:
        position = await current_position(connection)
        found = await store.newest(connection, tenant, before=before, limit=params.limit + 1)
    page = page_of(found, limit=params.limit, question=question, after=[str(one.sequence) for one in found])
    return paged(request, page, shown=_shown, position=position)


@api(
    "GET",
    "/api/security/audit/verify",
    Operation(
        id="verifyAudit",
        tag=_TAG,
        summary="Whether the record of changes is whole",
        query=AuditQuery,
        answer=ChainView,
        errors=(404,),
        conditional=True,
    ),
)
async def verify_audit(request: ApiRequest, params: AuditQuery) -> Response[bytes]:
    """Walks the whole chain: 200 also when it is broken, with the first record that is not as it was written."""
    tenant = _tenant_of(request, params)
    async with _database(request).moment(reach_of(request.user)) as connection:
        position = await current_position(connection)
        verdict = await verify(connection, tenant)
    shown = ChainView(
        tenant_id=tenant or None,
        records=verdict.records,
        valid=verdict.broken_at is None,
        broken_at=verdict.broken_at,
        reason=verdict.reason,
    )
    return view(request, encode(shown), position=position)


HANDLERS = [list_audit, verify_audit]


def _tenant_of(request: ApiRequest, params: AuditQuery) -> str:
    """Whose chain is asked for, once the gate has let the caller see it."""
    tenant = request.tenant_of(params.tenant_id) or PLATFORM
    gate = cast(Gate, request.app.state.registry.gate)
    gate.require(caller_of(request), Action.READ, AuditResource(tenant=tenant))
    return tenant


def _database(request: ApiRequest) -> Database:
    return cast(Database, request.app.state.registry.database)


def _place_in(after: str | None) -> int:
    if after is None:
        return _LATEST
    if not (after.isascii() and after.isdigit() and len(after) <= 18):  # noqa: PLR2004 - 18 digits fit a bigint
        raise bad_cursor()
    return int(after)


def _shown(record: Record) -> AuditRecordView:
    said = msgspec.json.decode(record.body, type=_Said)
    members = {name: getattr(said, name) for name in said.__struct_fields__}
    return AuditRecordView(**members, sequence=record.sequence, hash=record.hash.hex())
