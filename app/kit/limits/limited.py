"""The limits of a principal around an application."""

from __future__ import annotations

from collections.abc import Container

from app.kit import asgi
from app.kit.limits.limits import Limits

_SAFE = ("GET", "HEAD", "OPTIONS")


def limited(app: asgi.App, *, limits: Limits, reading: Container[str] = ()) -> asgi.App:
    """
    The application, with the requests of every principal counted and the answers told what is left.

    A POST to a path in `reading` changes nothing, and counts as a read. It stands inside of authentication, and inside
    of the edge, which sends the fields whatever becomes of the request.
    """

    async def wrapped(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        principal = scope.get("user") if scope["type"] == "http" else None
        if principal is not None:
            if scope["method"] in _SAFE or scope["path"] in reading:
                fields = limits.read(principal)
            else:
                fields = await limits.write(principal)
            if fields:
                asgi.add_to_answer(scope, fields)
        await app(scope, receive, send)

    return wrapped
