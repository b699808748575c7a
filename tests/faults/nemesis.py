"""What goes wrong in a run, in an order that a seed decides; and when it may be felt."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from redis.asyncio import Redis

from tests.faults.history import Window
from tests.faults.servers import Servers

# After PostgreSQL answers again, until every worker has been seen to answer as usual. A look is due within 0.4 s; the
# rest is for a machine on which everything else is tested at the same time.
RECOVERY_SECONDS = 5.0
LEAST_RECOVERY_SECONDS = 1.0  # also when all have: another of its connections may not have been missed yet
PULSE_SECONDS = 0.1  # between two questions to PostgreSQL
STALL_SECONDS = 0.5  # without an answer: whatever the reason, it does not answer, or the machine gets nothing done
LISTENERS_ENDED_EVERY = 0.2  # seconds
TWO_AT_ONCE = 0.4  # of the times
STATEMENTS = {"listeners-ended", "backends-ended"}  # made by statements, so PostgreSQL has to be there
LIMIT = 30.0  # seconds for PostgreSQL to answer again
OUR_NAME = {"application_name": "faults"}  # which is ended by nobody

_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE """
_LISTENERS = f"{_END} 'setpoint-listener'"
_ALL = f"{_END} 'setpoint%'"
_UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Nemesis:
    """Breaks things one after the other, and mends each before it breaks the next."""

    def __init__(
        self, servers: Servers, workers: Sequence[int], rng: random.Random, *, usual_since: Callable[[float], bool]
    ) -> None:
        self._servers = servers
        self._workers = workers
        self._rng = rng
        self._usual_since = usual_since  # whether each worker has answered as usual what was asked after that time
        self._redis = Redis.from_url(servers.valkey.url, socket_timeout=LIMIT)
        self._seen: dict[bytes, bytes] = {}
        self.away: list[Window] = []
        self.done: Counter[str] = Counter()
        self.slowest_recovery = 0.0  # seconds
        self.kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "redis-flushed": self._flush,
            "redis-hung": self._hang,
            "redis-killed": self._kill,
            "redis-full": self._fill,
            "redis-junk": self._junk,
            "listeners-ended": self._end_listeners,
            "backends-ended": self._end_backends,
            "worker-stopped": self._stop_worker,
        }
        if servers.own_postgresql:
            self.kinds["postgresql-fast"] = lambda: self._restart(signal.SIGINT)
            self.kinds["postgresql-immediate"] = lambda: self._restart(signal.SIGQUIT)

    async def faults(self, names: Sequence[str]) -> AsyncIterator[None]:
        """Do what is named, again and again in ever new orders, now and then two at once; yields after each time."""
        while True:
            waiting = self._rng.sample(names, len(names))
            while waiting:
                together = [waiting.pop()]
                if waiting and self._rng.random() < TWO_AT_ONCE and self._agree(together[0], waiting[-1]):
                    together.append(waiting.pop())
                await asyncio.sleep(self._rng.uniform(0.2, 1.0))
                await asyncio.gather(*(self.kinds[name]() for name in together))
                self.done.update(together)
                yield

    @staticmethod
    def _agree(one: str, other: str) -> bool:
        """Whether two can happen at once: no two may break the same thing."""
        return one.partition("-")[0] != other.partition("-")[0] and {one, other}.isdisjoint(STATEMENTS)

    async def close(self) -> None:
        """Hang up."""
        await self._redis.aclose()

    @asynccontextmanager
    async def _away(self) -> AsyncIterator[None]:
        """PostgreSQL is away in the block, and then until nobody feels it any more, but no longer than is allowed."""
        began, at = time.monotonic(), len(self.away)
        self.away.append(Window(began, float("inf")))
        yield
        back = time.monotonic()
        while not self._usual_since(back) and time.monotonic() < back + RECOVERY_SECONDS:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        recovered = time.monotonic()
        self.slowest_recovery = max(self.slowest_recovery, recovered - back)
        self.away[at] = Window(began, max(recovered, back + LEAST_RECOVERY_SECONDS))

    # ---- Redis: none of this may be felt ----

    async def _flush(self) -> None:
        for _ in range(self._rng.randint(3, 10)):
            await self._redis.flushall()
            await asyncio.sleep(0.1)

    async def _hang(self) -> None:
        with self._servers.valkey.paused():
            await asyncio.sleep(self._rng.uniform(0.5, 3.0))

    async def _kill(self) -> None:
        self._servers.valkey.kill()
        await asyncio.sleep(self._rng.uniform(0.0, 1.5))
        await asyncio.to_thread(self._servers.valkey.start)

    async def _fill(self) -> None:
        await self._redis.config_set("maxmemory", "1")
        await asyncio.sleep(self._rng.uniform(0.5, 1.5))
        await self._redis.config_set("maxmemory", "0")

    async def _junk(self) -> None:
        for _ in range(10):
            names = [name async for name in self._redis.scan_iter(match="setpoint:1:*", count=1_000)]
            # Not one by one: GET complains of what is no string, MGET does not.
            found = dict(zip(names, await self._redis.mget(names), strict=True)) if names else {}
            values = {name: value for name, value in found.items() if value}
            for name, value in values.items():
                await self._spoil(name, value, other=self._rng.choice(list(values.values())))
                self._seen.setdefault(name, value)
            await asyncio.sleep(0.1)

    async def _spoil(self, name: bytes, value: bytes, *, other: bytes) -> None:
        kind, at = self._rng.randrange(7), self._rng.randrange(len(value))
        match kind:
            case 0:
                await self._redis.set(name, self._rng.randbytes(200))
            case 1:
                await self._redis.set(name, value[:at])
            case 2:
                await self._redis.set(name, value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :])
            case 3:
                await self._redis.set(name, b"9" * 20 + value[20:])
            case 4:
                await self._redis.set(name, other)
            case 5:  # an old one, put back
                await self._redis.set(name, self._seen.get(name, value))
            case _:
                await self._redis.pipeline(transaction=True).delete(name).rpush(name, "a list").execute()

    # ---- PostgreSQL ----

    async def _end_listeners(self) -> None:
        """The doorbell is lost, again and again; no window: the poll has to do."""
        async with self._connection() as connection:
            for _ in range(self._rng.randint(8, 20)):
                await connection.execute(_LISTENERS)
                await asyncio.sleep(LISTENERS_ENDED_EVERY)

    async def _end_backends(self) -> None:
        async with self._connection() as connection, self._away():
            for _ in range(self._rng.randint(1, 4)):
                await connection.execute(_ALL)
                await asyncio.sleep(self._rng.uniform(0.05, 0.4))

    async def _restart(self, number: signal.Signals) -> None:
        async with self._away():
            await asyncio.to_thread(self._servers.end_postgresql, number)
            await asyncio.sleep(self._rng.uniform(0.0, 2.0))
            await asyncio.to_thread(self._servers.start_postgresql)
            async with self._connection() as connection:
                await connection.execute("SELECT 1")

    # ---- a worker ----

    async def _stop_worker(self) -> None:
        """
        A process that does not know that time passes. What it locked in a transaction stays locked: others' writes may
        wait for it in vain.
        """
        pid = self._rng.choice(self._workers)
        began = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(self._rng.uniform(1.2, 2.2))
        finally:
            os.kill(pid, signal.SIGCONT)
        self.away.append(Window(began, time.monotonic() + LEAST_RECOVERY_SECONDS, reads_go_on=True))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        async with asyncio.timeout(LIMIT):
            while True:
                try:
                    connection = await asyncpg.connect(self._servers.owner_url, server_settings=OUR_NAME)
                    break
                except _UNREACHABLE:
                    await asyncio.sleep(0.02)
        try:
            yield connection
        finally:
            connection.terminate()


class Pulse:
    """
    Asks PostgreSQL all the time, and notes when no answer came for too long. Without this nobody could tell a node that
    calls PostgreSQL away without reason from a machine on which everything stands still.
    """

    def __init__(self, owner_url: str) -> None:
        self._owner_url = owner_url
        self.stalls: list[Window] = []

    async def run(self) -> None:
        """Ask until cancelled."""
        connection = None
        last = time.monotonic()
        while True:
            try:
                if connection is None:
                    connection = await asyncpg.connect(self._owner_url, timeout=5.0, server_settings=OUR_NAME)
                await connection.execute("SELECT 1", timeout=5.0)
            except _UNREACHABLE:
                connection = None
            else:
                now = time.monotonic()
                if now - last > PULSE_SECONDS + STALL_SECONDS:
                    self.stalls.append(Window(last, now + LEAST_RECOVERY_SECONDS))
                last = now
            await asyncio.sleep(PULSE_SECONDS)
