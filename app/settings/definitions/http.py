"""`/api/definitions`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Response

from app.access.caller import caller_of
from app.domain.canonical import plain
from app.domain.combination import MergeStrategy
from app.domain.definition import Sensitivity, SettingDefinition
from app.domain.scope import Level
from app.domain.tag import change_tag
from app.kit.http import ApiRequest, Operation, api, changed, encode, gone, paged, tagged
from app.kit.paging import Page, Prefix
from app.settings.definitions import commands, queries
from app.settings.definitions.commands import DefinitionDraft
from app.settings.directory.commands import Preconditions
from app.settings.directory.http import PageQuery
from app.settings.http import MIN_POSITION, reach_position, registry_of

Line = Annotated[str, msgspec.Meta(max_length=200)]
Text = Annotated[str, msgspec.Meta(max_length=4_000)]


class DefinitionBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a key is to be."""

    schema: dict[str, Any] | bool
    default: Any
    levels: Annotated[tuple[Level, ...], msgspec.Meta(min_length=1, max_length=7)]
    merge_strategy: MergeStrategy = MergeStrategy.REPLACE
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    title: Line | None = None
    description: Text | None = None
    owner: Line | None = None
    tags: Annotated[tuple[Line, ...], msgspec.Meta(max_length=50)] = ()
    deprecated: bool = False


class DefinitionView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a key is. A dry run has no tag to give."""

    key: str
    title: str | None
    description: str | None
    schema: dict[str, Any] | bool
    default: Any
    merge_strategy: MergeStrategy
    levels: tuple[Level, ...]
    sensitivity: Sensitivity
    owner: str | None
    tags: tuple[str, ...]
    deprecated: bool
    version: int
    etag: str | None
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class DefinitionsQuery(PageQuery, frozen=True, kw_only=True):
    """Which definitions."""

    prefix: Prefix = ""


class DryRunQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether only to look what would happen."""

    dry_run: bool = False


_TAG = "Definitions"


@api(
    "GET",
    "/api/definitions",
    Operation(
        id="listDefinitions",
        tag=_TAG,
        summary="Definitions, by prefix",
        query=DefinitionsQuery,
        answer=Page[DefinitionView],
        errors=(412,),
        headers=(MIN_POSITION,),
        conditional=True,
    ),
)
async def list_definitions(request: ApiRequest, params: DefinitionsQuery) -> Response[bytes]:
    """Definitions in order of their keys, as far as your clearance goes."""
    await reach_position(request)
    position, page = await queries.definitions(
        prefix=params.prefix,
        cursor=params.cursor,
        limit=params.limit,
        caller=caller_of(request),
        registry=registry_of(request),
    )
    return paged(request, page, shown=_view, position=position)


@api(
    "GET",
    "/api/definitions/{key:str}",
    Operation(
        id="getDefinition",
        tag=_TAG,
        summary="What a key is",
        answer=DefinitionView,
        errors=(404, 412),
        headers=(MIN_POSITION,),
        conditional=True,
    ),
)
async def get_definition(request: ApiRequest, key: str) -> Response[bytes]:
    """One definition."""
    await reach_position(request)
    position, found = await queries.definition(key, caller=caller_of(request), registry=registry_of(request))
    return tagged(request, encode(_view(found)), tag=change_tag(found.position), position=position)


@api(
    "PUT",
    "/api/definitions/{key:str}",
    Operation(
        id="putDefinition",
        tag=_TAG,
        summary="Define a key, or change its definition",
        query=DryRunQuery,
        answer=DefinitionView,
        errors=(403, 404, 412, 422, 428),
        headers=("If-Match", "If-None-Match"),
    ),
)
async def put_definition(request: ApiRequest, key: str, params: DryRunQuery, data: DefinitionBody) -> Response[bytes]:
    """
    Creates with `If-None-Match: *`, changes with `If-Match`.

    Refused with the list of stored values that the change would break. `dryRun=true` only looks.
    """
    outcome = await commands.put_definition(
        DefinitionDraft(key=key, **{name: getattr(data, name) for name in data.__struct_fields__}),
        preconditions=Preconditions(if_match=request.if_match(), if_none_match=request.if_none_match()),
        caller=caller_of(request),
        registry=registry_of(request),
        dry_run=params.dry_run,
    )
    if params.dry_run:
        body = encode(msgspec.structs.replace(_view(outcome.definition), etag=None))
        return changed(body, tag=None, position=outcome.position)
    return changed(
        encode(_view(outcome.definition)),
        tag=change_tag(outcome.position),
        position=outcome.position,
        location=f"/api/definitions/{key}" if outcome.created else None,
    )


@api(
    "DELETE",
    "/api/definitions/{key:str}",
    Operation(
        id="deleteDefinition",
        tag=_TAG,
        summary="Remove a definition for which nothing is set",
        status=204,
        errors=(403, 404, 409, 412, 428),
        headers=("If-Match",),
    ),
)
async def delete_definition(request: ApiRequest, key: str) -> Response[bytes]:
    """Refused with the count while values are set."""
    position = await commands.delete_definition(
        key,
        preconditions=Preconditions(if_match=request.if_match()),
        caller=caller_of(request),
        registry=registry_of(request),
    )
    return gone(position=position)


HANDLERS = [list_definitions, get_definition, put_definition, delete_definition]


def _view(definition: SettingDefinition) -> DefinitionView:
    return DefinitionView(
        key=definition.key,
        title=definition.title,
        description=definition.description,
        schema=definition.schema,
        default=plain(definition.default),
        merge_strategy=definition.merge_strategy,
        levels=definition.levels,
        sensitivity=definition.sensitivity,
        owner=definition.owner,
        tags=definition.tags,
        deprecated=definition.deprecated,
        version=definition.version,
        etag=change_tag(definition.position),
        created_at=definition.created_at,
        created_by=definition.created_by,
        updated_at=definition.updated_at,
        updated_by=definition.updated_by,
    )
