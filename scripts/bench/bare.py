"""
What the server itself can do: an ASGI application that answers with constants.

Same server, same process model, same header fields, same number of bytes; no routing, no credential, no decision, no
registry. What the node reaches is stated as a share of this, because the share moves less from machine to machine than
the figure. `/redis` asks Redis once, by redis-py as it comes, and answers with what it got.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

KEY = "bench:bare"


def application() -> Any:
    """Answers as the file in `BENCH_ANSWERS` says: by path, a status, header fields, and how many bytes of body."""
    answers = {}
    for path, (status, headers, size) in json.loads(Path(os.environ["BENCH_ANSWERS"]).read_text("utf-8")).items():
        fields = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        answers[path] = (status, fields, b"x" * size)
    ready: Any = (200, [], b"")
    redis = Redis.from_url(os.environ["BENCH_REDIS_URL"])
    ask_redis = answers.get("/redis")

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        status, headers, body = answers.get(scope["path"], ready)
        if ask_redis is not None and scope["path"] == "/redis":
            body = await redis.get(KEY) or b""
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer
