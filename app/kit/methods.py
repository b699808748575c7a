"""
Which methods a path answers: for OPTIONS, and for the Allow header of a 405.

Litestar's own OPTIONS names the methods of only one of several handlers on a path (litestar issue 4169).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from litestar.handlers import HTTPRouteHandler

from app.domain.errors import NotFound
from app.kit import asgi


class Methods:
    """The methods of every path of an application."""

    def __init__(self, handlers: Sequence[HTTPRouteHandler]) -> None:
        self._methods: dict[str, set[str]] = {}
        for one in handlers:
            for path in one.paths:
                self._methods.setdefault(path, set()).update(str(method) for method in one.http_methods)
        patterns = [path for path in self._methods if "{" in path]
        self._patterns = [(re.compile(_pattern(path)), path) for path in patterns]

    def allow(self, path: str) -> str | None:
        """What the Allow header of a path says; None for a path that nothing answers. Literal paths go first."""
        path = path.rstrip("/") or "/"
        found = self._methods.get(path)
        if found is None:
            found = next((self._methods[name] for pattern, name in self._patterns if pattern.fullmatch(path)), None)
        if found is None:
            return None
        return ", ".join(sorted({*found, "OPTIONS", *({"HEAD"} if "GET" in found else ())}))


def _pattern(path: str) -> str:
    return re.sub(r"\{\w+:path\}", ".+", re.sub(r"\{\w+:str\}", "[^/]+", path))


def answering_options(app: asgi.App, *, methods: Methods) -> asgi.App:
    """The application, with OPTIONS answered for every path that there is."""

    async def wrapped(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] != "http" or scope["method"] != "OPTIONS":
            await app(scope, receive, send)
            return
        allow = methods.allow(scope["path"])
        if allow is None:
            raise NotFound
        await asgi.send_answer(send, 204, [("allow", allow)], b"")

    return wrapped
