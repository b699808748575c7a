"""`/api/settings/resolve/{key}` and `/api/settings/effective`: what holds for a context."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Response

from app.access.caller import Caller, caller_of
from app.domain.definition import Sensitivity, require_key
from app.domain.errors import Malformed, Violation
from app.domain.resolution import EffectiveValue, State, Step
from app.domain.scope import Chain, Context, Scope, chain_of
from app.domain.tag import view_tag
from app.kit.http import ApiRequest, Operation, api, encode, principal_salt, tagged
from app.kit.paging import Prefix
from app.kit.query import pointing_into_query
from app.settings.cache.cache import Cache, Moment
from app.settings.cache.entry import DefinedKey, View
from app.settings.effective import queries
from app.settings.effective.queries import Explained, Selection
from app.settings.http import MIN_POSITION, TIMING, reach_position, registry_of, timing_of
from app.settings.values.views import Key

_TAG = "Effective values"


class ResolveQuery(Context, frozen=True, kw_only=True, rename="camel"):
    """In which context."""

    explain: bool = False


class EffectiveQuery(Context, frozen=True, kw_only=True, rename="camel"):
    """In which context, and which keys: named ones (`a,b`), or all with a prefix."""

    keys: Annotated[tuple[Key, ...], msgspec.Meta(min_length=1)] | None = None
    prefix: Prefix | None = None
    explain: bool = False


class ChainLink(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One scope of the chain and what became of its say. Hidden and unset ones have no details."""

    scope: str
    scope_id: str | None
    state: State
    value: Any = msgspec.UNSET
    version: int | msgspec.UnsetType = msgspec.UNSET
    updated_by: str | msgspec.UnsetType = msgspec.UNSET
    updated_at: datetime | msgspec.UnsetType = msgspec.UNSET


class EffectiveSetting(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What holds for a key. `scope` is the most specific scope it came from, DEFAULT when nothing is set."""

    key: str
    value: Any
    scope: str
    scope_id: str | None
    etag: str | msgspec.UnsetType = msgspec.UNSET
    chain: tuple[ChainLink, ...] | msgspec.UnsetType = msgspec.UNSET


class OriginView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a value came from."""

    scope: str
    scope_id: str | None


class EffectiveSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What holds, by key."""

    values: dict[str, Any]
    origins: dict[str, OriginView] | msgspec.UnsetType = msgspec.UNSET


@api(
    "GET",
    "/api/settings/resolve/{key:str}",
    Operation(
        id="resolveSetting",
        tag=_TAG,
        summary="What holds for a key in a context",
        query=ResolveQuery,
        answer=EffectiveSetting,
        errors=(404, 412),
        headers=(MIN_POSITION, TIMING),
        conditional=True,
    ),
)
async def resolve_setting(request: ApiRequest, key: str, params: ResolveQuery) -> Response[bytes]:
    """`explain=true` adds the chain: folding the values of its won and merged links gives the value, byte for byte."""
    registry, caller, chain = registry_of(request), caller_of(request), _chain(request, params)
    await reach_position(request)
    moment = await queries.admitted(chain, caller=caller, registry=registry)
    defined = queries.defined_key(key, moment, caller=caller, registry=registry)
    salt = principal_salt(request.user)
    if params.explain:  # what it shows depends on what the caller may read: it is made for each
        explained = queries.explained_value(defined, moment, caller=caller, registry=registry)
        body, tag = _tagged_setting(explained, salt=salt)
        return _answer(request, moment, body, tag, caller=caller)

    view = setting_view(defined, moment, salt=salt, hot=registry.hot)
    return _answer(request, moment, view.body, view.tag, caller=caller)


@api(
    "GET",
    "/api/settings/effective",
    Operation(
        id="effectiveSettings",
        tag=_TAG,
        summary="What holds for many keys in a context",
        query=EffectiveQuery,
        answer=EffectiveSettings,
        errors=(404, 412),
        headers=(MIN_POSITION, TIMING),
        conditional=True,
    ),
)
async def effective_settings(request: ApiRequest, params: EffectiveQuery) -> Response[bytes]:
    """All readable keys in order. `explain=true` adds where each value came from."""
    registry, caller, chain = registry_of(request), caller_of(request), _chain(request, params)
    selection = selection_in(params, max_keys=registry.config.max_bulk_keys)
    await reach_position(request)
    moment = await queries.admitted(chain, caller=caller, registry=registry)
    defined = queries.selected(selection, moment)
    clearance = queries.clearance(defined, moment, caller=caller, registry=registry)
    if Sensitivity.SECRET in clearance:
        queries.note_shown(defined, moment, caller=caller)
    salt = principal_salt(request.user)
    view = settings_view(selection, moment, clearance=clearance, explain=params.explain, salt=salt, hot=registry.hot)
    return _answer(request, moment, view.body, view.tag, caller=caller)


HANDLERS = [resolve_setting, effective_settings]


def setting_view(defined: DefinedKey, moment: Moment, *, salt: str, hot: Cache) -> View:
    """The answer to `resolve` for a key, without an explanation."""

    def build() -> tuple[bytes, str]:
        return _tagged_setting(Explained(effective=queries.effective_value(defined, moment)), salt=salt)

    return hot.view(("resolve", queries.chain_in(moment), defined.rule.key, salt), moment, build)


def settings_view(
    selection: Selection,
    moment: Moment,
    *,
    clearance: frozenset[Sensitivity],
    explain: bool,
    salt: str,
    hot: Cache,
) -> View:
    """The answer to `effective` for who is cleared for these sensitivities."""

    def build() -> tuple[bytes, str]:
        defined = queries.selected(selection, moment)
        values = [queries.effective_value(one, moment) for one in defined if one.sensitivity in clearance]
        body = encode(_effective_settings(values, explain=explain))
        return body, view_tag(body, salt=salt)

    key = ("effective", queries.chain_in(moment), selection, clearance, explain, salt)
    return hot.view(key, moment, build)


def _chain(request: ApiRequest, context: Context) -> Chain:
    context = msgspec.structs.replace(context, tenant_id=request.tenant_of(context.tenant_id))
    with pointing_into_query():
        return chain_of(context)


def selection_in(query: EffectiveQuery, *, max_keys: int) -> Selection:
    """The keys that a query asks for. Raises Malformed."""
    if query.keys is None:
        return Selection(prefix=query.prefix or "")
    if query.prefix is not None:
        raise _bad_keys("Name keys or a prefix, not both.")
    if len(query.keys) > max_keys:
        raise _bad_keys(f"At most {max_keys} keys can be read at once.")
    return Selection(keys=tuple(sorted({require_key(key, pointer="/query/keys") for key in query.keys})))


def _bad_keys(detail: str) -> Malformed:
    return Malformed(detail, errors=[Violation(pointer="/query/keys", code="keys", detail=detail)])


def _answer(request: ApiRequest, moment: Moment, body: bytes, tag: str, *, caller: Caller) -> Response[bytes]:
    timing = timing_of(request, moment, caller=caller, registry=registry_of(request))
    return tagged(request, body, tag=tag, position=moment.position, stale_seconds=moment.stale_seconds, timing=timing)


def _tagged_setting(found: Explained, *, salt: str) -> tuple[bytes, str]:
    """The tag stands in the body too, so it is made of the body without it: same content, same tag."""
    origin = found.effective.origin
    bare = EffectiveSetting(
        key=found.effective.key,
        value=msgspec.Raw(found.effective.value),
        scope=_level_of(origin),
        scope_id=_scope_id_of(origin),
        chain=tuple(_link(step) for step in found.steps) if found.steps else msgspec.UNSET,
    )
    tag = view_tag(encode(bare), salt=salt)
    return encode(msgspec.structs.replace(bare, etag=tag)), tag


def _effective_settings(values: Sequence[EffectiveValue], *, explain: bool) -> EffectiveSettings:
    origins: Any = msgspec.UNSET
    if explain:
        origins = {
            one.key: OriginView(scope=_level_of(one.origin), scope_id=_scope_id_of(one.origin)) for one in values
        }
    return EffectiveSettings(values={one.key: msgspec.Raw(one.value) for one in values}, origins=origins)


def _origin_view(origin: Scope | None) -> OriginView:
    return OriginView(scope=_level_of(origin), scope_id=_scope_id_of(origin))


def _link(step: Step) -> ChainLink:
    said = step.contribution
    return ChainLink(
        scope=_level_of(step.scope),
        scope_id=_scope_id_of(step.scope),
        state=step.state,
        value=msgspec.UNSET if step.value is None else msgspec.Raw(step.value),
        version=msgspec.UNSET if said is None else said.version,
        updated_by=msgspec.UNSET if said is None else said.updated_by,
        updated_at=msgspec.UNSET if said is None else said.updated_at,
    )


def _level_of(scope: Scope | None) -> str:
    return "DEFAULT" if scope is None else scope.level.value


def _scope_id_of(scope: Scope | None) -> str | None:
    return None if scope is None else scope.scope_id or None
