"""The shapes of ASGI that our wrappers speak, and the two answers they give themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, TypeAlias, cast

from app.domain.errors import SetpointError
from app.kit.problems import problem_of

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

ADDED = "answer_headers"  # where in the state of a request the edge finds what add_to_answer was given


def header_values(scope: Mapping[str, object], name: bytes) -> list[bytes]:
    """Every value of a header, in the order sent. Names are lower case."""
    headers = cast(Iterable[tuple[bytes, bytes]], scope["headers"])
    return [value for key, value in headers if key == name]


def header(scope: Mapping[str, object], name: bytes) -> str | None:
    """The value of a header as text, its lines joined as RFC 9110 section 5.3 says; None without one."""
    values = header_values(scope, name)
    return b", ".join(values).decode("latin-1") if values else None


def add_to_answer(scope: Scope, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Have the edge add these headers to the answer, whoever gives it."""
    scope["state"][ADDED].extend(headers)


async def send_answer(send: Send, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
    """Send one whole answer."""
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, error: SetpointError, *, path: str) -> None:
    """Send the problem that an error is."""
    response = problem_of(error, path=path)
    await send_answer(send, response.status, response.headers.items(), response.body)
