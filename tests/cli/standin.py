"""A node with a tiny application in place of ours: `python -m tests.cli.standin`, configured by the environment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from app.cli.serve import base_url, serve
from app.config import Config, read_config

Send = Callable[[dict[str, Any]], Awaitable[None]]
hangups: list[int] = []

Receive = Callable[[], Awaitable[dict[str, Any]]]


def create() -> Callable[[dict[str, Any], Receive, Send], Awaitable[None]]:
    """The factory that a worker calls."""
    if "BROKEN" in os.environ:
        raise RuntimeError("this policy cannot be loaded")
    return application


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer every request with this worker's pid; `/forever` never ends."""
    if scope["type"] == "lifespan":
        await receive()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangups.append, 1)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if scope["path"] == "/forever":
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await receive()
        await receive()
    if scope["path"] == "/environment":
        body = "\n".join(f"{name}={value}" for name, value in os.environ.items() if name.startswith("SETPOINT_"))
    elif scope["path"] == "/hangups":
        body = f"{os.getpid()} {len(hangups)}"
    else:
        body = str(os.getpid())
    await send({"type": "http.response.body", "body": body.encode()})


def prepare(config: Config, *, demo: bool, announce: Callable[[str], None]) -> Sequence[str]:
    """Only the lines that tell the test that requests are answered."""
    del demo, announce
    return [f"ready at {base_url(config)}"]


if __name__ == "__main__":
    sys.exit(
        serve(
            read_config(os.environ)[0],
            demo=False,
            announce=lambda line: print(line, file=sys.stderr, flush=True),
            show=lambda text: print(text, flush=True),
            application="tests.cli.standin:create",
            prepare=prepare,
        )
    )
