"""`/api/tenants` and `/api/scopes`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import msgspec
from litestar import Response

from app.access.caller import caller_of
from app.domain.access import ScopeFacts
from app.domain.canonical import canonical, plain
from app.domain.errors import Malformed, NotFound, Violation
from app.domain.scope import Level, Scope, ScopeId, TenantId, scope_of
from app.domain.tag import change_tag
from app.kit.http import ApiRequest, Operation, api, changed, encode, gone, paged, tagged
from app.kit.paging import DEFAULT_LIMIT, Cursor, Limit, Page
from app.settings.directory import commands, queries
from app.settings.directory.commands import Preconditions
from app.settings.directory.store import ScopeEntry, Tenant
from app.settings.http import MIN_POSITION, reach_position, registry_of

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class TenantBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be said of a tenant."""

    name: Name | None = None


class TenantView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A tenant."""

    tenant_id: str
    name: str
    version: int
    etag: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of a list."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None


class ScopeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be said of a scope: where it lies, who owns it, and anything else."""

    territory: ScopeId | None = None
    owner: ScopeId | None = None
    attributes: dict[str, Any] = {}


class ScopeQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whose scope."""

    tenant_id: TenantId | None = None


class ScopesQuery(PageQuery, frozen=True, kw_only=True, rename="camel"):
    """Which scopes."""

    scope: Level | None = None
    territory: ScopeId | None = None
    tenant_id: TenantId | None = None


class ScopeView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An entry of the scope directory."""

    scope: Level
    scope_id: str
    tenant_id: str | None
    territory: str | None
    owner: str | None
    attributes: dict[str, Any]
    version: int
    etag: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


_TENANTS = "Tenants"
_SCOPES = "Scope directory"
_PLACE_OF_ID = 4  # /api/scopes/LEVEL/ID, split at slashes


@api(
    "GET",
    "/api/tenants",
    Operation(
        id="listTenants",
        tag=_TENANTS,
        summary="All tenants",
        query=PageQuery,
        answer=Page[TenantView],
        errors=(404, 412),
        headers=(MIN_POSITION,),
        conditional=True,
    ),
)
async def list_tenants(request: ApiRequest, params: PageQuery) -> Response[bytes]:
    """Tenants in order of their ids."""
    await reach_position(request)
    position, page = await queries.tenants(
        cursor=params.cursor, limit=params.limit, caller=caller_of(request), registry=registry_of(request)
    )
    return paged(request, page, shown=_tenant_view, position=position)


@api(
    "PUT",
    "/api/tenants/{tenant_id:str}",
    Operation(
        id="putTenant",
        tag=_TENANTS,
        summary="Create or rename a tenant",
        answer=TenantView,
        errors=(404, 412, 428),
        headers=("If-Match", "If-None-Match"),
    ),
)
async def put_tenant(request: ApiRequest, tenant_id: str, data: TenantBody) -> Response[bytes]:
    """Creates with `If-None-Match: *`, changes with `If-Match`."""
    request.tenant_of(tenant_id)
    tenant, created = await commands.put_tenant(
        tenant_id,
        name=data.name if data.name is not None else tenant_id,
        preconditions=_preconditions(request),
        caller=caller_of(request),
        registry=registry_of(request),
    )
    return changed(
        encode(_tenant_view(tenant)),
        tag=change_tag(tenant.position),
        position=tenant.position,
        location=f"/api/tenants/{tenant.id}" if created else None,
    )


@api(
    "DELETE",
    "/api/tenants/{tenant_id:str}",
    Operation(
        id="deleteTenant",
        tag=_TENANTS,
        summary="Remove a tenant that has no values, no scopes and no API keys",
        status=204,
        errors=(404, 409, 412, 428),
        headers=("If-Match",),
    ),
)
async def delete_tenant(request: ApiRequest, tenant_id: str) -> Response[bytes]:
    """Refused with the count while anything of the tenant is left."""
    request.tenant_of(tenant_id)
    position = await commands.delete_tenant(
        tenant_id, preconditions=_preconditions(request), caller=caller_of(request), registry=registry_of(request)
    )
    return gone(position=position)


@api(
    "GET",
    "/api/scopes",
    Operation(
        id="listScopes",
        tag=_SCOPES,
        summary="Scopes of a tenant that the directory knows",
        query=ScopesQuery,
        answer=Page[ScopeView],
        errors=(404, 412),
        headers=(MIN_POSITION,),
        conditional=True,
    ),
)
async def list_scopes(request: ApiRequest, params: ScopesQuery) -> Response[bytes]:
    """Entries in order of their scopes, as far as you may see them."""
    await reach_position(request)
    position, page = await queries.entries(
        tenant=_tenant_of(request, params.tenant_id),
        level=params.scope,
        territory=params.territory,
        cursor=params.cursor,
        limit=params.limit,
        caller=caller_of(request),
        registry=registry_of(request),
    )
    return paged(request, page, shown=_scope_view, position=position)


@api(
    "GET",
    "/api/scopes/{level:str}/{scope_id:path}",
    Operation(
        id="getScope",
        tag=_SCOPES,
        summary="What is known of a scope",
        query=ScopeQuery,
        answer=ScopeView,
        errors=(404, 412),
        headers=(MIN_POSITION,),
        conditional=True,
    ),
)
async def get_scope(request: ApiRequest, level: str, params: ScopeQuery) -> Response[bytes]:
    """Where a scope lies, who owns it, and its free attributes."""
    await reach_position(request)
    position, entry = await queries.entry(
        _scope(request, level, params), caller=caller_of(request), registry=registry_of(request)
    )
    return tagged(request, encode(_scope_view(entry)), tag=change_tag(entry.position), position=position)


@api(
    "PUT",
    "/api/scopes/{level:str}/{scope_id:path}",
    Operation(
        id="putScope",
        tag=_SCOPES,
        summary="Say what is known of a scope",
        query=ScopeQuery,
        answer=ScopeView,
        errors=(403, 404, 412, 422, 428),
        headers=("If-Match", "If-None-Match"),
    ),
)
async def put_scope(request: ApiRequest, level: str, params: ScopeQuery, data: ScopeBody) -> Response[bytes]:
    """Creates with `If-None-Match: *`, changes with `If-Match`."""
    entry, created = await commands.put_entry(
        _scope(request, level, params),
        facts=ScopeFacts(territory=data.territory, owner=data.owner),
        attributes=canonical(data.attributes),
        preconditions=_preconditions(request),
        caller=caller_of(request),
        registry=registry_of(request),
    )
    return changed(
        encode(_scope_view(entry)),
        tag=change_tag(entry.position),
        position=entry.position,
        location=_path_of(entry) if created else None,
    )


@api(
    "DELETE",
    "/api/scopes/{level:str}/{scope_id:path}",
    Operation(
        id="deleteScope",
        tag=_SCOPES,
        summary="Forget what is known of a scope",
        query=ScopeQuery,
        status=204,
        errors=(403, 404, 412, 428),
        headers=("If-Match",),
    ),
)
async def delete_scope(request: ApiRequest, level: str, params: ScopeQuery) -> Response[bytes]:
    """Values set at the scope stay."""
    position = await commands.delete_entry(
        _scope(request, level, params),
        preconditions=_preconditions(request),
        caller=caller_of(request),
        registry=registry_of(request),
    )
    return gone(position=position)


HANDLERS = [list_tenants, put_tenant, delete_tenant, list_scopes, get_scope, put_scope, delete_scope]


def _preconditions(request: ApiRequest) -> Preconditions:
    return Preconditions(if_match=request.if_match(), if_none_match=request.if_none_match())


def _tenant_of(request: ApiRequest, named: str | None) -> str:
    tenant = request.tenant_of(named)
    if tenant is None:
        detail = "You belong to no tenant; name one with tenantId."
        raise Malformed(detail, errors=[Violation(pointer="/query/tenantId", code="required", detail=detail)])
    return tenant


def _scope(request: ApiRequest, level: str, query: ScopeQuery) -> Scope:
    if level not in Level.__members__ or level == Level.GLOBAL:
        detail = f"The directory knows scopes at {', '.join(list(Level)[1:])}."
        raise Malformed(detail, errors=[Violation(pointer="/path/level", code="level", detail=detail)])
    return scope_of(Level(level), tenant=_tenant_of(request, query.tenant_id), scope_id=_scope_id(request))


def _scope_id(request: ApiRequest) -> str:
    """The id as it was sent: a scope id may hold a slash, which only the path before its decoding tells from ours."""
    escaped = request.scope["raw_path"].partition(b"?")[0].split(b"/", _PLACE_OF_ID)[_PLACE_OF_ID]
    try:
        return unquote_to_bytes(escaped).decode()
    except UnicodeDecodeError:
        raise NotFound from None


def _path_of(entry: ScopeEntry) -> str:
    return f"/api/scopes/{entry.scope.level}/{entry.scope.scope_id}"


def _tenant_view(tenant: Tenant) -> TenantView:
    return TenantView(
        tenant_id=tenant.id,
        name=tenant.name,
        version=tenant.version,
        etag=change_tag(tenant.position),
        created_at=tenant.created_at,
        created_by=tenant.created_by,
        updated_at=tenant.updated_at,
        updated_by=tenant.updated_by,
    )


def _scope_view(entry: ScopeEntry) -> ScopeView:
    return ScopeView(
        scope=entry.scope.level,
        scope_id=entry.scope.scope_id,
        tenant_id=entry.scope.tenant,
        territory=entry.facts.territory,
        owner=entry.facts.owner,
        attributes=plain(entry.attributes),
        version=entry.version,
        etag=change_tag(entry.position),
        created_at=entry.created_at,
        created_by=entry.created_by,
        updated_at=entry.updated_at,
        updated_by=entry.updated_by,
    )
