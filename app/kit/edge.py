"""
What holds for every request and every answer, whoever handles it: the outermost ASGI wrapper.

It gives each request an id, turns HEAD into a GET without a body, refuses what nobody here can answer, adds the
security headers, and is the last resort that turns an escaped exception into a problem. It stands outside of
Litestar because Litestar's own middleware never sees what matches no route.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import structlog

from app.domain.errors import Malformed, SetpointError, Violation
from app.kit import asgi
from app.kit.clock import new_request_id
from app.kit.hosts import Hosts
from app.kit.logs import get_logger
from app.kit.problems import InternalError, NotAcceptable, TooLarge, UnsupportedMediaType
from app.kit.proxies import Proxies

MAX_HEADER_BYTES = 32_768  # all names and values together; a JWT of 8 KiB leaves plenty
MAX_TARGET_BYTES = 16_384  # path and query; a bulk read names 1,000 keys in less, or uses a prefix

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")  # a year; only behind TLS, where browsers heed it
_SET_HERE = {name for name, _ in (*SECURITY_HEADERS, HSTS)} | {b"server", b"x-request-id"}

_PROBED = re.compile(r"/api/health(/live|/ready)?/?")  # asked by address, by whatever watches a node; tells no secrets

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_ACCEPTED = ("*/*", "application/*", "application/json", "application/problem+json")

_log = get_logger()


def edge(app: asgi.App, *, hosts: Hosts | None = None, proxies: Proxies | None = None) -> asgi.App:
    """The application with everything around it that holds for all of HTTP; without hosts it answers to any name."""
    ours = hosts or Hosts()
    believed = proxies or Proxies()

    async def wrapped(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        await _answer(app, scope, receive, send, hosts=ours, proxies=believed)

    return wrapped


async def _answer(
    app: asgi.App, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send, *, hosts: Hosts, proxies: Proxies
) -> None:
    request_id = request_id_of(asgi.header_values(scope, b"x-request-id"))
    origin = proxies.origin_of(scope)
    # A list that asgi.add_to_answer makes longer until the answer begins.
    own = own_headers(request_id, secure=origin.secure)
    scope.setdefault("state", {}).update({"request_id": request_id.decode(), "client": origin.client, asgi.ADDED: own})
    answer = _Answer(send, own=own, head=scope["method"] == "HEAD")
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id.decode(), client=origin.client, **_trace(scope))
    try:
        _require_sane(scope)
        if not _PROBED.fullmatch(scope["path"]):
            hosts.require(origin.host)
        if answer.head:
            scope["method"] = "GET"
        await app(scope, receive, answer.send)
    except SetpointError as error:
        await answer.problem(error, scope["path"])
    except Exception as error:  # noqa: BLE001 - the last resort: nobody above could tell the caller anything
        _log.exception("request-failed", path=scope["path"], error=type(error).__name__)
        await answer.problem(InternalError(), scope["path"])


class _Answer:
    """One answer on its way out: adds headers, drops the body of a HEAD, and knows whether it has begun."""

    def __init__(self, send: asgi.Send, *, own: Sequence[tuple[bytes, bytes]], head: bool) -> None:
        self._send = send
        self._own = own
        self._begun = False
        self.head = head

    async def send(self, message: asgi.Message) -> None:
        """Pass a message on, as it should leave the house."""
        if message["type"] == "http.response.start":
            self._begun = True
            message["headers"] = self._headers(message.get("headers", ()))
        elif self.head and message["type"] == "http.response.body":
            if message.get("more_body", False):
                return
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def problem(self, error: SetpointError, path: str) -> None:
        """Answer with a problem, unless an answer has begun: a half one is cut off by the server."""
        if self._begun:
            raise error
        await asgi.send_problem(self.send, error, path=path)

    def _headers(self, headers: Any) -> list[tuple[bytes, bytes]]:
        kept = [(name, value) for name, value in headers if name.lower() not in _SET_HERE]
        return [*kept, *self._own]


def own_headers(request_id: bytes, *, secure: bool) -> list[tuple[bytes, bytes]]:
    """The header fields of every answer, which stand after those of its own."""
    return [(b"x-request-id", request_id), *SECURITY_HEADERS, *((HSTS,) if secure else ())]


def request_id_of(given: Sequence[bytes]) -> bytes:
    """The id of a request that came with these: the one, if it looks like one, else a new one."""
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0]
    return new_request_id()


def _trace(scope: asgi.Scope) -> dict[str, str]:
    given = asgi.header_values(scope, b"traceparent")
    match = _TRACEPARENT.fullmatch(given[0]) if len(given) == 1 else None
    return {"trace_id": match[1].decode()} if match else {}


def _require_sane(scope: asgi.Scope) -> None:
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        raise TooLarge(f"The headers take more than {MAX_HEADER_BYTES} bytes.")
    if len(scope["path"]) + len(scope.get("query_string", b"")) > MAX_TARGET_BYTES:
        raise TooLarge(f"The path and query take more than {MAX_TARGET_BYTES} bytes.")
    if asgi.header_values(scope, b"content-encoding") not in ([], [b"identity"]):
        raise UnsupportedMediaType("Send the body without Content-Encoding.", accepted="application/json")
    if len(asgi.header_values(scope, b"host")) > 1:
        raise Malformed(
            "The Host header is given twice.",
            errors=[Violation(pointer="/header/Host", code="duplicate", detail="Send one Host header.")],
        )
    if not accepts_json(asgi.header(scope, b"accept")):
        raise NotAcceptable


def accepts_json(accept: str | None) -> bool:
    """Whether an Accept header lets us answer in JSON."""
    if accept is None or not accept.strip():
        return True
    offers = [offer.split(";") for offer in accept.lower().split(",")]
    return any(kind.strip() in _ACCEPTED and not _refused(parameters) for kind, *parameters in offers)


def _refused(parameters: list[str]) -> bool:
    return any(re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", parameter) for parameter in parameters)
