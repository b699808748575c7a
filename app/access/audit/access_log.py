"""
Writing accesses down: refusals, overrides and reads of secrets, beside the requests that made them.

Theory of operation. What a request noted is put into a ring, and one task for each chain that has something to write
takes it from there: many records in one transaction, in the chain and within the reach of the caller's own tenant. A
chain that cannot be written delays no other.

`best-effort` never delays an answer. What cannot be written stays in the ring and is tried again; what finds no room
is dropped and counted. `strict` lets the answer wait for its records: what finds no room, fails or takes too long is
answered with 503 in place of the answer, and is not tried again, as nobody got to know anything. A record can
therefore tell of an answer that was never given (or stand there twice, when a commit was lost on its way back); an
answer that was given without its record cannot be under `strict`.

Guarded by tests/access/audit/test_accesses.py.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from app.access.audit import store
from app.access.audit.record import PLATFORM, body_of_access
from app.access.audit.ring import Noted, Ring
from app.config import Config
from app.domain.access import EVERYWHERE, Access, Principal, Reach
from app.domain.errors import Unavailable
from app.kit.clock import Clock
from app.kit.database import Database
from app.kit.logs import get_logger

BATCH = 200  # records in one transaction; more would hold the head of the chain, which changes wait for, too long
WRITERS = 2  # connections of the pool that are used at once; requests need the others
RETRY_SECONDS = 1.0  # between two attempts at a chain that cannot be written
QUIET_SECONDS = 60.0  # without anything going wrong, until it counts as well again

_log = get_logger()


class AuditUnavailable(Unavailable):
    """This cannot be written to the audit, so it is not answered; try again."""

    code = "audit-unavailable"


class AccessLog:
    """The accesses of one worker. `writing` opens it; what is noted before or after that is dropped."""

    def __init__(self, *, config: Config, clock: Clock, policy_version: Callable[[], str]) -> None:
        self.mode = config.audit_accesses
        self.written = 0  # records
        self.dropped = 0  # accesses that left no record
        self.failed = 0  # attempts to write
        self.unauthenticated = 0  # requests of nobody known: counted only, as anybody can send any number of them
        self._window_seconds = 0.0 if self.strict else config.audit_window_seconds
        self._timeout_seconds = config.audit_timeout_seconds
        self._capacity = config.audit_ring_records
        self._clock = clock
        self._policy_version = policy_version
        self._open: _Open | None = None
        # By chain, None for what found no room: what went wrong last, and when (by the loop's clock).
        self._troubles: dict[str | None, tuple[str, float]] = {}

    @property
    def strict(self) -> bool:
        """Whether answers wait for their records."""
        return self.mode == "strict"

    @property
    def trouble(self) -> str | None:
        """What goes wrong; None when nothing does. For an open page: how much and of which kind, and not whose."""
        now = asyncio.get_running_loop().time()
        kinds = sorted({what for what, at in self._troubles.values() if now - at < QUIET_SECONDS})
        if not kinds:
            return None
        return f"{', '.join(kinds)}; {self.dropped} dropped, {self.failed} attempts failed"

    @asynccontextmanager
    async def writing(self, database: Database) -> AsyncIterator[None]:
        """Write what is noted during a block; at its end what is left, for as long as the limit lets it."""
        async with asyncio.TaskGroup() as tasks:
            opened = self._open = _Open(database=database, tasks=tasks, ring=Ring(self._capacity))
            try:
                yield
            finally:
                opened.closing = True
                await self._finish(opened)
                self._open = None

    def note(
        self, accesses: Sequence[Access], *, principal: Principal, request_id: str, client: str | None
    ) -> list[Noted]:
        """
        Let accesses of one request be written; equal ones of them once.

        Gives what they wait as. Raises AuditUnavailable under `strict` when there is no room.
        """
        chain, opened = principal.tenant or PLATFORM, self._open
        at, version = self._clock(), self._policy_version()
        different = dict.fromkeys(accesses)
        waiting: list[Noted] = []
        for access in different:
            noted = Noted(
                access=access,
                principal=principal,
                at=at,
                request_id=request_id,
                client=client,
                policy_version=version,
                written=asyncio.get_running_loop().create_future() if self.strict else None,
            )
            held = opened.ring.add(chain, noted) if opened is not None and not opened.closing else None
            if held is not None:
                waiting.append(held)
        if opened is not None:
            self._wake(chain, opened)
        if len(waiting) < len(different):
            self._drop(len(different) - len(waiting))
            if self.strict:
                raise AuditUnavailable
        return waiting

    async def until_written(self, noted: Sequence[Noted]) -> None:
        """Wait for records, if somebody is to. Raises AuditUnavailable when one is not written, or not in time."""
        fates = {one.written for one in noted if one.written is not None}
        if not fates:
            return
        done, late = await asyncio.wait(fates, timeout=self._timeout_seconds)
        if late or not all(fate.result() for fate in done):
            raise AuditUnavailable

    def _wake(self, chain: str, opened: _Open) -> None:
        """See to it that somebody writes what waits for a chain."""
        waiting = opened.ring.waiting(chain)
        if not waiting or opened.closing:
            return
        writer = opened.writers.get(chain)
        if writer is None:
            writer = opened.writers[chain] = _Writer()
            # Not the context of the request that happened to come first: its id would stand in our log lines.
            work = self._write_chain(chain, writer, opened)
            writer.task = opened.tasks.create_task(work, context=contextvars.Context())
        if waiting >= BATCH:
            writer.hurry.set()

    async def _write_chain(self, chain: str, writer: _Writer, opened: _Open) -> None:
        """Write what waits for a chain until nothing does."""
        pause = self._window_seconds
        while opened.ring.waiting(chain):
            await writer.pause(pause)
            async with opened.slots:
                is_written = await self._write(chain, opened.ring.take(chain, BATCH), opened)
            # Under `strict`, whatever waits is somebody who waits.
            pause = self._window_seconds if is_written or self.strict else RETRY_SECONDS
            if opened.closing and not is_written:
                break
        del opened.writers[chain]

    async def _write(self, chain: str, taken: list[Noted], opened: _Open) -> bool:
        """Whether all of them are done with: written, or not to be tried again."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._append(chain, taken, opened.database)
        except (Unavailable, TimeoutError) as error:
            self._failed(chain, error)
            if not self.strict:
                opened.ring.put_back(chain, taken)
                return False
            self._give_up(chain, taken, opened)
            return True
        except Exception as error:  # noqa: BLE001 - one of them cannot be written, now or later; which, is found out
            self._failed(chain, error)
            if len(taken) > 1:
                return all([await self._write(chain, [one], opened) for one in taken])
            self._give_up(chain, taken, opened)
            return True
        self.written += len(taken)
        self._done(chain, taken, opened, written=True)
        self._relax(chain, waiting=opened.ring.size)
        return True

    async def _append(self, chain: str, taken: list[Noted], database: Database) -> None:
        reach = Reach(chain) if chain else EVERYWHERE  # the platform's chain is within nobody else's
        async with database.transaction(reach) as tx:
            await store.append(tx, chain, [body_of_access(one) for one in taken])

    def _failed(self, chain: str, error: Exception) -> None:
        self.failed += 1
        self._worry(chain, type(error).__name__)

    def _give_up(self, chain: str, taken: list[Noted], opened: _Open) -> None:
        self._done(chain, taken, opened, written=False)
        self.dropped += sum(one.count for one in taken)

    def _done(self, chain: str, taken: list[Noted], opened: _Open, *, written: bool) -> None:
        opened.ring.done(chain, len(taken))
        for one in taken:
            one.settle(written=written)

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._worry(None, "NoRoom")

    def _worry(self, chain: str | None, what: str) -> None:
        """Remember what goes wrong; say it once, until it has gone well again or been quiet."""
        is_new = self.trouble is None
        self._troubles[chain] = (what, asyncio.get_running_loop().time())
        if is_new:
            _log.error("audit-accesses-failing", error=what, dropped=self.dropped, failed=self.failed, mode=self.mode)

    def _relax(self, chain: str, *, waiting: int) -> None:
        """This chain is written again, and there is room."""
        if not self._troubles:
            return
        for one in (chain, None):
            self._troubles.pop(one, None)
        if self.trouble is None:
            _log.warning("audit-accesses-written", dropped=self.dropped, failed=self.failed, waiting=waiting)

    async def _finish(self, opened: _Open) -> None:
        """Try once more to write what is left. What is not written by then is lost, and that is logged."""
        for writer in opened.writers.values():
            writer.hurry.set()
        tasks = [writer.task for writer in opened.writers.values() if writer.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._timeout_seconds)
            for task in late:
                task.cancel()
        if opened.ring.size:
            self.dropped += opened.ring.size
            _log.error("audit-accesses-lost", count=opened.ring.size, dropped=self.dropped, failed=self.failed)


class _Open:
    """What there is while accesses are written."""

    def __init__(self, *, database: Database, tasks: asyncio.TaskGroup, ring: Ring) -> None:
        self.database = database
        self.tasks = tasks
        self.ring = ring
        self.writers: dict[str, _Writer] = {}
        self.slots = asyncio.Semaphore(WRITERS)
        self.closing = False


class _Writer:
    """The task that writes one chain, and what cuts its pauses short."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.hurry = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        """Wait for company, unless there is enough of it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.hurry.wait()
        self.hurry.clear()
