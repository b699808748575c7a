"""
The wrapper. For what is held, every step is a look-up or a comparison, and nothing is awaited before the answer.

What is not held is fetched by way of the cache and answered here as well: this is how a worker answers that keeps
nothing in its process. Whatever turns out unusual then is handed on, and fetched once more over there.
"""

from __future__ import annotations

import functools
import time
from typing import TypeAlias

import structlog

from app.access.authentication import Authenticator
from app.access.caller import circumstances_in
from app.access.gate import Gate
from app.domain.access import Principal
from app.domain.definition import Sensitivity
from app.domain.errors import SetpointError
from app.domain.precondition import matches_none
from app.fast_lane.prepared import Prepared, Ready, sensitivities_in
from app.fast_lane.question import BITS, EFFECTIVE, RESOLVE, VALUE, Judged, Question, question_of
from app.kit import asgi
from app.kit.clock import Clock, seconds_by
from app.kit.edge import HSTS, MAX_HEADER_BYTES, accepts_json, request_id_of
from app.kit.hosts import Hosts
from app.kit.limits.limits import Limits
from app.kit.logs import get_logger
from app.kit.proxies import Proxies
from app.log.trail import Trail
from app.settings.cache.cache import Cache
from app.settings.registry import Registry

MAX_TARGET_BYTES = 2_048  # of path and query; what asks for more takes long anyway, and its name would fill the cache
QUESTIONS = 2_000  # remembered, of what is not prepared; 6 MB at most
MAX_POSITION_DIGITS = 18  # as app/kit/http.py takes them

Target: TypeAlias = tuple[str, bytes, str | None, bool]  # path, query, the caller's tenant, whether all tenants are
Messages: TypeAlias = tuple[asgi.Message, asgi.Message]

FULL, NOT_MODIFIED = 200, 304

_READS = ("GET", "HEAD")
_PATHS = (EFFECTIVE, VALUE)
_SECRET = BITS[Sensitivity.SECRET]
_NO_BODY = {"type": "http.response.body", "body": b""}

# What makes a request unusual: a body, a reason that has to be judged and written down, a wish to know how it went.
_UNUSUAL = frozenset(
    b"content-encoding content-length transfer-encoding setpoint-override-reason setpoint-server-timing".split()
)
# What most requests have, and no more. In them nothing unusual has to be looked for.
_ORDINARY = frozenset(
    b"accept accept-encoding accept-language authorization baggage connection host if-none-match "
    b"setpoint-min-position traceparent tracestate user-agent x-api-key x-forwarded-for x-forwarded-host "
    b"x-forwarded-proto x-request-id".split()
)
_MAX_NAME_BYTES = 1_024
_MAX_VALUE_BYTES = MAX_HEADER_BYTES - _MAX_NAME_BYTES  # the edge counts both together

_log = get_logger()


class HandOn(Exception):
    """The application has to answer this. `reason` is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotHeld(Exception):
    """What a usual question asks for has to be fetched first."""

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question


class FastLane:
    """
    The application with the fast lane in front. Before `open` and after `close` it hands everything on.

    `handed_on` counts, by reason, reads of settings that the application had to answer; what was answered is counted
    by the cache.
    """

    def __init__(
        self,
        app: asgi.App,
        *,
        authenticator: Authenticator,
        gate: Gate,
        limits: Limits,
        hosts: Hosts,
        proxies: Proxies,
        clock: Clock,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._gate = gate
        self._limits = limits
        self._hosts = hosts
        self._proxies = proxies
        self._seconds = seconds_by(clock)
        self._hot: Cache | None = None
        self._max_keys = 0
        self._questions: dict[Target, Question] = {}
        self._minute = 0
        self._circumstances = circumstances_in(0)
        self.handed_on: dict[str, int] = {}

    def open(self, registry: Registry) -> None:
        """Answer from this registry."""
        self._hot = registry.hot
        self._max_keys = registry.config.max_bulk_keys
        self.handed_on = {}
        self._questions.clear()

    def close(self) -> None:
        """Hand everything on."""
        self._hot = None

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """One request."""
        if scope["type"] == "http" and self._hot is not None and scope["method"] in _READS:
            path = scope["path"]
            if path.startswith(RESOLVE) or path in _PATHS:
                try:
                    try:
                        start, body = self._answer(scope, path, self._hot)
                    except NotHeld as missing:
                        start, body = await self._answer_by_fetching(scope, missing.question, self._hot)
                except HandOn as unusual:
                    self._note(unusual.reason)
                except Exception as error:  # noqa: BLE001 - out here nobody could tell the caller; in there they can
                    self._note("error")
                    structlog.contextvars.clear_contextvars()  # of the request before
                    _log.exception("fast-lane-failed", path=path, error=type(error).__name__)
                else:
                    await send(start)
                    await send(body)
                    return
        await self._app(scope, receive, send)

    def _note(self, reason: str) -> None:
        self.handed_on[reason] = self.handed_on.get(reason, 0) + 1

    def _answer(self, scope: asgi.Scope, path: str, hot: Cache) -> Messages:
        """The messages of the answer, if it is held. Raises HandOn or NotHeld, before anything is counted or noted."""
        headers = _usual_headers(scope)
        client, secure = self._origin(scope, headers)
        now = self._seconds()
        principal = self._principal(headers, client, now)
        trail = _trail_to_answer_from(headers, hot)
        target = (path, scope["query_string"], principal.tenant, "platform_admin" in principal.roles)
        prepared: Prepared | None = hot.local.get(target)
        if prepared is None or not prepared.holds(trail):
            prepared = self._prepare(target, prepared, principal, trail, hot)
        cleared = self._cleared(principal, prepared.judged, int(now // 60))
        ready = prepared.views.get(cleared)
        if ready is None:
            ready = _make_ready(target, prepared, cleared, hot)
        if ready.position != trail.head:
            ready.at(trail.head)
        start, body = self._messages(scope["method"], headers, principal, ready, secure=secure)
        if start["status"] == FULL:
            hot.counters.lane_full += 1
        else:
            hot.counters.lane_not_modified += 1
        return start, body

    async def _answer_by_fetching(self, scope: asgi.Scope, question: Question, hot: Cache) -> Messages:
        """The messages of the answer, once what it needs has been fetched. Raises HandOn."""
        headers = _usual_headers(scope)
        client, secure = self._origin(scope, headers)
        now = self._seconds()
        principal = self._principal(headers, client, now)
        if not self._limits.may_read(principal):  # or it would be fetched for nothing, again and again
            raise HandOn("limit")
        structlog.contextvars.clear_contextvars()  # of the request before: what is logged now is not of it
        began = time.perf_counter()
        try:
            moment = await hot.fetch(question.chain)
        except SetpointError:
            raise HandOn("unavailable") from None
        if moment is None or moment.stale_seconds is not None:
            raise HandOn("stale")
        judged = question.judged(moment)
        if judged is None:
            raise HandOn("nothing")
        cleared = self._cleared(principal, judged, int(now // 60))
        ready = Ready(question.view(moment, sensitivities_in(cleared), hot))
        ready.at(moment.position)
        messages = self._messages(scope["method"], headers, principal, ready, secure=secure)
        hot.counters.fetched(moment.tier, time.perf_counter() - began)
        return messages

    def _messages(
        self, method: str, headers: dict[bytes, bytes], principal: Principal, ready: Ready, *, secure: bool
    ) -> Messages:
        """The messages of an answer. It counts against the caller's limit: nothing but the answer may follow."""
        told = self._limits.try_read(principal)
        if told is None:
            raise HandOn("limit")
        given = headers.get(b"x-request-id")
        request_id = request_id_of(() if given is None else (given,))
        known = headers.get(b"if-none-match")
        modified = known != ready.tag and (known is None or not matches_none(known.decode("latin-1"), ready.tag_text))
        own = ready.full(request_id) if modified else ready.not_modified(request_id)
        if secure:
            own.append(HSTS)
        if told:
            own.extend(told)
        if not modified:
            return {"type": "http.response.start", "status": NOT_MODIFIED, "headers": own}, _NO_BODY
        body = ready.body if method == "GET" else _NO_BODY
        return {"type": "http.response.start", "status": FULL, "headers": own}, body

    # ---- who asks ----

    def _origin(self, scope: asgi.Scope, headers: dict[bytes, bytes]) -> tuple[str, bool]:
        """The address of who asks, and whether it came over TLS; the name that it came to is one of ours."""
        if self._proxies.any:
            client, secure, host = self._proxies.origin_of(scope)
            if not self._hosts.has(host):
                raise HandOn("host")
            return client, secure
        if not self._hosts.any:
            named = headers.get(b"host")
            if named is None or not self._hosts.has(named.decode("latin-1")):
                raise HandOn("host")
        peer = scope.get("client")
        return peer[0] if peer else "", scope.get("scheme") == "https"

    def _principal(self, headers: dict[bytes, bytes], client: str, now: float) -> Principal:
        """Who asks, by the one credential that was sent: remembered, and with nothing to be looked at again."""
        credential, key = headers.get(b"authorization"), headers.get(b"x-api-key")
        if credential is None:
            credential = key
        elif key is None and credential.startswith(b"Bearer "):
            credential = credential[7:]
        else:
            credential = None
        if credential is None or not self._limits.few_failures(client):
            raise HandOn("credential")
        identity = self._authenticator.known(credential, now=now)
        if identity is None:
            raise HandOn("credential")
        return identity.principal

    def _cleared(self, principal: Principal, judged: Judged, minute: int) -> int:
        """
        Ask the gate, on every request: what is prepared says what was asked for, and never that it may be had.

        Gives the sensitivities that may be shown, as bits.
        """
        if minute != self._minute:
            self._minute, self._circumstances = minute, circumstances_in(minute)
        decides_all, action, circumstances = self._gate.decides_all, judged.action, self._circumstances
        if not decides_all(principal, action, judged.needed, circumstances):
            raise HandOn("refused")
        cleared = 0
        for bit, resources in judged.shown:
            if not resources or decides_all(principal, action, resources, circumstances):
                cleared |= bit
        if cleared & _SECRET:
            raise HandOn("secret")
        return cleared

    # ---- what is asked for ----

    def _prepare(
        self, target: Target, before: Prepared | None, principal: Principal, trail: Trail, hot: Cache
    ) -> Prepared:
        """Prepare an answer of what is held. Raises NotHeld when something has to be fetched."""
        question = self._question(target, principal) if before is None else before.question
        moment = hot.peek(question.chain)
        if moment is None:
            raise NotHeld(question)
        judged = question.judged(moment)
        if judged is None:
            raise HandOn("nothing")
        prepared = Prepared(question, judged, trail=trail)
        _keep(target, prepared, hot)
        return prepared

    def _question(self, target: Target, principal: Principal) -> Question:
        path, query, _, _ = target
        if len(path) + len(query) > MAX_TARGET_BYTES:
            raise HandOn("question")
        question = self._questions.get(target)
        if question is None:
            question = question_of(path, query, principal, max_keys=self._max_keys)
            if question is None:
                raise HandOn("question")
            if len(self._questions) >= QUESTIONS:
                self._questions.clear()
            self._questions[target] = question
        return question


def _usual_headers(scope: asgi.Scope) -> dict[bytes, bytes]:
    """The header fields, none of them twice."""
    fields = scope["headers"]
    headers: dict[bytes, bytes] = dict(fields)
    if len(headers) != len(fields) or len(b"".join(headers.values())) > _MAX_VALUE_BYTES:
        raise HandOn("headers")
    names = headers.keys()
    if not names <= _ORDINARY and (not _UNUSUAL.isdisjoint(names) or len(b"".join(names)) > _MAX_NAME_BYTES):
        raise HandOn("headers")
    accept = headers.get(b"accept")
    if accept is not None and accept != b"*/*" and not _accepts(accept):
        raise HandOn("headers")
    return headers


@functools.lru_cache(maxsize=256)
def _accepts(accept: bytes) -> bool:
    return accepts_json(accept.decode("latin-1"))


def _trail_to_answer_from(headers: dict[bytes, bytes], hot: Cache) -> Trail:
    """What is known, if it is known to be the newest and has come as far as the request wants."""
    tailer = hot.tailer
    if not tailer.fresh:
        raise HandOn("not-fresh")
    minimum = headers.get(b"setpoint-min-position")
    trail = tailer.trail
    if minimum is not None:
        digits = minimum.isdigit() and len(minimum) <= MAX_POSITION_DIGITS
        if not digits or int(minimum) > trail.head:
            raise HandOn("position")
    return trail


def _make_ready(target: Target, prepared: Prepared, cleared: int, hot: Cache) -> Ready:
    """The view for who is cleared for so much."""
    moment = hot.peek(prepared.question.chain)
    if moment is None:
        raise NotHeld(prepared.question)
    view = prepared.question.view(moment, sensitivities_in(cleared), hot)
    hot.counters.lane_looked_up += 1
    ready = prepared.views[cleared] = Ready(view)
    _keep(target, prepared, hot)
    return ready


def _keep(target: Target, prepared: Prepared, hot: Cache) -> None:
    hot.local.put(target, prepared, cost=prepared.cost + len(target[0]) + len(target[1]))
