"""
Hearing the doorbell: LISTEN on a connection of its own, and what rings when it is lost.

A notification is a hint: it may be lost with the connection, and nobody says so. So everybody is rung after each
connect, a heartbeat finds a link that is dead without a word, and who is rung also looks without being rung
(app/log/tailer.py). The connection is not one of the pool: LISTEN is state of a session, and pooled connections hold
none. Guarded by tests/log/test_listener.py.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from app.domain.event import Feed
from app.kit.logs import get_logger
from app.kit.tasks import running
from app.log.append import CHANNEL

HEARTBEAT_SECONDS = 2.0  # between two questions to a silent connection
ANSWER_SECONDS = 1.0  # how long connecting, and the answer to one, may take; then the link is dead
FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS = 0.05, 2.0  # between attempts to connect; the poll bridges the gap

# The last: a connection that has been told its end, and is not closed yet, takes no heartbeat.
_LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_log = get_logger()
_spread = random.Random()  # noqa: S311 - keeps workers from coming all at once, and hides nothing


class Listener:
    """Rings for whoever wants to hear of a feed. Open it with `open_listener`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._bells: dict[str, list[Callable[[], None]]] = {}
        self.connected = False
        self.connects = 0  # since the start; one more than there were losses
        self.rings = 0  # notifications that arrived

    def on_ring(self, feed: Feed, bell: Callable[[], None]) -> None:
        """Call `bell` when something was appended to a feed, or may have been."""
        self._bells.setdefault(str(feed.value), []).append(bell)

    async def run(self) -> None:
        """Listen, and connect again whenever that ends, until cancelled."""
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            before = self.connects
            try:
                await self._listen()
            except _LOST as error:
                _log.warning("listener-lost", error=type(error).__name__)
            finally:
                self.connected = False
            if self.connects > before:
                backoff = FIRST_BACKOFF_SECONDS
                continue  # it did work: at once once more
            await asyncio.sleep(backoff * _spread.uniform(0.5, 1.0))
            backoff = min(2 * backoff, LAST_BACKOFF_SECONDS)

    async def _listen(self) -> None:
        lost = asyncio.Event()
        connection = await asyncpg.connect(
            self._url, timeout=ANSWER_SECONDS, server_settings={"application_name": "setpoint-listener"}
        )
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._heard)
            self.connected = True
            self.connects += 1
            self._ring_all()  # what was appended while nobody listened has rung for nobody
            while not await _is_set_within(lost, HEARTBEAT_SECONDS):
                await connection.execute("SELECT 1", timeout=ANSWER_SECONDS)
        finally:
            connection.terminate()

    def _heard(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        del connection, pid, channel
        self.rings += 1
        for bell in self._bells.get(str(payload), ()):
            bell()

    def _ring_all(self) -> None:
        for bells in self._bells.values():
            for bell in bells:
                bell()


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):  # not wait_for, which may swallow a cancellation before Python 3.12
            await event.wait()
    except TimeoutError:
        return False
    return True


@asynccontextmanager
async def open_listener(url: str) -> AsyncIterator[Listener]:
    """A listener that listens as long as the block lasts; PostgreSQL need not answer when it begins."""
    listener = Listener(url)
    async with running(listener.run()):
        yield listener
