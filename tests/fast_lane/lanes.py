"""Asking one thing of both lanes: the application with the fast lane in front, and the one behind it."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from app.fast_lane.lane import FastLane
from app.kit import asgi

Header = tuple[bytes, bytes]


class Asked(NamedTuple):
    """One request, as a server hands it over."""

    method: str
    path: str
    query: bytes = b""
    headers: tuple[Header, ...] = ()
    scheme: str = "http"
    client: tuple[str, int] | None = ("127.0.0.1", 4711)


class Answer(NamedTuple):
    """What a server would send."""

    status: int
    headers: list[Header]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """The value of a header field."""
        return dict(self.headers).get(name)


async def answer_of(app: asgi.App, asked: Asked) -> Answer:
    """The answer of an application."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": asked.scheme,
        "path": asked.path,
        "raw_path": asked.path.encode("utf-8", "replace"),
        "root_path": "",
        "query_string": asked.query,
        "headers": list(asked.headers),
        "client": asked.client,
        "server": ("setpoint.test", 80),
    }
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async with asyncio.timeout(20):
        await app(scope, asyncio.Queue().get, send)
    start, *bodies = said
    assert start["type"] == "http.response.start"
    assert not bodies[-1].get("more_body")
    return Answer(start["status"], list(start["headers"]), b"".join(one["body"] for one in bodies))


async def both(lane: FastLane, asked: Asked) -> tuple[Answer, Answer]:
    """The answers of the application with the fast lane, and of the one behind it, to the same request."""
    return await answer_of(lane, asked), await answer_of(lane._app, asked)


def same(one: Answer, other: Answer, asked: Asked) -> bool:
    """
    Whether nobody can tell them apart.

    An id that each made for itself does not count, nor does how much may still be written, which both have used up.
    """
    return _comparable(one, asked) == _comparable(other, asked)


def _comparable(answer: Answer, asked: Asked) -> Answer:
    given = [value for name, value in asked.headers if name == b"x-request-id"]
    compared = []
    for name, value in answer.headers:
        if name == b"x-request-id" and [value] != given:
            compared.append((name, b"?" * len(value)))
        elif name != b"ratelimit" or asked.method in ("GET", "HEAD"):
            compared.append((name, value))
    return answer._replace(headers=compared)
