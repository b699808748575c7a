"""
A connection that asks one thing after the other: as little as HTTP/1.1 takes, for the machine is the nodes'.

A connection stays with the worker that accepted it, and the kernel knows which process that is. So what a worker
promises of its own writes can be held against that very worker.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import psutil

LIMIT = 60.0  # seconds for one answer; a machine that is busy takes long for little
ATTEMPTS = 100  # connections made to have enough of each worker; the kernel deals them out by chance
HOST = "127.0.0.1"


class Answer(NamedTuple):
    """What came back and when. A connection that broke is an answer of status 0."""

    ended: float
    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


class Connection(asyncio.Protocol):
    """One kept connection. Make it with `connected`."""

    def __init__(self, node: int, port: int) -> None:
        self.node = node
        self.port = port
        self.worker = 0
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._received = b""
        self._lost = False

    @property
    def local_port(self) -> int:
        """What tells this connection from all others."""
        assert self._transport is not None
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    async def ask(self, request: bytes) -> Answer:
        """Send a request and wait for its answer."""
        assert self._waiting is None, "one at a time"
        if self._lost:
            return Answer(time.monotonic(), 0, {}, b"the connection was lost before")
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        watchdog = loop.call_later(LIMIT, self._answered, 0, {}, b"no answer in time")
        assert self._transport is not None
        self._transport.write(request)
        try:
            return await self._waiting
        finally:
            watchdog.cancel()
            self._waiting = None

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    # ---- what asyncio calls ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no asyncio.Transport, only like one

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = received[:end].split(b"\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, text = line.partition(b": ")
            headers[name.lower()] = text
        length = int(headers.get(b"content-length", 0)) if lines[0][9:12] != b"304" else 0
        if len(received) < end + 4 + length:
            return
        self._received = b""
        self._answered(int(lines[0][9:12]), headers, received[end + 4 :])

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._answered(0, {}, f"lost: {exc}".encode())

    def _answered(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> None:
        if self._waiting is not None and not self._waiting.done():
            # Now, and not when the task that waits has its turn: the node must not seem slower than it is.
            self._waiting.set_result(Answer(time.monotonic(), status, headers, body))


async def connected(node: int, port: int, *, pid: int, workers: int, each: int) -> list[Connection]:
    """So many connections to each worker of a node, by turns; `pid` is the node's parent process."""
    found: defaultdict[int, list[Connection]] = defaultdict(list)
    loop = asyncio.get_running_loop()
    for _ in range(ATTEMPTS):
        _, made = await loop.create_connection(lambda: Connection(node, port), HOST, port)
        # Accepted only when it has been answered.
        await made.ask(f"GET /api/health/live HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        made.worker = _owner(made.local_port, pid)
        if len(found[made.worker]) < each:
            found[made.worker].append(made)
        else:
            made.close()
        if len(found) == workers and all(len(of_one) == each for of_one in found.values()):
            return [connection for turn in zip(*found.values(), strict=True) for connection in turn]
    raise AssertionError(f"{ATTEMPTS} connections reached {sorted(found)} of {workers} workers of node {node}")


def _owner(local_port: int, pid: int) -> int:
    """Which process of a node holds the other end of a connection."""
    for process in psutil.Process(pid).children(recursive=True):
        for one in process.net_connections(kind="tcp"):
            if one.raddr and one.raddr.port == local_port:
                return int(process.pid)
    raise AssertionError(f"no process of node {pid} holds the connection from port {local_port}")


def request(
    method: str, path: str, *, port: int, headers: Mapping[str, str], body: bytes = b"", open_end: bool = False
) -> bytes:
    """A request as bytes; with `open_end` further headers can follow."""
    named = {"Host": f"{HOST}:{port}", **headers}
    if body:
        named |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {text}\r\n" for name, text in named.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}".encode() + (b"" if open_end else b"\r\n" + body)


def workers_of(connections: Sequence[Connection]) -> list[int]:
    """The processes that are reached."""
    return sorted({connection.worker for connection in connections})
