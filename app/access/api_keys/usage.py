"""When keys were used last: noted in memory by requests, written down once a minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.access.api_keys import store
from app.access.api_keys.store import WRITE_SECONDS
from app.domain.access import EVERYWHERE
from app.kit.database import Database
from app.kit.logs import get_logger
from app.kit.tasks import running

LAST_WRITE_SECONDS = 2.0  # how long the end of a worker waits for it

_log = get_logger()


class KeyUsage:
    """The last uses that are not written down yet. `failures` counts writes that did not happen, and were kept."""

    def __init__(self, database: Database) -> None:
        self.failures = 0
        self.latest: dict[str, float] = {}  # by key, in seconds since the epoch; requests write here
        self._database = database

    async def write(self) -> None:
        """Write down what was noted; what cannot be written is kept for the next time."""
        uses, self.latest = self.latest, {}
        if not uses:
            return
        try:
            async with self._database.transaction(EVERYWHERE) as tx:  # keys of all tenants, by nobody's order
                await store.note_uses(tx, uses)
        except Exception as error:  # noqa: BLE001 - no request fails for it, and it is tried again
            self.failures += 1
            self.latest = uses | self.latest
            _log.error("api-key-usage-not-written", keys=len(uses), error=type(error).__name__)

    async def run(self) -> None:
        """Write once a minute."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await self.write()


@asynccontextmanager
async def writing_usage(usage: KeyUsage) -> AsyncIterator[KeyUsage]:
    """Uses are written down while the block runs, and once more when it ends."""
    try:
        async with running(usage.run()):
            yield usage
    finally:
        try:
            async with asyncio.timeout(LAST_WRITE_SECONDS):
                await usage.write()
        except TimeoutError:
            _log.error("api-key-usage-not-written", keys=len(usage.latest), error="TimeoutError")
