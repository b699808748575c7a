"""
What the HTTP modules share: a request that decodes strictly, answers with their tags, and handlers' common rules.

Litestar would decode a body leniently (`"1"` for an integer, the last of two equal members); `ApiRequest.json` does
it strictly, into the very type that the handler declares, and Litestar then finds an instance of it and passes it on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, TypeAlias, TypeVar, cast, get_type_hints
from urllib.parse import quote, urlencode

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from app.domain.access import Access, Principal
from app.domain.errors import Malformed, NotFound, Violation
from app.domain.position import Position
from app.domain.precondition import matches_none
from app.domain.tag import view_tag
from app.kit import asgi
from app.kit.body import read_body, too_large
from app.kit.json import decode_strictly
from app.kit.paging import Page
from app.kit.problems import UnsupportedMediaType
from app.kit.query import parse_query

T = TypeVar("T")
Handler: TypeAlias = Callable[..., Awaitable[Response[bytes]]]

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

CACHING = {
    # Not must-revalidate: that would let shared caches keep answers to authorized requests (RFC 9111 section 3.5).
    "cache-control": "private, no-cache",
    "vary": "Authorization, X-API-Key, Accept, Accept-Encoding",
}


class ApiRequest(Request[Principal, None, Any]):
    """A request of an authenticated principal, whose body is read strictly."""

    _read: bytes | None = None

    async def json(self) -> Any:
        """The body as the type that the handler declares for `data`. Raises Malformed, TooLarge, …"""
        handler = cast(Any, self.scope["route_handler"])
        operation = cast(Operation, handler.opt["operation"])
        try:
            _require_media_type(self.scope, operation.media_type)
        except UnsupportedMediaType as error:
            if operation.tells_media_type:
                raise
            raise Malformed(error.detail) from error
        return decode_strictly(await self.body(), handler.parsed_data_field.annotation)

    async def body(self) -> bytes:
        """The body, read once, no further than the configured limit and for no longer."""
        if self._read is None:
            config = self.app.state.config
            declared = self.headers.get("content-length", "0")
            if declared.isdigit() and int(declared) > config.max_body_bytes:
                raise too_large(config.max_body_bytes)
            receive = cast(asgi.Receive, self.receive)
            self._read = await read_body(
                receive, max_bytes=config.max_body_bytes, timeout_seconds=config.body_timeout_seconds
            )
        return self._read

    def tenant_of(self, named: str | None) -> str | None:
        """
        Which tenant the request is about: the one it names, else the caller's own, else none.

        The third lock. A foreign tenant is refused here, where its name is read: before the gate and the database are
        asked, and by nothing that a policy file could get wrong. Every handler that takes a tenantId asks this
        (tests/guarantees/test_g8.py finds those that do not). Raises NotFound.
        """
        if may_name(self.user, named):
            return self.user.tenant if named is None else named
        refused = Access(outcome="denied", action=self.method, resource=f"tenant/{named}", tenant=named)
        self.scope["state"].setdefault("accesses", []).append(refused)
        raise NotFound

    def if_match(self) -> str | None:
        """The If-Match header, None without one."""
        return asgi.header(self.scope, b"if-match")

    def if_none_match(self) -> str | None:
        """The If-None-Match header, None without one."""
        return asgi.header(self.scope, b"if-none-match")

    def min_position(self) -> Position:
        """What the read must not be older than; 0 when the caller does not mind. Raises Malformed."""
        text = asgi.header(self.scope, b"setpoint-min-position")
        if text is None:
            return Position(0)
        if not (text.isascii() and text.isdigit() and len(text) <= 18):  # noqa: PLR2004 - 18 digits fit a bigint
            detail = "Setpoint-Min-Position takes the number that an earlier answer gave as Setpoint-Position."
            raise Malformed(
                detail, errors=[Violation(pointer="/header/Setpoint-Min-Position", code="form", detail=detail)]
            )
        return Position(int(text))


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What the OpenAPI document says of one call (app/kit/openapi.py)."""

    id: str
    tag: str
    summary: str
    answer: Any = None  # the type of a successful body; None for one without
    status: int = 200
    query: type[msgspec.Struct] | None = None
    errors: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()  # request headers it reads beside the common ones
    answer_headers: tuple[str, ...] = ()
    conditional: bool = False  # whether If-None-Match may be answered with 304
    open: bool = False  # whether it answers without a credential
    reads: bool = False  # of a POST: it changes nothing, and is limited as a read
    media_type: str = JSON
    tells_media_type: bool = True  # whether a body of another type gets 415; AuthZEN wants 400


def api(
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"], path: str, operation: Operation
) -> Callable[[Handler], HTTPRouteHandler]:
    """
    Makes a Litestar handler for one call, with what its documentation needs.

    A handler gets the request, the parts of the path, the body as `data`, and the query as `params`. Without a `query`
    in the operation, a query string is refused.
    """
    options: dict[str, Any] = {"operation": operation}
    # Litestar allows no handler of 204 to return a Response; the responses themselves say their status.
    rules: dict[str, Any] = {"http_method": method, "status_code": 200, "opt": options}
    if operation.query is not None:
        made = HTTPRouteHandler(path, dependencies={"params": _query_of(operation.query)}, **rules)
    else:
        made = HTTPRouteHandler(path, before_request=_require_no_query, **rules)
    return lambda handler: made(_marked(handler))


def reading_posts(handlers: Iterable[HTTPRouteHandler]) -> frozenset[str]:
    """The paths, without parameters, of every POST that changes nothing."""
    return frozenset(path for one in handlers if one.opt["operation"].reads for path in one.paths)


def _marked(handler: Handler) -> Handler:
    """The handler, with what Litestar wants said of each of its parameters; it no longer infers it in 3.0."""
    hints = get_type_hints(handler, include_extras=True)
    marks: dict[str, Any] = {"params": NamedDependency, "data": JSONBody}
    handler.__annotations__ = {
        name: type_ if name in ("request", "return") else marks.get(name, FromPath)[type_]
        for name, type_ in hints.items()
    }
    return handler


class _NoQuery(msgspec.Struct, frozen=True):
    pass


async def _require_no_query(request: Request[Any, Any, Any]) -> None:
    parse_query(request.scope["query_string"], _NoQuery)


def _query_of(type_: type[msgspec.Struct]) -> Provide:
    def provide(request: ApiRequest) -> Any:
        return parse_query(request.scope["query_string"], type_)

    provide.__annotations__ = {"request": ApiRequest, "return": type_}
    return Provide(provide, sync_to_thread=False)


def view(request: ApiRequest, body: bytes, *, position: Position) -> Response[bytes]:
    """A view as the answer to a GET, tagged by its content; 304 when the caller has it."""
    return tagged(request, body, tag=view_tag(body, salt=principal_salt(request.user)), position=position)


def tagged(
    request: ApiRequest,
    body: bytes,
    *,
    tag: str,
    position: Position,
    stale_seconds: int | None = None,
    timing: str | None = None,
) -> Response[bytes]:
    """
    An answer with its tag and position; 304 when a GET asks for what the caller already has.

    With `stale_seconds` it says for how long nobody has known whether it still holds.
    """
    headers = {**CACHING, "etag": tag, "setpoint-position": str(position)}
    if timing is not None:
        headers["server-timing"] = timing
    if stale_seconds is not None:
        headers["setpoint-stale"] = str(stale_seconds)
    if request.method == "GET" and matches_none(request.if_none_match(), tag):
        return Response(b"", status_code=304, headers=headers)
    return Response(body, status_code=200, headers=headers, media_type=JSON)


def paged(
    request: ApiRequest, page: Page[T], *, shown: Callable[[T], msgspec.Struct], position: Position
) -> Response[bytes]:
    """One page of a list, its items as callers see them, with a link to the next one (RFC 8288)."""
    views = Page(items=tuple(shown(item) for item in page.items), next=page.next)
    response = view(request, encode(views), position=position)
    if page.next is not None:
        others = [(name, text) for name, text in request.query_params.multi_items() if name != "cursor"]
        target = f"{quote(request.scope['path'])}?{urlencode([*others, ('cursor', page.next)])}"
        response.headers["link"] = f'<{target}>; rel="next"'
    return response


def changed(body: bytes, *, tag: str | None, position: Position, location: str | None = None) -> Response[bytes]:
    """
    The new state of a thing after a change; 201 with its location, a path without escapes, when it is new.

    After a dry run there is no tag to give.
    """
    headers = {**CACHING, "setpoint-position": str(position)}
    if tag is not None:
        headers["etag"] = tag
    if location is None:
        return Response(body, status_code=200, headers=headers, media_type=JSON)
    headers["location"] = quote(location)
    return Response(body, status_code=201, headers=headers, media_type=JSON)


def gone(*, position: Position) -> Response[bytes]:
    """The answer after a removal."""
    return Response(b"", status_code=204, headers={**CACHING, "setpoint-position": str(position)})


def encode(content: object) -> bytes:
    """An answer's bytes: canonical JSON, so that equal content has equal bytes."""
    return _encoder.encode(content)


_encoder = msgspec.json.Encoder()


def may_name(principal: Principal, tenant: str | None) -> bool:
    """Whether a request of this principal may be about this tenant; None is whichever is its own."""
    return tenant is None or tenant == principal.tenant or "platform_admin" in principal.roles


def principal_salt(principal: Principal) -> str:
    """What keeps the tags of equal answers apart for different tenants."""
    return principal.tenant or ""


def _require_media_type(scope: Any, accepted: str) -> None:
    given = asgi.header_values(scope, b"content-type")
    kind, _, parameters = (given[0].decode("latin-1") if len(given) == 1 else "").partition(";")
    charset = parameters.strip().lower()
    if kind.strip().lower() != accepted or charset not in ("", "charset=utf-8", 'charset="utf-8"'):
        raise UnsupportedMediaType(f"Send the body with Content-Type: {accepted}.", accepted=accepted)
