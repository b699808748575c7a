"""What every use case of the registry works with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec

from app.access.audit.record import Signature
from app.access.caller import Caller
from app.access.gate import Gate
from app.config import Config
from app.kit.clock import Clock
from app.kit.database import Connection, Database
from app.settings.cache.cache import Cache


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """
    The collaborators of the registry's use cases, opened in app/main.py.

    There is no cache where nothing is read by way of it: whoever only seeds a registry has none.
    """

    database: Database
    gate: Gate
    clock: Clock
    config: Config
    cache: Cache | None = None

    @property
    def hot(self) -> Cache:
        """The cache, for those who read by way of it."""
        if self.cache is None:
            raise LookupError("this registry was opened without a cache")
        return self.cache

    @asynccontextmanager
    async def change(self, caller: Caller) -> AsyncIterator[Connection]:
        """
        The transaction of a change, within the caller's reach.

        When the block is left, the change is committed, and this worker's cache knows of it (guarantee G2). Whoever
        changed the registry by another transaction would be answered from before it for a moment.
        """
        async with self.database.transaction(caller.reach) as tx:
            yield tx
        if self.cache is not None:
            await self.cache.tailer.written()

    def signature(self, caller: Caller, *, at: datetime) -> Signature:
        """How the audit names who made a change, and by which rules."""
        return caller.signature(at=at, policy_version=self.gate.policy.version)
