"""
The tier in Redis: entries that some worker has read, for all of them.

Redis is a heap of hints. Nothing here says that what it gives still holds: that is judged by the tailer's trail, like
everything else. So it may lose everything at any time, keep what is old, or be written to by others; whatever goes
wrong is a miss, and no call takes longer than its deadline. Writing is set-if-newer, so that a worker that was slow
cannot put an old entry over a new one: not a matter of truth, but a miss for everybody until somebody writes again.

Writes are sent in the background and in order of arrival, and dropped (and counted) when too many wait.
Guarded by tests/settings/cache/test_shared.py and tests/guarantees/test_g9.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, cast

from redis.exceptions import NoScriptError, RedisError, ResponseError

from app.domain.errors import Unavailable
from app.domain.scope import Scope
from app.kit.breaker import Breaker
from app.kit.clock import Stopwatch, boot_seconds
from app.kit.coalescer import Coalescer
from app.kit.logs import get_logger
from app.kit.redis_client import RedisClient
from app.log.trail import Trail
from app.settings.cache.codec import POSITION_DIGITS, Codec
from app.settings.cache.counters import Cause, Counters, Losses
from app.settings.cache.entry import Entry

CALLS = 8  # MGETs at a time
CALL_KEYS = 128
WRITES_WAITING = 1_000  # entries; a Redis that takes longer than we fill is no help anyway
MAX_ENTRY_BYTES = 1_048_576  # 1 MiB; larger ones would hold everybody up for longer than PostgreSQL takes
WRITTEN_REMEMBERED = 10_000  # entries whose time in Redis is known, to tell why they are gone
JITTER = 0.1  # of the time to live, so that what was written together does not go together

_spread = random.Random()  # noqa: S311 - keeps entries from going all at once, and hides nothing

_FAILED = (RedisError, OSError, TimeoutError, Unavailable)  # the last: too much waits for it already

# KEYS[1]; ARGV: the sealed entry, which begins with its position; seconds to live. What is there counts only if it
# begins like one of ours. Positions are compared as text of one length: Lua's numbers are too short for them.
_SET_IF_NEWER = f"""
local there = redis.pcall('GETRANGE', KEYS[1], 0, {POSITION_DIGITS - 1})
if type(there) == 'string' and #there == {POSITION_DIGITS} and not string.find(there, '[^0-9]')
    and there > string.sub(ARGV[1], 1, {POSITION_DIGITS}) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
_SCRIPT_DIGEST = hashlib.sha1(_SET_IF_NEWER.encode(), usedforsecurity=False).hexdigest()  # as Redis names scripts

_log = get_logger()


class Shared:
    """Gets and puts entries. Run `run` beside it: it writes, and probes a Redis that does not answer."""

    def __init__(
        self,
        redis: RedisClient,
        *,
        codec: Codec,
        counters: Counters,
        losses: Losses,
        deadline_seconds: float,
        ttl_seconds: int,
        clock: Stopwatch = boot_seconds,
    ) -> None:
        self._redis = redis
        self._codec = codec
        self._counters = counters
        self._losses = losses
        self._deadline = deadline_seconds
        self._ttl = ttl_seconds
        self._clock = clock
        self._script: str | None = None
        self._reads: Coalescer[str | None, Scope, bytes] = Coalescer(self._mget, calls=CALLS, keys=CALL_KEYS)
        self._waiting: dict[str, Entry | Scope] = {}  # by name: what to write, or the scope whose entry to remove
        self._wake = asyncio.Event()
        self._written: dict[str, float] = {}  # by path: when what we wrote expires
        self.breaker = Breaker(clock=clock)

    async def get(self, tenant: str | None, scopes: Sequence[Scope], trail: Trail) -> dict[Scope, Entry]:
        """
        What Redis has of these scopes of one tenant, but for what the trail knows to be outdated.

        Never raises because of Redis. Whoever asked says by `judged` what became of it.
        """
        if self.breaker.is_open:
            self._counters.l2_skipped += len(scopes)
            self._note(scopes, Cause.REDIS_ERROR)
            return {}
        try:
            found = await self._reads.get(tenant, scopes)
        except _FAILED:
            self._note(scopes, Cause.REDIS_ERROR)
            return {}
        entries = {scope: self._opened(scope, sealed, trail) for scope, sealed in found.items()}
        return {scope: entry for scope, entry in entries.items() if entry is not None}

    def put(self, scope: Scope, entry: Entry) -> None:
        """Have an entry written, soon."""
        name = self._codec.name(scope)
        if self.breaker.is_open or (len(self._waiting) >= WRITES_WAITING and name not in self._waiting):
            self._counters.l2_dropped_writes += 1
            return
        self._waiting[name] = entry
        self._wake.set()

    # ---- reading ----

    async def _mget(self, tenant: str | None, scopes: list[Scope]) -> Mapping[Scope, bytes]:
        del tenant  # one call has the names of one tenant only, so that a cluster finds them in one slot
        try:
            values = await self._asked(self._redis.mget([self._codec.name(scope) for scope in scopes]))
        except _FAILED as error:
            self._failed(error)
            raise
        return {scope: value for scope, value in zip(scopes, values, strict=True) if isinstance(value, bytes)}

    def _opened(self, scope: Scope, sealed: bytes | None, trail: Trail) -> Entry | None:
        if sealed is None:
            self._counters.l2_misses += 1
            self._note([scope], self._why_gone(scope.path))
            return None
        entry = self._codec.open(self._codec.name(scope), scope, sealed)
        if entry is None:
            self._counters.l2_junk += 1
            self._remove(scope)  # it would stand in the way of what is newer if it looked like a high position
        if entry is None or (entry.position <= trail.head and trail.last_change(scope.path) > entry.position):
            self._missed(scope)
            return None
        return entry

    def judged(self, scope: Scope, entry: Entry, trail: Trail, *, kept: bool) -> None:
        """The cache has looked at what it got. What is of another history, or of its future, is removed."""
        if kept:
            self._counters.l2_hits += 1
            return
        self._missed(scope)
        if entry.position > trail.head or trail.contradicts(entry.position, entry.mark):
            self._remove(scope)

    def _missed(self, scope: Scope) -> None:
        self._counters.l2_misses += 1
        self._note([scope], Cause.BEHIND_HEAD)

    def _why_gone(self, path: str) -> Cause:
        """We wrote it once: then either its time was over, or Redis had to let it go."""
        expires = self._written.pop(path, None)
        if expires is None:
            return Cause.COLD
        return Cause.EXPIRED if expires <= self._clock() else Cause.EVICTED

    def _note(self, scopes: Sequence[Scope], cause: Cause) -> None:
        for scope in scopes:
            self._losses.also(scope.path, cause)

    # ---- writing ----

    async def run(self) -> None:
        """Write what waits, and while the breaker is open find out when it may close."""
        while True:
            if self.breaker.is_open:
                await asyncio.sleep(self.breaker.seconds_to_probe)
                await self._probe()
                continue
            await self._wake.wait()
            self._wake.clear()
            while self._waiting and not self.breaker.is_open:
                name = next(iter(self._waiting))
                await self._write(name, self._waiting.pop(name))

    async def _probe(self) -> None:
        try:
            await self._asked(cast(Awaitable[Any], self._redis.ping()))
        except _FAILED:
            self.breaker.failed()
        else:
            self.breaker.succeeded()
            _log.info("redis-back")

    async def _write(self, name: str, what: Entry | Scope) -> None:
        try:
            if isinstance(what, Entry):
                await self._set(name, what)
            else:
                await self._asked(self._redis.unlink(name))
        except _FAILED as error:
            self._failed(error)

    async def _set(self, name: str, entry: Entry) -> None:
        sealed = self._codec.seal(name, entry)
        if len(sealed) > MAX_ENTRY_BYTES:
            self._counters.l2_dropped_writes += 1
            return
        ttl = round(self._ttl * _spread.uniform(1 - JITTER, 1 + JITTER))
        written = await self._asked(self._eval(name, sealed, max(1, ttl)))
        self._counters.l2_writes += 1
        if written == 0:
            self._counters.l2_outdated_writes += 1
        else:
            self._remember(entry.path, self._clock() + ttl)

    async def _eval(self, name: str, sealed: bytes, ttl: int) -> Any:
        if self._script is not None:
            try:
                return await self._redis.evalsha(self._script, 1, name, sealed, str(ttl))
            except NoScriptError:  # restarted, or another node of a cluster
                self._script = None
        result = await self._redis.eval(_SET_IF_NEWER, 1, name, sealed, str(ttl))
        self._script = _SCRIPT_DIGEST
        return result

    def _remove(self, scope: Scope) -> None:
        if len(self._waiting) < WRITES_WAITING:
            self._waiting[self._codec.name(scope)] = scope
            self._wake.set()

    def _remember(self, path: str, expires: float) -> None:
        self._written[path] = expires
        if len(self._written) > WRITTEN_REMEMBERED:
            del self._written[next(iter(self._written))]

    async def _asked(self, call: Awaitable[Any]) -> Any:
        """What Redis answers within the deadline."""
        async with asyncio.timeout(self._deadline):
            answer = await call
        if not self.breaker.is_open:
            self.breaker.succeeded()
        return answer

    def _failed(self, error: BaseException) -> None:
        self._counters.l2_errors += 1
        if isinstance(error, ResponseError):  # full, or read-only: it does answer, and what it holds can be read
            return
        before = self.breaker.is_open
        self.breaker.failed()
        if self.breaker.is_open and not before:
            _log.warning("redis-away", error=type(error).__name__)
            self._counters.l2_dropped_writes += len(self._waiting)
            self._waiting.clear()
            self._wake.set()  # the task that writes has to probe now

    async def close(self) -> None:
        """End what is under way."""
        await self._reads.close()
