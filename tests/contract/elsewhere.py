"""An application that runs in a thread of its own, called from any other loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.kit import asgi
from tests.fixtures import started


class Elsewhere:
    """
    An ASGI application that hands every request to one in another loop.

    Tools that bring a loop of their own can then share an application whose connections belong to ours.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._application: asgi.App | None = None

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        assert self._loop is not None
        answered = asyncio.run_coroutine_threadsafe(self._answers(scope, body), self._loop)
        for message in await asyncio.wrap_future(answered):
            await send(message)

    async def _answers(self, scope: asgi.Scope, body: bytes) -> list[asgi.Message]:
        messages: list[asgi.Message] = []

        async def receive() -> asgi.Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: asgi.Message) -> None:
            messages.append(message)

        assert self._application is not None
        await self._application(dict(scope), receive, send)
        return messages

    @contextmanager
    def serving(self, application: asgi.App) -> Iterator[None]:
        """Run an application for the length of a block."""
        loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

        async def serve() -> None:
            async with started(application):
                self._loop, self._application = loop, application
                ready.set()
                await stop.wait()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        try:
            assert ready.wait(20)
            yield
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()
