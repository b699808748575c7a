"""
What the server itself can do: an ASGI application that answers with constants.

Same server, same process model, same number of bytes; no routing, no credential, no decision, no database. What the
node reaches is stated as a share of this, because the share moves less from machine to machine than the figure.
"""

from __future__ import annotations

import os
from typing import Any

TAG = b'"AAAAAAAAAAAAAAAAAAAAAA"'
HEADERS = [
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Authorization, X-API-Key, Accept, Accept-Encoding"),
    (b"etag", TAG),
    (b"setpoint-position", b"10044"),
]


def application() -> Any:
    """`/304` answers 304; `/<name>` answers 200 with as many bytes as `BENCH_BYTES` says for that name."""
    sizes = dict(pair.split("=") for pair in os.environ["BENCH_BYTES"].split(","))
    answers = {f"/{name}": (200, _headers(int(size)), b"x" * int(size)) for name, size in sizes.items()}
    answers["/304"] = (304, HEADERS, b"")
    ready = (200, _headers(0), b"")

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        status, headers, body = answers.get(scope["path"], ready)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


def _headers(size: int) -> list[tuple[bytes, bytes]]:
    return [*HEADERS, (b"content-type", b"application/json"), (b"content-length", str(size).encode())]
