"""`/api/security/audit`: what was changed by whom, and whether the record of it is whole."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

import msgspec
from litestar import Response

from app.access.audit import store
from app.access.audit.record import BEGINNING, MAX_TEXT_CHARACTERS, PLATFORM, Link, Record
from app.access.audit.store import Wanted
from app.access.audit.verify import verify
from app.access.caller import caller_of
from app.access.gate import Gate
from app.domain.access import Action, AuditResource, reach_of
from app.domain.scope import ScopeId, TenantId
from app.kit.database import Database
from app.kit.http import ApiRequest, Operation, api, encode, paged, view
from app.kit.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after_cursor, bad_cursor, cursor, page_of
from app.log.position import current_position

_TAG = "Security"
_LATEST = 2**63 - 1  # before this place: all of them
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_DIGEST = re.compile(r"[0-9a-f]{64}")
MOST_VERIFIED = 10_000  # records in one request; about 150 ms

Outcome = Literal["changed", "denied", "read", "overridden"]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Resource = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=MAX_TEXT_CHARACTERS, extra_json_schema={"pattern": r"^[^\x00-\x1f\x7f]*$"}),
]
VerifyLimit = Annotated[int, msgspec.Meta(ge=1, le=MOST_VERIFIED)]


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whose chain; yours, or without a tenant of your own the platform's."""

    tenant_id: TenantId | None = None


class AuditPageQuery(AuditQuery, frozen=True, kw_only=True, rename="camel"):
    """Whose chain, and which part of it. `resource` is a prefix; `until` is the first moment that is too late."""

    actor: ScopeId | None = None
    outcome: Outcome | None = None
    resource: Resource | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None


class VerifyQuery(AuditQuery, frozen=True, kw_only=True, rename="camel"):
    """Whose chain, how many records of it, and where to go on."""

    limit: VerifyLimit = MOST_VERIFIED
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
    outcome: Outcome
    version: int | msgspec.UnsetType = msgspec.UNSET
    position: int | msgspec.UnsetType = msgspec.UNSET
    request_id: str
    policy_version: str
    reason: str | msgspec.UnsetType = msgspec.UNSET
    client: str | msgspec.UnsetType = msgspec.UNSET
    count: int | msgspec.UnsetType = msgspec.UNSET
    before: Any = msgspec.UNSET
    after: Any = msgspec.UNSET


class AuditRecordView(_Said, frozen=True, kw_only=True, rename="camel"):
    """
    One record. `before` and `after` of what is confidential or secret are `{"masked": true}`.

    A change has a version and a position, an access a count (of equal refusals) and the client's address.
    """

    sequence: int
    hash: str


class ChainView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    How many records hold, counted from the beginning, and the first that does not, with the reason.

    `hash` is that of the last one that was looked at and holds; `next` is there when more of the chain is to be walked.
    """

    tenant_id: str | None
    records: int
    valid: bool
    broken_at: int | None
    reason: str | None
    hash: str
    next: str | None


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
    """The records of one tenant, newest first. A page may be short, or empty, and still have a next one."""
    tenant = _tenant_of(request, params)
    wanted = _wanted(params)
    question = f"audit/{tenant}/{wanted}"
    before = _place_in(after_cursor(params.cursor, question=question))
    async with _database(request).moment(reach_of(request.user)) as connection:
        position = await current_position(connection)
        found, walked_to = await store.newest(connection, tenant, wanted, before=before, limit=params.limit + 1)
    page = page_of(found, limit=params.limit, question=question, after=[str(one.sequence) for one in found])
    if walked_to is not None:
        page = Page(items=page.items, next=cursor(str(walked_to), question=question))
    return paged(request, page, shown=_shown, position=position)


@api(
    "GET",
    "/api/security/audit/verify",
    Operation(
        id="verifyAudit",
        tag=_TAG,
        summary="Whether the record of changes is whole",
        query=VerifyQuery,
        answer=ChainView,
        errors=(404,),
        conditional=True,
    ),
)
async def verify_audit(request: ApiRequest, params: VerifyQuery) -> Response[bytes]:
    """
    Walks the chain, `limit` records in one request: 200 also when it is broken, with the first record that is wrong.

    The cursor holds the place and hash that the walk came to: what follows has to be linked to what was walked.
    """
    tenant = _tenant_of(request, params)
    question = f"audit/verify/{tenant}"
    start = _link_in(after_cursor(params.cursor, question=question))
    async with _database(request).moment(reach_of(request.user)) as connection:
        position = await current_position(connection)
        verdict = await verify(connection, tenant, start=start, most=params.limit)
    reached = verdict.reached
    shown = ChainView(
        tenant_id=tenant or None,
        records=verdict.records,
        valid=verdict.broken_at is None,
        broken_at=verdict.broken_at,
        reason=verdict.reason,
        hash=reached.hash.hex(),
        next=None if verdict.ended else cursor(f"{reached.sequence}.{reached.hash.hex()}", question=question),
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


def _link_in(after: str | None) -> Link:
    if after is None:
        return BEGINNING
    place, _, digest = after.partition(".")
    if not _DIGEST.fullmatch(digest):
        raise bad_cursor()
    return Link(sequence=_place_in(place), hash=bytes.fromhex(digest))


def _wanted(params: AuditPageQuery) -> Wanted:
    return Wanted(
        actor=params.actor,
        outcome=params.outcome,
        resource=params.resource,
        since=_in_utc(params.since),
        until=_in_utc(params.until),
    )


def _in_utc(moment: datetime | None) -> datetime | None:
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError:  # the first or last day there is, in another zone: there is no record beyond it either
        return _FIRST if moment is not None and moment.year == 1 else _LAST


def _shown(record: Record) -> AuditRecordView:
    said = msgspec.json.decode(record.body, type=_Said)
    members = {name: getattr(said, name) for name in said.__struct_fields__}
    return AuditRecordView(**members, sequence=record.sequence, hash=record.hash.hex())
