"""
One node over HTTP, for the time of one command.

http.client rather than httpx: it is imported in a tenth of the time, and a command sends a handful of requests, one
after the other, over one connection.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from app.cli.errors import UNREACHABLE, USAGE, CommandFailed
from app.cli.problem import Refusal

PAGE = 1_000  # items asked for at a time; the most the interface gives
JSON = "application/json"

Query = Mapping[str, str | None]


class Answer(NamedTuple):
    """What a node answered. `body` is None when there was none."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Client:
    """
    Sends requests and gives answers, or raises CommandFailed: Refusal for a problem, else with UNREACHABLE.

    `timeout` is in seconds, for one request from connecting to the last byte. `find_token` is asked once, when the
    first request needs it.
    """

    def __init__(self, url: str, *, timeout: float, find_token: Callable[[str], str | None]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise CommandFailed(f"{url} is not the URL of a node, like http://127.0.0.1:8080.", code=USAGE)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            self._connection = kind(parts.hostname, parts.port, timeout=timeout)
        except (ValueError, http.client.InvalidURL) as error:
            raise CommandFailed(f"{url} cannot be used: {error}.", code=USAGE) from error
        self.url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._host = parts.hostname
        self._timeout = timeout
        self._find_token = find_token
        self._token: str | None = None
        self._asked_for_token = False

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def get(self, path: str, query: Query | None = None) -> Answer:
        """Read something that should be there."""
        return self.send("GET", path, query=query)

    def find(self, path: str, query: Query | None = None) -> Answer | None:
        """Read something that may not be there."""
        try:
            return self.get(path, query)
        except Refusal as refusal:
            if refusal.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise

    def items(self, path: str, query: Query | None = None) -> Iterator[dict[str, Any]]:
        """Everything in a list, page after page."""
        cursor: str | None = None
        while True:
            page = self.get(path, {**(query or {}), "limit": str(PAGE), "cursor": cursor}).body
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """One request. Query parameters and headers that are None are left out."""
        named = {name: text for name, text in (query or {}).items() if text is not None}
        target = self._path + path + ("?" + urlencode(named) if named else "")
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        answer = self._exchange(method, target, content, self._headers(headers or {}, has_body=body is not None))
        if answer.status >= http.HTTPStatus.MULTIPLE_CHOICES:
            raise Refusal.of(answer.status, answer.headers, answer.body, url=self.url)
        return answer

    def _headers(self, more: Mapping[str, str | None], *, has_body: bool) -> dict[str, str]:
        if not self._asked_for_token:
            self._asked_for_token = True
            self._token = self._find_token(self._host)
        headers = {"Accept": JSON, **({"Content-Type": JSON} if has_body else {})}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers | {name: text for name, text in more.items() if text is not None}

    def _exchange(self, method: str, target: str, content: bytes | None, headers: dict[str, str]) -> Answer:
        try:
            if self._connection.sock is None:
                self._connection.connect()
            with self._limited():
                self._connection.request(method, target, content, headers)
                response = self._connection.getresponse()
                raw = response.read()
        except TimeoutError as error:
            message = f"{self.url} has not answered within {self._timeout:g} s."
            raise CommandFailed(message, code=UNREACHABLE) from error
        except ValueError as error:  # what cannot stand in a header; http.client says which
            raise CommandFailed(f"The request cannot be sent: {error}.", code=USAGE) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            message = f"{self.url} cannot be reached: {reason}. Is a node running there? `setpoint doctor` looks."
            raise CommandFailed(message, code=UNREACHABLE) from error
        sent = {name.lower(): text for name, text in response.getheaders()}
        return Answer(response.status, sent, self._decoded(raw, sent))

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """End the exchange when its time is over: the timeout of a socket starts anew with every byte."""
        over = threading.Event()

        def hang_up() -> None:
            over.set()
            with suppress(OSError, AttributeError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self._timeout, hang_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            if over.is_set():
                raise TimeoutError from error
            raise
        finally:
            timer.cancel()

    def _decoded(self, raw: bytes, headers: Mapping[str, str]) -> Any:
        if not raw:
            return None
        try:
            return json.loads(raw)
        except ValueError as error:
            kind = headers.get("content-type", "something")
            raise CommandFailed(
                f"{self.url} answers with {kind} that is no JSON; is it a Setpoint node?", code=UNREACHABLE
            ) from error


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")
