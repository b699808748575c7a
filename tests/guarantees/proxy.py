"""A wire between the application and PostgreSQL that can be cut, or go silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
GOODBYE = b"E" + (4 + len(_FIELDS)).to_bytes(4, "big") + _FIELDS


class Wire:
    """Passes bytes between a port of ours and PostgreSQL's socket."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._near: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def mend(self) -> None:
        """Let connections be made, and bytes flow."""
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def silence(self) -> None:
        """Take connections and bytes, and pass nothing on."""
        self._flowing.clear()

    def say_goodbye(self) -> None:
        """Tell the application what PostgreSQL says when it ends a connection; the end itself does not arrive."""
        for writer in self._near:
            writer.write(GOODBYE)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._near.add(writer)
        try:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_unix_connection(str(self._socket_path))
                try:
                    await asyncio.wait(
                        [
                            asyncio.create_task(self._pass_on(reader, far_writer)),
                            asyncio.create_task(self._pass_on(far_reader, writer)),
                        ],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                finally:
                    far_writer.transport.abort()
        except asyncio.CancelledError:
            pass  # cut
        finally:
            writer.transport.abort()
            self._tasks.discard(task)
            self._near.discard(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def wired(database_url: str) -> AsyncIterator[tuple[Wire, str]]:
    """A wire to the database at a URL, and the URL of the wire's near end."""
    parts = urlsplit(database_url)
    [socket_dir] = parse_qs(parts.query)["host"]
    wire = Wire(Path(socket_dir) / ".s.PGSQL.5432")
    await wire.mend()
    try:
        # Without TLS: asyncpg forgets a future when an attempt at it times out, and anyio tells.
        yield wire, f"postgresql://setpoint_app@127.0.0.1:{wire.port}{parts.path}?sslmode=disable"
    finally:
        wire.silence()
        await wire.cut()
