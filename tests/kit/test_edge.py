"""What holds for every request and answer, around a tiny inner application."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.domain.errors import Forbidden, PreconditionFailed, Unauthenticated, Unavailable
from app.kit import asgi
from app.kit.edge import HSTS, MAX_HEADER_BYTES, MAX_TARGET_BYTES, SECURITY_HEADERS, edge
from app.kit.hosts import Hosts
from app.kit.problems import InternalError

Headers = list[tuple[bytes, bytes]]
MADE = re.compile(r"[0-9a-f]{32}")


class Answer:
    """What came out at the door."""

    def __init__(self, messages: list[asgi.Message]) -> None:
        assert [message["type"] for message in messages[:1]] == ["http.response.start"]
        self.messages = messages
        self.status: int = messages[0]["status"]
        self.raw: Headers = list(messages[0]["headers"])
        self.headers = {name.decode(): value.decode("latin-1") for name, value in self.raw}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])

    @property
    def code(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        assert self.headers["content-length"] == str(len(self.body))
        problem = json.loads(self.body)
        assert problem["status"] == self.status
        return str(problem["code"])


def answering(status: int = 200, body: bytes = b"{}", headers: Headers | None = None) -> asgi.App:
    """An application that gives one answer and keeps what it was asked."""

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        asked.update(scope)
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*(headers or []), length]})
        await send({"type": "http.response.body", "body": body})

    asked: dict[str, Any] = {}
    app.asked = asked  # type: ignore[attr-defined]
    return app


def raising(error: Exception, *, begun: bool = False) -> asgi.App:
    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    return app


def ask(
    app: asgi.App,
    *,
    method: str = "GET",
    path: str = "/api/settings",
    query: bytes = b"",
    headers: Headers | None = None,
    scheme: str = "http",
    hosts: Hosts | None = None,
) -> Answer:
    sent: list[asgi.Message] = []

    async def receive() -> asgi.Message:
        return {"type": "http.request", "body": b""}

    async def send(message: asgi.Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers or []}
    scope["scheme"] = scheme
    try:
        asyncio.run(edge(app, hosts=hosts)(scope, receive, send))
    finally:
        ask.sent = sent  # type: ignore[attr-defined]
    return Answer(sent)


# ---- Request ids ----


@pytest.mark.parametrize("given", [b"a", b"A-1_b.c", b"x" * 128])
def test_a_request_id_is_echoed_and_handed_on(given: bytes) -> None:
    app = answering()

    answer = ask(app, headers=[(b"x-request-id", given)])

    assert answer.headers["x-request-id"] == given.decode()
    assert app.asked["state"]["request_id"] == given.decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "given",
    [[], [b""], [b"x" * 129], [b"a b"], [b"a\r\nset-cookie: x"], [b"a\n"], [b"\xff"], [b"<script>"], [b"a", b"a"]],
)
def test_without_one_good_request_id_one_is_made(given: list[bytes]) -> None:
    answer = ask(answering(), headers=[(b"x-request-id", value) for value in given])

    assert MADE.fullmatch(answer.headers["x-request-id"])


def test_made_request_ids_differ() -> None:
    assert ask(answering()).headers["x-request-id"] != ask(answering()).headers["x-request-id"]


def test_the_inner_application_cannot_answer_with_another_request_id() -> None:
    answer = ask(answering(headers=[(b"X-Request-ID", b"other")]), headers=[(b"x-request-id", b"mine")])

    assert [value for name, value in answer.raw if name.lower() == b"x-request-id"] == [b"mine"]


# ---- Headers of every answer ----


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 404, 500])
def test_security_headers_are_on_every_answer(status: int) -> None:
    answer = ask(answering(status))

    assert answer.status == status
    assert set(SECURITY_HEADERS) <= set(answer.raw)


@pytest.mark.parametrize("error", [Forbidden(), Unavailable(), ValueError("x")], ids=repr)
def test_security_headers_are_on_problems(error: Exception) -> None:
    with capture_logs():
        assert set(SECURITY_HEADERS) <= set(ask(raising(error)).raw)


def test_security_headers_of_the_inner_application_are_replaced_and_its_server_is_not_named() -> None:
    answer = ask(answering(headers=[(b"X-Frame-Options", b"ALLOWALL"), (b"Server", b"granian/2"), (b"etag", b'"a"')]))

    assert [value for name, value in answer.raw if name.lower() == b"x-frame-options"] == [b"DENY"]
    assert "server" not in {name.lower() for name in answer.headers}
    assert answer.headers["etag"] == '"a"'


def test_nothing_is_served_as_a_page() -> None:
    page = ask(answering(headers=[]), path="/schema", headers=[(b"accept", b"text/html")])

    assert page.status == 406
    assert set(SECURITY_HEADERS) <= set(page.raw)


# ---- HEAD ----


def test_head_has_the_headers_of_get_and_no_body() -> None:
    app = answering(body=b'{"value":1}', headers=[(b"etag", b'"a"')])

    answer = ask(app, method="HEAD")

    assert app.asked["method"] == "GET"  # type: ignore[attr-defined]
    assert answer.body == b""
    assert answer.headers["content-length"] == "11"
    assert answer.headers["etag"] == '"a"'


def test_head_of_an_answer_in_parts_ends_once() -> None:
    async def streaming(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    assert ask(streaming).body == b"ab"
    assert ask(streaming, method="HEAD").messages[1:] == [{"type": "http.response.body", "body": b""}]


def test_head_of_a_problem_has_its_length_and_no_body() -> None:
    problem = ask(raising(Unauthenticated()), headers=[(b"x-request-id", b"a")])

    head = ask(raising(Unauthenticated()), method="HEAD", headers=[(b"x-request-id", b"a")])

    assert head.status == 401
    assert head.raw == problem.raw
    assert head.body == b""


# ---- Errors ----


def test_an_error_of_the_domain_becomes_its_problem() -> None:
    answer = ask(raising(PreconditionFailed(current='"v2"')), path="/api/settings/1")

    assert answer.status == 412
    assert answer.code == "precondition-failed"
    assert answer.headers["etag"] == '"v2"'
    assert json.loads(answer.body)["instance"] == "/api/settings/1"


@pytest.mark.parametrize("error", [ValueError("hunter2"), KeyError("hunter2"), RecursionError("hunter2")], ids=repr)
def test_an_escaped_exception_is_a_problem_that_tells_nothing_and_a_log_line_that_does(error: Exception) -> None:
    with capture_logs() as lines:
        answer = ask(raising(error), headers=[(b"x-request-id", b"r-1")])

    assert answer.status == 500
    assert answer.code == "internal-error"
    assert b"hunter2" not in answer.body
    assert [(line["event"], line["error"], line["exc_info"]) for line in lines] == [
        ("request-failed", type(error).__name__, True)
    ]


@pytest.mark.parametrize(("error", "raised"), [(Forbidden(), Forbidden), (ValueError("x"), InternalError)], ids=repr)
def test_an_answer_that_has_begun_is_cut_off_and_not_begun_again(error: Exception, raised: type[Exception]) -> None:
    with capture_logs(), pytest.raises(raised):
        ask(raising(error, begun=True))

    assert [message["type"] for message in ask.sent] == ["http.response.start"]  # type: ignore[attr-defined]


def test_being_cancelled_is_no_error_to_answer() -> None:
    with pytest.raises(asyncio.CancelledError):
        ask(raising(asyncio.CancelledError()))  # type: ignore[arg-type]

    assert ask.sent == []  # type: ignore[attr-defined]


# ---- What nobody here can answer ----


@pytest.mark.parametrize(
    "accept",
    [
        None,
        b"",
        b"*/*",
        b"application/json",
        b"Application/JSON",
        b"application/*",
        b"application/problem+json",
        b"text/html, application/json;q=0.1",
        b"text/html;q=0.9,*/*;q=0.8",
        b"application/json; charset=utf-8",
        b"text/html;q=0, */*",
    ],
)
def test_who_takes_json_is_answered(accept: bytes | None) -> None:
    assert ask(answering(), headers=[] if accept is None else [(b"accept", accept)]).status == 200


@pytest.mark.parametrize(
    "accept",
    [
        b"text/html",
        b"application/xml",
        b"application/jsonx",
        b"text/*",
        b"application/json;q=0",
        b"application/json; q = 0.000",
        b"*/*;q=0",
        b"nonsense",
        b",",
    ],
)
def test_who_does_not_take_json_is_told_so(accept: bytes) -> None:
    answer = ask(answering(), headers=[(b"accept", accept)])

    assert answer.status == 406
    assert answer.code == "not-acceptable"


def test_several_accept_lines_are_one_list() -> None:
    assert ask(answering(), headers=[(b"accept", b"text/html"), (b"accept", b"application/json")]).status == 200


def test_two_hosts_are_malformed() -> None:
    answer = ask(answering(), headers=[(b"host", b"a"), (b"host", b"a")])

    assert answer.status == 400
    assert json.loads(answer.body)["errors"][0]["pointer"] == "/header/Host"
    assert ask(answering(), headers=[(b"host", b"a")]).status == 200


def test_a_foreign_host_is_refused_but_for_those_who_watch_the_node() -> None:
    named = [(b"host", b"elsewhere")]
    hosts = Hosts(("setpoint.example",))

    assert ask(answering(), headers=named, hosts=hosts).code == "host-not-allowed"
    assert ask(answering(), headers=[], hosts=hosts).status == 400
    assert ask(answering(), headers=[(b"host", b"setpoint.example")], hosts=hosts).status == 200
    for path in ("/api/health", "/api/health/live", "/api/health/ready"):
        assert ask(answering(), path=path, headers=named, hosts=hosts).status == 200
    for path in ("/api/health/x", "/api/healthy", "/x/api/health", "/schema/openapi.json"):
        assert ask(answering(), path=path, headers=named, hosts=hosts).status == 400


def test_browsers_are_told_to_stay_with_tls_where_there_is_tls() -> None:
    assert HSTS not in ask(answering(headers=[(b"Strict-Transport-Security", b"max-age=0")])).raw
    assert HSTS in ask(answering(), scheme="https").raw
    assert HSTS in ask(raising(Forbidden()), scheme="https").raw


@pytest.mark.parametrize("codings", [[b"gzip"], [b"br"], [b""], [b"identity", b"gzip"], [b"identity", b"identity"]])
def test_an_encoded_body_is_not_understood(codings: list[bytes]) -> None:
    app = answering()

    answer = ask(app, method="POST", headers=[(b"content-encoding", coding) for coding in codings])

    assert answer.status == 415
    assert answer.code == "unsupported-media-type"
    assert app.asked == {}  # type: ignore[attr-defined]


def test_the_identity_coding_is_none() -> None:
    assert ask(answering(), headers=[(b"content-encoding", b"identity")]).status == 200


def test_headers_have_a_limit() -> None:
    assert ask(answering(), headers=[(b"x", b"a" * (MAX_HEADER_BYTES - 1))]).status == 200
    assert ask(answering(), headers=[(b"x", b"a" * MAX_HEADER_BYTES)]).status == 413
    assert ask(answering(), headers=[(b"x", b"")] * (MAX_HEADER_BYTES + 1)).code == "too-large"


def test_path_and_query_have_a_limit() -> None:
    rest = b"a" * (MAX_TARGET_BYTES - len("/api"))

    assert ask(answering(), path="/api", query=rest).status == 200
    assert ask(answering(), path="/api", query=rest + b"a").status == 413


# ---- Around HTTP ----


def test_what_is_not_http_passes_untouched() -> None:
    seen: list[str] = []

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        seen.append(scope["type"])

    asyncio.run(edge(app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]

    assert seen == ["lifespan"]


TRACE = b"0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        ([b"00-" + TRACE + b"-b7ad6b7169203331-01"], {"trace_id": TRACE.decode()}),
        ([], {}),
        ([b"nonsense"], {}),
        ([b"00-" + TRACE + b"-b7ad6b7169203331-01\n"], {}),
        ([b"00-" + TRACE.upper() + b"-b7ad6b7169203331-01"], {}),
        ([b"00-" + TRACE + b"-b7ad6b7169203331-01"] * 2, {}),
    ],
)
def test_log_lines_carry_the_trace_and_the_request(traceparent: list[bytes], expected: dict[str, str]) -> None:
    import structlog

    bound: dict[str, Any] = {}

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        bound.update(structlog.contextvars.get_contextvars())
        await answering()(scope, receive, send)

    headers = [(b"x-request-id", b"r-1"), *((b"traceparent", value) for value in traceparent)]
    ask(app, headers=headers)

    assert bound == {"request_id": "r-1", "client": "", **expected}
