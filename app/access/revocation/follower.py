"""
Following the changes of credentials, in each worker.

Theory of operation. Every revocation and every change of an API key has a position in the settings feed, and positions
become visible in order. So a worker asks for the feed's head a few times a second, and when it has moved, for what
changed behind the position it stands at: nothing is missed, whatever becomes of notifications. `ring` asks at once; who
changes something has its own worker catch up before the answer leaves. After a failure everything is read anew: rows
of past revocations are cleared away after a day, and it may have lasted longer.

Without PostgreSQL what is known goes on to hold: reads outlive it. That is said in the health of the node once it has
lasted `revocation_stale_seconds`, counted (`failures`), and with `revocation_stale=refuse` the end of all requests.
Guarded by tests/contract/test_abuse_credentials.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from app.access.api_keys import store as key_store
from app.access.revocation import store
from app.access.revocation.standing import Standing
from app.config import Config
from app.domain.access import EVERYWHERE
from app.domain.position import Position
from app.kit.clock import Clock
from app.kit.database import Database
from app.kit.logs import get_logger
from app.kit.tasks import running
from app.log.position import current_position

_log = get_logger()


class Follower:
    """Keeps a Standing up to date. `looks` and `failures` count; `forget_keys` is told which API keys changed."""

    def __init__(
        self,
        standing: Standing,
        *,
        database: Database,
        clock: Clock,
        config: Config,
        forget_keys: Callable[[Collection[str] | None], None],
    ) -> None:
        self.looks = 0
        self.failures = 0
        self._standing = standing
        self._database = database
        self._clock = clock
        self._config = config
        self._forget_keys = forget_keys
        self._position: Position | None = None  # None: nothing is known to hold on to
        self._looked_at = time.monotonic()
        self._bell = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    def ring(self) -> None:
        """Something may have changed: look soon."""
        self._bell.set()

    @property
    def stale(self) -> bool:
        """Whether it has been too long since the last successful look."""
        return time.monotonic() - self._looked_at > self._config.revocation_stale_seconds

    @property
    def trouble(self) -> str | None:
        """What the health of the node is to say; nothing while all is well."""
        return "Revocations may have been missed: PostgreSQL has not told of any for a while." if self.stale else None

    async def catch_up(self) -> None:
        """Know all that was committed before this was called. Raises what the database raises."""
        async with self._one_at_a_time:
            started = time.monotonic()
            if self._position is None:
                await self._read_everything()
            else:
                await self._read_changes(self._position)
            self._standing.drop_lapsed(now=self._clock())
            self.looks += 1
            self._looked_at = started
            self._standing.closed = False

    async def try_to_catch_up(self) -> None:
        """The same; a failure is counted, and leaves it to the next look."""
        try:
            await self.catch_up()
        except Exception as error:  # noqa: BLE001 - whatever it is, following must go on, and says that it did not
            self._position = None
            self.failures += 1
            self._standing.closed = self.stale and self._config.revocation_stale == "refuse"
            _log.error("revocations-not-followed", error=type(error).__name__, stale=self.stale)

    async def run(self) -> None:
        """Look again and again."""
        while True:
            try:
                async with asyncio.timeout(self._config.revocation_poll_seconds):
                    await self._bell.wait()
            except TimeoutError:
                pass
            self._bell.clear()
            await self.try_to_catch_up()

    async def _read_everything(self) -> None:
        async with self._database.moment(EVERYWHERE) as connection:
            head = await current_position(connection)
            revocations = await store.in_force(connection, now=self._clock())
        self._standing.replace(revocations, now=self._clock())
        self._forget_keys(None)
        self._position = head

    async def _read_changes(self, after: Position) -> None:
        async with self._database.connection() as connection:
            head = await current_position(connection)
        if head == after:
            return
        if head < after:  # a database that was restored: what was learned after that moment is no longer so
            await self._read_everything()
            return
        async with self._database.moment(EVERYWHERE) as connection:
            head = await current_position(connection)
            revocations = await store.changed(connection, after=after)
            keys = await key_store.changed(connection, after=after)
        if keys:
            self._forget_keys(keys)
        if keys or revocations:
            self._standing.learn(revocations, now=self._clock())
        self._position = head


@asynccontextmanager
async def following(follower: Follower) -> AsyncIterator[Follower]:
    """Everything known at once, and followed while the block runs. Raises what the database raises."""
    await follower.catch_up()
    async with running(follower.run()):
        yield follower
