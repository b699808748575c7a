"""`/api/settings`: what is set at scopes."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec
from litestar import Response

from app.access.caller import caller_of
from app.domain.definition import require_key
from app.domain.errors import Malformed, NotFound, Violation
from app.domain.scope import Level, Scope, ScopeId, TenantId, scope_of
from app.domain.tag import change_tag
from app.domain.value import SettingValue
from app.kit import asgi
from app.kit.http import MERGE_PATCH, ApiRequest, Operation, api, changed, encode, gone, paged, tagged
from app.kit.paging import Page, Prefix
from app.kit.query import pointing_into_query
from app.settings.cache.cache import Cache, Moment
from app.settings.cache.entry import View
from app.settings.directory.http import PageQuery
from app.settings.http import MIN_POSITION, TIMING, reach_position, registry_of, timing_of
from app.settings.values import commands, queries
from app.settings.values.changes import Change, Done
from app.settings.values.commands import Batch, fingerprint_of
from app.settings.values.idempotency import parse_key
from app.settings.values.views import (
    BatchAnswer,
    BatchBody,
    BatchOperation,
    HistoryItem,
    Key,
    NewSetting,
    Patch,
    Replacement,
    Setting,
    batch_result,
    history_view,
    setting_view,
)

_TAG = "Settings"


class PlaceQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which value."""

    scope: Level
    key: Key
    scope_id: ScopeId | None = None
    tenant_id: TenantId | None = None


class ListQuery(PageQuery, frozen=True, kw_only=True, rename="camel"):
    """Which values."""

    scope: Level
    scope_id: ScopeId | None = None
    tenant_id: TenantId | None = None
    prefix: Prefix = ""


@api(
    "GET",
    "/api/settings",
    Operation(
        id="getSetting",
        tag=_TAG,
        summary="The value set for a key at a scope",
        query=PlaceQuery,
        answer=Setting,
        errors=(404, 412),
        headers=(MIN_POSITION, TIMING),
        conditional=True,
    ),
)
async def get_setting(request: ApiRequest, params: PlaceQuery) -> Response[bytes]:
    """What is set at exactly this scope; for what holds there, ask resolve."""
    scope = _scope_in_query(request, params)
    await reach_position(request)
    registry, caller = registry_of(request), caller_of(request)
    moment, value = await queries.value_at(scope, params.key, caller=caller, registry=registry)
    view = value_view(value, moment, hot=registry.hot)
    return tagged(
        request,
        view.body,
        tag=view.tag,
        position=moment.position,
        stale_seconds=moment.stale_seconds,
        timing=timing_of(request, moment, caller=caller, registry=registry),
    )


@api(
    "GET",
    "/api/settings/{setting_id:str}",
    Operation(
        id="getSettingById",
        tag=_TAG,
        summary="A value by its id",
        answer=Setting,
        errors=(404, 412),
        headers=(MIN_POSITION,),
        conditional=True,
    ),
)
async def get_setting_by_id(request: ApiRequest, setting_id: str) -> Response[bytes]:
    """The same as by scope and key."""
    await reach_position(request)
    found = await queries.value_by_id(_id(setting_id), caller=caller_of(request), registry=registry_of(request))
    body = encode(setting_view(found.value))
    return tagged(request, body, tag=change_tag(found.value.position), position=found.position)


@api(
    "POST",
    "/api/settings",
    Operation(
        id="createSetting",
        tag=_TAG,
        summary="Set a value where none is",
        answer=Setting,
        status=201,
        errors=(403, 404, 409, 422),
    ),
)
async def create_setting(request: ApiRequest, data: NewSetting) -> Response[bytes]:
    """Refused with pointers when the key is undefined, the level not allowed, or the schema says no."""
    done = await commands.create_value(
        _scope(request, data.scope, data.scope_id, data.tenant_id),
        require_key(data.key, pointer="#/key"),
        data.value,
        metadata=data.metadata,
        caller=caller_of(request),
        registry=registry_of(request),
    )
    return _changed(done, location=f"/api/settings/{done.value.id}")


@api(
    "PUT",
    "/api/settings/{setting_id:str}",
    Operation(
        id="replaceSetting",
        tag=_TAG,
        summary="Replace a value",
        answer=Setting,
        errors=(403, 404, 412, 422, 428),
        headers=("If-Match",),
    ),
)
async def replace_setting(request: ApiRequest, setting_id: str, data: Replacement) -> Response[bytes]:
    """Needs `If-Match` with the tag of the value it replaces."""
    done = await commands.replace_value(
        _id(setting_id),
        data.value,
        metadata=data.metadata,
        if_match=request.if_match(),
        caller=caller_of(request),
        registry=registry_of(request),
    )
    return _changed(done)


@api(
    "PATCH",
    "/api/settings/{setting_id:str}",
    Operation(
        id="patchSetting",
        tag=_TAG,
        summary="Change a value by a JSON merge patch",
        answer=Setting,
        errors=(403, 404, 412, 422, 428),
        headers=("If-Match",),
        media_type=MERGE_PATCH,
    ),
)
async def patch_setting(request: ApiRequest, setting_id: str, data: Patch) -> Response[bytes]:
    """An RFC 7396 patch on `{value, metadata}`."""
    done = await commands.patch_value(
        _id(setting_id),
        {name: member for name, member in msgspec.structs.asdict(data).items() if member is not msgspec.UNSET},
        if_match=request.if_match(),
        caller=caller_of(request),
        registry=registry_of(request),
    )
    return _changed(done)


@api(
    "DELETE",
    "/api/settings/{setting_id:str}",
    Operation(
        id="unsetSetting",
        tag=_TAG,
        summary="Unset a value",
        status=204,
        errors=(403, 404, 412, 428),
        headers=("If-Match",),
    ),
)
async def unset_setting(request: ApiRequest, setting_id: str) -> Response[bytes]:
    """What is more general holds from then on."""
    done = await commands.unset_value(
        _id(setting_id), if_match=request.if_match(), caller=caller_of(request), registry=registry_of(request)
    )
    return gone(position=done.position)


@api(
    "GET",
    "/api/settings/list",
    Operation(
        id="listSettings",
        tag=_TAG,
        summary="Values set at one scope",
        query=ListQuery,
        answer=Page[Setting],
        errors=(404, 412),
        headers=(MIN_POSITION,),
        conditional=True,
    ),
)
async def list_settings(request: ApiRequest, params: ListQuery) -> Response[bytes]:
    """In order of their keys, as far as your clearance goes."""
    await reach_position(request)
    position, page = await queries.values_at(
        _scope_in_query(request, params),
        prefix=params.prefix,
        cursor=params.cursor,
        limit=params.limit,
        caller=caller_of(request),
        registry=registry_of(request),
    )
    return paged(request, page, shown=setting_view, position=position)


@api(
    "GET",
    "/api/settings/{setting_id:str}/history",
    Operation(
        id="getSettingHistory",
        tag=_TAG,
        summary="Versions of a value, newest first",
        query=PageQuery,
        answer=Page[HistoryItem],
        errors=(404, 412),
        headers=(MIN_POSITION,),
        conditional=True,
    ),
)
async def get_history(request: ApiRequest, setting_id: str, params: PageQuery) -> Response[bytes]:
    """Every version ever, the removal too."""
    await reach_position(request)
    position, page = await queries.history(
        _id(setting_id),
        cursor=params.cursor,
        limit=params.limit,
        caller=caller_of(request),
        registry=registry_of(request),
    )
    return paged(request, page, shown=history_view, position=position)


@api(
    "POST",
    "/api/settings/batch",
    Operation(
        id="applyBatch",
        tag=_TAG,
        summary="Change several values, all or none",
        answer=BatchAnswer,
        errors=(403, 404, 409, 412, 422),
        headers=("Idempotency-Key",),
        answer_headers=("Idempotency-Replayed",),
    ),
)
async def apply_batch(request: ApiRequest, data: BatchBody) -> Response[bytes]:
    """Every wrong operation is listed with its index. `dryRun` judges and changes nothing."""
    registry = registry_of(request)
    _require_count(data, registry.config.max_batch_operations)
    header = asgi.header(request.scope, b"idempotency-key")
    batch = Batch(
        changes=tuple(_change(request, index, operation) for index, operation in enumerate(data.operations)),
        dry_run=data.dry_run,
        idempotency_key=parse_key(header),
        fingerprint=fingerprint_of(data),
    )
    outcome = await commands.apply_batch(
        batch, render=lambda done: _batch_body(done, data.dry_run), caller=caller_of(request), registry=registry
    )
    headers = {"setpoint-position": str(outcome.position), "cache-control": "no-store"}
    if outcome.replayed:
        headers["idempotency-replayed"] = "true"
    return Response(outcome.answer, status_code=200, headers=headers, media_type="application/json")


HANDLERS = [
    get_setting,
    get_setting_by_id,
    create_setting,
    replace_setting,
    patch_setting,
    unset_setting,
    list_settings,
    get_history,
    apply_batch,
]


def value_view(value: SettingValue, moment: Moment, *, hot: Cache) -> View:
    """The answer to a question for the value that is set for a key at a scope."""

    def build() -> tuple[bytes, str]:
        return encode(setting_view(value)), change_tag(value.position)

    return hot.view(("value", value.scope, value.key), moment, build)


def _scope(request: ApiRequest, level: Level, scope_id: str | None, tenant_id: str | None) -> Scope:
    return scope_of(level, tenant=request.tenant_of(tenant_id), scope_id=scope_id)


def _scope_in_query(request: ApiRequest, params: PlaceQuery | ListQuery) -> Scope:
    with pointing_into_query():
        return _scope(request, params.scope, params.scope_id, params.tenant_id)


def _id(text: str) -> UUID:
    """The id in a path; what is none is the id of nothing."""
    try:
        setting_id = UUID(text)
    except ValueError:
        raise NotFound from None
    if str(setting_id) != text.lower():  # one thing has one path: no braces, no urn:uuid:, no missing dashes
        raise NotFound
    return setting_id


def _changed(done: Done, *, location: str | None = None) -> Response[bytes]:
    tag = change_tag(done.position)
    return changed(encode(setting_view(done.value)), tag=tag, position=done.position, location=location)


def _change(request: ApiRequest, index: int, operation: BatchOperation) -> Change:
    sets = operation.op == "set"
    if sets is (operation.value is msgspec.UNSET):
        detail = "A set needs a value." if sets else "An unset takes no value."
        raise Malformed(
            detail,
            errors=[Violation(pointer=f"#/operations/{index}/value", code="value", detail=detail, index=index)],
        )
    return Change(
        how="batch-set" if sets else "batch-unset",
        scope=_scope(request, operation.scope, operation.scope_id, operation.tenant_id),
        key=require_key(operation.key, pointer=f"#/operations/{index}/key"),
        value=operation.value,
        metadata=operation.metadata,
        if_match=operation.if_match,
    )


def _require_count(data: BatchBody, limit: int) -> None:
    if len(data.operations) > limit:
        detail = f"A batch has at most {limit} operations."
        raise Malformed(detail, errors=[Violation(pointer="#/operations", code="too-many", detail=detail)])


def _batch_body(done: Sequence[Done], dry_run: bool) -> bytes:
    results = tuple(batch_result(index, one, dry_run=dry_run) for index, one in enumerate(done))
    return encode(BatchAnswer(results=results, dry_run=dry_run))
