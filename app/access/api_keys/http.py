"""`/api/security/api-keys`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Response

from app.access.api_keys import commands, queries
from app.access.api_keys.commands import CreateApiKey
from app.access.api_keys.secret import ID
from app.access.api_keys.store import ApiKey
from app.access.caller import caller_of
from app.access.claims import Names, OAuthScopes, sorted_names
from app.access.credentials import credentials_of
from app.access.moments import Moment, in_utc
from app.domain.definition import Sensitivity
from app.domain.errors import NotFound
from app.domain.scope import ScopeId, TenantId
from app.domain.tag import change_tag
from app.kit.http import ApiRequest, Operation, api, changed, encode, gone, paged
from app.kit.paging import DEFAULT_LIMIT, Cursor, Limit, Page

_TAG = "API keys"
MAX_OVERLAP_SECONDS = 2_592_000  # 30 days; a rotation that takes longer is two keys


class ApiKeyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What a new key is to be. Without scopes it is good for whatever its roles allow."""

    name: ScopeId
    roles: Annotated[Names, msgspec.Meta(min_length=1)]
    kind: Literal["user", "service"] = "service"
    territories: Names = ()
    accounts: Names = ()
    clearance: Sensitivity | None = None
    scopes: OAuthScopes | None = None
    expires_at: Moment | None = None
    tenant_id: TenantId | None = None


class RotationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """How long the secret that a key has is good beside the new one."""

    overlap_seconds: Annotated[float, msgspec.Meta(ge=0, le=MAX_OVERLAP_SECONDS)] = 0


class ApiKeyView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A key. Of its secret, nothing is shown."""

    id: str
    name: str
    kind: str
    tenant_id: str | None
    owner: str
    roles: tuple[str, ...]
    territories: tuple[str, ...]
    accounts: tuple[str, ...]
    clearance: Sensitivity
    scopes: tuple[str, ...] | None
    expires_at: datetime
    overlap_until: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    version: int
    etag: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class NewApiKeyView(ApiKeyView, frozen=True, kw_only=True, rename="camel"):
    """A key with its secret, which is shown this once: the whole text that its bearer sends."""

    secret: str


class ApiKeysQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whose keys, and which page of them."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None
    tenant_id: TenantId | None = None


@api(
    "GET",
    "/api/security/api-keys",
    Operation(
        id="listApiKeys",
        tag=_TAG,
        summary="API keys of a tenant",
        query=ApiKeysQuery,
        answer=Page[ApiKeyView],
        errors=(404,),
        conditional=True,
    ),
)
async def list_api_keys(request: ApiRequest, params: ApiKeysQuery) -> Response[bytes]:
    """In order of their ids, revoked and expired ones too. Never with a secret."""
    position, page = await queries.api_keys(
        tenant=request.tenant_of(params.tenant_id),
        cursor=params.cursor,
        limit=params.limit,
        caller=caller_of(request),
        credentials=credentials_of(request),
    )
    return paged(request, page, shown=_view, position=position)


@api(
    "POST",
    "/api/security/api-keys",
    Operation(
        id="createApiKey",
        tag=_TAG,
        summary="Make an API key",
        answer=NewApiKeyView,
        status=201,
        errors=(403, 404, 422),
    ),
)
async def create_api_key(request: ApiRequest, data: ApiKeyBody) -> Response[bytes]:
    """`secret` is shown this once. A key can have no more power than whoever makes it."""
    command = CreateApiKey(
        tenant=request.tenant_of(data.tenant_id),
        name=data.name,
        kind=data.kind,
        roles=sorted_names(data.roles),
        territories=sorted_names(data.territories),
        accounts=sorted_names(data.accounts),
        clearance=data.clearance,
        scopes=None if data.scopes is None else sorted_names(data.scopes),
        expires_at=None if data.expires_at is None else in_utc(data.expires_at, pointer="#/expiresAt"),
    )
    key, secret = await commands.create_api_key(command, caller=caller_of(request), credentials=credentials_of(request))
    return _shown_once(key, secret, location=f"/api/security/api-keys/{key.id}")


@api(
    "GET",
    "/api/security/api-keys/{key_id:str}",
    Operation(
        id="getApiKey",
        tag=_TAG,
        summary="One API key",
        answer=ApiKeyView,
        errors=(404,),
        answer_headers=("ETag",),
    ),
)
async def get_api_key(request: ApiRequest, key_id: str) -> Response[bytes]:
    """What it may do, and when it was used last. A use does not change the tag, which is for `If-Match`: so no 304."""
    position, key = await queries.api_key(_id(key_id), caller=caller_of(request), credentials=credentials_of(request))
    return changed(encode(_view(key)), tag=change_tag(key.position), position=position)


@api(
    "POST",
    "/api/security/api-keys/{key_id:str}/rotate",
    Operation(
        id="rotateApiKey",
        tag=_TAG,
        summary="Give an API key a new secret",
        answer=NewApiKeyView,
        errors=(403, 404, 412, 422, 428),
        headers=("If-Match",),
        answer_headers=("ETag",),
    ),
)
async def rotate_api_key(request: ApiRequest, key_id: str, data: RotationBody) -> Response[bytes]:
    """`secret` is shown this once. The secret it had is good for `overlapSeconds`, an older one no longer."""
    key, secret = await commands.rotate_api_key(
        _id(key_id),
        overlap_seconds=data.overlap_seconds,
        if_match=request.if_match(),
        caller=caller_of(request),
        credentials=credentials_of(request),
    )
    return _shown_once(key, secret, location=None)


@api(
    "DELETE",
    "/api/security/api-keys/{key_id:str}",
    Operation(id="revokeApiKey", tag=_TAG, summary="Revoke an API key", status=204, errors=(403, 404, 412)),
)
async def revoke_api_key(request: ApiRequest, key_id: str) -> Response[bytes]:
    """Good for nothing anywhere within a second. Needs no `If-Match`: revoked twice is revoked."""
    position = await commands.revoke_api_key(
        _id(key_id), if_match=request.if_match(), caller=caller_of(request), credentials=credentials_of(request)
    )
    return gone(position=position)


HANDLERS = [list_api_keys, create_api_key, get_api_key, rotate_api_key, revoke_api_key]


def _id(text: str) -> str:
    """An id as it may stand in the database. Raises NotFound for what is none."""
    if not ID.fullmatch(text):
        raise NotFound
    return text


def _shown_once(key: ApiKey, secret: str, *, location: str | None) -> Response[bytes]:
    view = NewApiKeyView(**msgspec.structs.asdict(_view(key)), secret=secret)
    response = changed(encode(view), tag=change_tag(key.position), position=key.position, location=location)
    response.headers["cache-control"] = "no-store"  # not even the caller's own cache is to hold a secret
    return response


def _view(key: ApiKey) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        name=key.name,
        kind=key.kind,
        tenant_id=key.tenant,
        owner=key.owner,
        roles=key.roles,
        territories=key.territories,
        accounts=key.accounts,
        clearance=key.clearance,
        scopes=key.scopes,
        expires_at=key.expires_at,
        overlap_until=key.old_secret_until,
        last_used_at=key.last_used_at,
        revoked_at=key.revoked_at,
        version=key.version,
        etag=change_tag(key.position),
        created_at=key.created_at,
        created_by=key.created_by,
        updated_at=key.updated_at,
        updated_by=key.updated_by,
    )
