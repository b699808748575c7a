"""
Following a feed: each worker knows where it stands, what changed, and how old that knowledge is.

Theory of operation. One task looks at the feed: when the doorbell rings, when somebody wants to know now, and at the
latest every 400 ms, since a ring may be lost. A look reads the events after the head and extends the trail; the time
at which it *began* is when the head was last proven. The age is measured by a clock that also runs while the process
is stopped, so a worker that was paused knows that it is behind (docs/decisions/0014). All looks are made by this one
task: they cannot overtake each other, and however many wait for one, it is made once.

A trail that breaks (events are missing, or the database was restored and this is another history) is dropped, and
everything that was known with it. Guarded by tests/log/test_tailer.py.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec

from app.config import Config
from app.domain.event import Feed
from app.domain.position import Position
from app.kit.clock import Stopwatch, boot_seconds
from app.kit.database import Database, DatabaseUnavailable, open_database
from app.kit.logs import get_logger
from app.kit.tasks import running
from app.log.listener import Listener
from app.log.read import Event, Page, events_after
from app.log.trail import REMEMBERED, UNKNOWN, BrokenTrail, Trail, mark_of

POLL_SECONDS = 0.4  # the longest a lost ring hides an event, short of half the age at which a proof is too old
PROOF_SECONDS = 1.0  # guarantee G2: how old the last proof of the head may be for an answer to count as fresh
LOOK_SECONDS = 1.0  # how long one look may take; PostgreSQL then counts as away
PAGE_EVENTS = 2_000  # read at a time

Read = Callable[[Position, int], Awaitable[Page]]
Subject = Callable[[Event], str | None]
Changed = Callable[[set[str] | None], None]

_log = get_logger()


class Looked(msgspec.Struct):
    """What came of the looks so far."""

    looks: int = 0
    failures: int = 0
    events: int = 0
    resets: int = 0  # trails that broke
    last_error: str | None = None


class Tailer:
    """Follows one feed. Open it with `open_tailer`."""

    def __init__(
        self, read: Read, *, subject: Subject, clock: Stopwatch = boot_seconds, remembered: int = REMEMBERED
    ) -> None:
        self._read = read
        self._subject = subject
        self._clock = clock
        self._remembered = remembered
        self._proven_at = -math.inf
        self._needed_from = -math.inf  # proofs from before it do not count
        self._bell = asyncio.Event()
        self._moved = asyncio.Condition()
        self._next: asyncio.Future[None] | None = None  # the look that has not begun yet
        self._listeners: list[Changed] = []
        self.trail = Trail()
        self.failing = False  # whether the last look failed
        self.looked = Looked()
        self.doorbell: Listener | None = None  # what rings, for whoever wants to know whether it is heard

    # ---- what it knows ----

    @property
    def head(self) -> Position:
        """The last position that is known."""
        return self.trail.head

    @property
    def age(self) -> float:
        """Seconds since it was last proven that the head is the head."""
        return self._clock() - self._proven_at

    @property
    def fresh(self) -> bool:
        """Whether what is known may be answered with as it is."""
        proven_at = self._proven_at
        return self._clock() - proven_at < PROOF_SECONDS and proven_at > self._needed_from

    # ---- what others ask of it ----

    def ring(self) -> None:
        """Something may have been appended."""
        self._bell.set()

    def on_change(self, changed: Changed) -> None:
        """Call `changed` with the subjects of new events, or with None when anything may have changed."""
        self._listeners.append(changed)

    async def look(self) -> None:
        """
        A look that begins after this call, shared by all who wait for it.

        Raises DatabaseUnavailable when it fails.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            self._next.add_done_callback(_retrieve)
            self._bell.set()
        try:
            async with asyncio.timeout(2 * LOOK_SECONDS):  # one may be under way before ours
                await asyncio.shield(self._next)
        except TimeoutError as error:
            raise DatabaseUnavailable from error

    async def written(self) -> None:
        """
        Know what was just committed, before it is acknowledged.

        When the look fails, nothing counts as fresh until one has succeeded: the change is made, and known to nobody.
        """
        committed = self._clock()
        try:
            await self.look()
        except BaseException as error:
            self._needed_from = committed
            if not isinstance(error, DatabaseUnavailable):
                raise

    async def reach(self, position: Position, *, within_seconds: float) -> bool:
        """Wait until a position is known, or for so long; says whether it is."""
        if self.trail.head >= position:
            return True
        self.ring()
        try:
            async with asyncio.timeout(within_seconds), self._moved:
                await self._moved.wait_for(lambda: self.trail.head >= position)
        except TimeoutError:
            return self.trail.head >= position
        return True

    async def require_fresh(self) -> None:
        """Raise DatabaseUnavailable while what is known is too old: for health."""
        if not self.fresh:
            await self.look()

    # ---- the task ----

    async def start(self) -> None:
        """The first look: learn the recent past. Raises DatabaseUnavailable."""
        await self._begin()

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the bell.
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._bell.wait()
            self._bell.clear()
            waiting, self._next = self._next, None
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._look()
            except Exception as error:  # noqa: BLE001 - whatever it was, nothing is proven now, and all can see it
                self._failed(error)
                if waiting is not None and not waiting.done():
                    waiting.set_exception(DatabaseUnavailable())
            else:
                self.failing = False
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)

    def _failed(self, error: Exception) -> None:
        if not self.failing:
            _log.warning("look-failed", error=type(error).__name__)
        self.failing = True
        self.looked.failures += 1
        self.looked.last_error = type(error).__name__

    async def _look(self) -> None:
        began = self._clock()
        self.looked.looks += 1
        while True:
            try:
                proven = await self._advance()
            except BrokenTrail as error:
                _log.error("trail-broken", reason=str(error), head=self.trail.head)
                self.looked.resets += 1
                await self._begin()
                break
            if proven:
                break
        self._proven_at = began
        async with self._moved:
            self._moved.notify_all()

    async def _advance(self) -> bool:
        """Read one page; whether it went up to the head."""
        trail = self.trail
        # The last known event is read again: that its id is still the same proves that this is the same history.
        overlap = min(1, trail.head)
        page = await self._read(Position(trail.head - overlap), PAGE_EVENTS)
        events = [one for one in page.events if one.position > trail.head]
        known = [mark_of(one.id) for one in page.events if one.position == trail.head]
        if page.head < trail.head or (trail.mark and known != [trail.mark]):
            raise BrokenTrail(f"the feed stands at {page.head}, and was another at {trail.head}")
        if not events and page.head > trail.head:
            raise BrokenTrail(f"the feed stands at {page.head}, and nothing follows {trail.head}")
        subjects = [self._subject(event) for event in events]
        trail.extend(
            (event.position, mark_of(event.id), subject) for event, subject in zip(events, subjects, strict=True)
        )
        self.looked.events += len(events)
        if subjects:
            self._tell(None if None in subjects else {one for one in subjects if one is not None})
        return trail.head >= page.head

    async def _begin(self) -> None:
        """Begin a new trail as far back as is remembered, and read it up to the head."""
        began = self._clock()
        self._proven_at = -math.inf
        head = (await self._read(Position(0), 0)).head
        floor = Position(max(0, head - self._remembered))
        page = await self._read(Position(max(0, floor - 1)), PAGE_EVENTS)
        if page.events and page.events[0].position > floor + 1:  # what was before is gone, by retention
            floor = page.events[0].position
        mark = next((mark_of(one.id) for one in page.events if one.position == floor), UNKNOWN)
        self.trail = Trail(floor, mark, remembered=self._remembered)
        self._tell(None)
        while not await self._advance():
            pass
        self._proven_at = began

    def _tell(self, subjects: set[str] | None) -> None:
        for changed in self._listeners:
            changed(subjects)


def _retrieve(future: asyncio.Future[None]) -> None:
    """Nobody may be waiting any more; asyncio complains of errors that nobody has looked at."""
    if not future.cancelled():
        future.exception()


@asynccontextmanager
async def open_tailer(
    url: str, feed: Feed, *, subject: Subject, listener: Listener, config: Config
) -> AsyncIterator[Tailer]:
    """
    A tailer that follows a feed as long as the block lasts, on a connection of its own: requests that keep all pooled
    ones busy must not make it late. Raises DatabaseUnavailable when PostgreSQL does not answer at the start.
    """
    one = msgspec.structs.replace(config, pool_size=1)
    async with open_database(url, config=one) as database:
        tailer = Tailer(_reading(database, feed), subject=subject)
        tailer.doorbell = listener
        listener.on_ring(feed, tailer.ring)
        await tailer.start()
        async with running(tailer.run()):
            yield tailer


def _reading(database: Database, feed: Feed) -> Read:
    async def read(after: Position, limit: int) -> Page:
        return await events_after(database, feed, after, limit=limit)

    return read
