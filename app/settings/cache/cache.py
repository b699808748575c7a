"""
The tiers together: entries of a chain and all definitions, as of one moment.

Theory of operation (docs/decisions/0014-cache-protocol.md). An entry was read as of a position. It still holds at the
tailer's head if and only if its scope has not changed in between, which the trail knows. So when each entry of a chain
and the definitions hold at the head, they are together what one snapshot of PostgreSQL at that position would give
(guarantee G1). All of them are checked in one step, with no `await` between the first check and the answer. And the
head is the head as of less than a second ago, or it is looked up first (guarantee G2).

What does not hold is read anew and everything is checked again. Where writers are faster than that, the answer is read
from PostgreSQL in one transaction; so is what is not held while the tailer gets no answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec

from app.config import Config
from app.domain.access import EVERYWHERE, Reach
from app.domain.errors import NotFound, SetpointError
from app.domain.position import Position
from app.domain.scope import GLOBAL, Chain, Scope
from app.kit.coalescer import Coalescer
from app.kit.database import Database, DatabaseUnavailable
from app.kit.redis_client import RedisClient
from app.kit.tasks import running
from app.log.tailer import Tailer
from app.settings.cache import store
from app.settings.cache.codec import Codec
from app.settings.cache.counters import Cause, Counters, Losses, Tier
from app.settings.cache.entry import Definitions, Entry, Stamped, View
from app.settings.cache.local import Local
from app.settings.cache.secret import cache_secret
from app.settings.cache.shared import Shared
from app.settings.cache.subjects import DEFINITIONS

ATTEMPTS = 4  # before a chain that keeps changing is read in one transaction
FILLS = 4  # statements at a time; half of the default pool, so that misses leave room for writes
FILL_SCOPES = 64  # per statement
VIEW_BYTES = 1_500  # of Python objects beside the body: the key names up to seven scopes
_SLOWNESS = {tier: rank for rank, tier in enumerate(Tier)}
NEVER = 1e9  # seconds; an age for what was never proven


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the registry held at one position: all definitions, and an entry for each scope that was asked for.

    `stale_seconds` is how long ago the position was last known to be the newest, None when that was just now.
    """

    position: Position
    definitions: Definitions
    entries: tuple[Entry, ...]
    tier: Tier
    stale_seconds: int | None = None

    @property
    def stamps(self) -> tuple[Position, ...]:
        """What tells this content from any other of the same scopes: the positions it was read at."""
        return (self.definitions.position, *(entry.position for entry in self.entries))


class Cache:
    """Answers what the registry holds. Open it with `open_cache`."""

    def __init__(
        self, *, database: Database, tailer: Tailer, redis: RedisClient | None, codec: Codec, config: Config
    ) -> None:
        self._database = database
        self.tailer = tailer
        self.counters = Counters()
        self.losses = Losses()
        self.local = Local(config.l1_bytes, evicted=self._evicted)
        self.shared = None if redis is None else self._shared(redis, codec, config)
        self._stale_limit = config.stale_if_error_seconds
        # Needed by every read, and few: always held, whatever the limit of the local tier.
        self._definitions: Definitions | None = None
        self._global: Entry | None = None
        self._fills: Coalescer[str | None, Scope | str, Stamped] = Coalescer(self._load, calls=FILLS, keys=FILL_SCOPES)
        tailer.on_change(self._changed)

    def _shared(self, redis: RedisClient, codec: Codec, config: Config) -> Shared:
        return Shared(
            redis,
            codec=codec,
            counters=self.counters,
            losses=self.losses,
            deadline_seconds=config.redis_timeout_seconds,
            ttl_seconds=config.redis_ttl_seconds,
        )

    async def moment(self, chain: Chain, *, reach: Reach) -> Moment:
        """
        The definitions and the entries of a chain, all of one position.

        Raises NotFound when the tenant is out of reach, DatabaseUnavailable when neither a tier nor PostgreSQL has it.
        """
        began = time.perf_counter()
        found = self.held(chain, reach=reach)
        if found is not None:
            self.counters.seconds += time.perf_counter() - began
            return found
        self.counters.reads += 1
        try:
            found = await self._from_tiers(chain)
            if found is None:
                self.counters.at_once += 1
                found = await self._at_once(chain, reach=reach)
        except SetpointError:
            self.counters.failures += 1
            raise
        self.counters.seconds += time.perf_counter() - began
        self.counters.answered(found.tier)
        return found

    def held(self, chain: Chain, *, reach: Reach) -> Moment | None:
        """
        The same without waiting for anything; None when something has to be waited for.

        Raises NotFound when the tenant is out of reach.
        """
        tenant = chain[-1].tenant
        # Row-level security binds what is read, and this was read already: the same lock, made of the same reach.
        if tenant is not None and reach not in (EVERYWHERE, tenant):
            raise NotFound
        if not self.tailer.fresh:
            return None
        got: dict[str, Entry] = {}
        missing = self._missing(chain, got)
        self.counters.l1_hits += len(got)
        self.counters.l1_misses += len(missing)
        found = None if missing else self._local_moment(chain, got)
        if found is not None:
            self.counters.reads += 1
            self.counters.answered_l1 += 1
        return found

    def peek(self, chain: Chain) -> Moment | None:
        """What `held` gives, with nothing counted. The chain is within the reach of whoever asks."""
        got: dict[str, Entry] = {}
        if not self.tailer.fresh or self._missing(chain, got):
            return None
        return self._local_moment(chain, got)

    async def fetch(self, chain: Chain) -> Moment | None:
        """
        What `moment` gives, with what is asked of the tiers counted, and not the read. The chain is within reach.

        None when it has to be read in one piece. Raises DatabaseUnavailable.
        """
        return await self._from_tiers(chain)

    def _local_moment(self, chain: Chain, got: dict[str, Entry]) -> Moment | None:
        """The moment of the head, of entries that hold there; None when the definitions do not."""
        definitions = self._definitions_that_hold()
        if definitions is None:
            return None
        return Moment(
            position=self.tailer.head,
            definitions=definitions,
            entries=tuple(got[scope.path] for scope in chain),
            tier=Tier.LOCAL,
        )

    def view(self, key: Hashable, moment: Moment, build: Callable[[], tuple[bytes, str]]) -> View:
        """
        The bytes and the tag of an answer, made of a moment by `build` unless they are held.

        The key says everything else that they depend on: the scopes, the keys selected, what the caller is cleared
        for. It never says that the caller may have them: whoever asks has passed the gate just now (guarantee G11).
        """
        stamps = moment.stamps
        held: View | None = self.local.get(key)
        if held is not None and held.stamps == stamps:
            self.counters.view_hits += 1
            return held
        self.counters.view_misses += 1
        body, tag = build()
        made = View(stamps=stamps, body=body, tag=tag)
        self.local.put(key, made, cost=VIEW_BYTES + len(body))
        return made

    async def _from_tiers(self, chain: Chain) -> Moment | None:
        """The moment of the tailer's head; None when it cannot be had from the tiers."""
        got: dict[str, Entry] = {}
        trail = self.tailer.trail
        tier = Tier.LOCAL
        for _ in range(ATTEMPTS):
            stale_seconds = await self._stale_seconds()
            if stale_seconds is not None and stale_seconds > self._stale_limit:
                return None
            if self.tailer.trail is not trail:  # another history: nothing of before can be judged by it
                got.clear()
                trail = self.tailer.trail
            missing = self._missing(chain, got)
            definitions = self._definitions_that_hold()
            if not missing and definitions is not None:
                self.counters.stale += stale_seconds is not None
                return Moment(
                    position=trail.head,
                    definitions=definitions,
                    entries=tuple(got[scope.path] for scope in chain),
                    tier=tier,
                    stale_seconds=stale_seconds,
                )
            asked = await self._fetch(missing, got, redis_only=stale_seconds is not None)
            if asked is None:
                return None
            tier = max(tier, asked, key=_SLOWNESS.__getitem__)
        return None

    async def _stale_seconds(self) -> int | None:
        """None once the head is proven; else for how many seconds it has not been."""
        tailer = self.tailer
        if not tailer.fresh and not tailer.failing:
            with suppress(DatabaseUnavailable):  # the tailer is failing from now on, and nobody waits for it again
                await tailer.look()
        return None if tailer.fresh else max(1, math.ceil(min(tailer.age, NEVER)))

    # ---- what is held ----

    def _missing(self, chain: Chain, got: dict[str, Entry]) -> list[Scope]:
        """Take what holds into `got`; gives the scopes whose entries do not, or are not there."""
        missing = []
        for scope in chain:
            path = scope.path
            entry = got.get(path)
            if entry is None:
                entry = self._global if scope is GLOBAL else self.local.get(path)
            if entry is not None and self._holds(path, entry):
                got[path] = entry
            else:
                got.pop(path, None)
                missing.append(scope)
        return missing

    def _holds(self, subject: str, thing: Stamped) -> bool:
        """Whether what was good up to some position still is at the head."""
        trail = self.tailer.trail
        if trail.last_change(subject) > thing.good:
            return False
        thing.good = trail.head
        return True

    def _definitions_that_hold(self) -> Definitions | None:
        definitions = self._definitions
        return definitions if definitions is not None and self._holds(DEFINITIONS, definitions) else None

    def _changed(self, subjects: set[str] | None) -> None:
        """What the tailer found changed takes no more room."""
        if subjects is None:
            self.local.clear()
            self._definitions = self._global = None
            return
        for subject in subjects:
            if self.local.drop(subject):
                self.losses.note(subject, Cause.INVALIDATED)

    def _evicted(self, key: object) -> None:
        self.counters.l1_evictions += 1
        if isinstance(key, str):
            self.losses.note(key, Cause.EVICTED)

    # ---- what is not ----

    async def _fetch(self, missing: Sequence[Scope], got: dict[str, Entry], *, redis_only: bool) -> Tier | None:
        """Read what is missing from the next tiers; gives the slowest that was asked, None when it is not to be had."""
        asked = None
        if missing and self.shared is not None:
            await self._fetch_from_redis(missing, got, self.shared)
            missing = [scope for scope in missing if scope.path not in got]
            asked = Tier.REDIS
        if not missing and self._definitions_that_hold() is not None:
            return asked
        if redis_only:
            return None
        await self._fetch_from_postgresql(missing, got)
        return Tier.DATABASE

    async def _fetch_from_redis(self, missing: Sequence[Scope], got: dict[str, Entry], shared: Shared) -> None:
        scopes = [scope for scope in missing if scope is not GLOBAL]
        if scopes:
            found = await shared.get(scopes[0].tenant, scopes, self.tailer.trail)
            await self._judge(list(found.values()), got)
            for scope, entry in found.items():
                shared.judged(scope, entry, self.tailer.trail, kept=scope.path in got)

    async def _fetch_from_postgresql(self, missing: Sequence[Scope], got: dict[str, Entry]) -> None:
        found: dict[Scope | str, Stamped | None] = {}
        if self._definitions_that_hold() is None:
            found |= await self._fills.get(None, [DEFINITIONS])
        for tenant in {scope.tenant for scope in missing}:
            found |= await self._fills.get(tenant, [scope for scope in missing if scope.tenant == tenant])
        await self._judge([thing for thing in found.values() if thing is not None], got)

    async def _judge(self, things: Sequence[Stamped], got: dict[str, Entry]) -> None:
        """Keep what was read, if the trail can judge it. What is newer than the head waits for the tailer."""
        if any(thing.position > self.tailer.head for thing in things):
            with suppress(DatabaseUnavailable):  # the tailer is failing now, and the next round sees it
                await self.tailer.look()
        trail = self.tailer.trail
        for thing in things:
            if trail.covers(thing.position, thing.mark):
                self._keep(thing, got)

    def _keep(self, thing: Stamped, got: dict[str, Entry]) -> None:
        if isinstance(thing, Definitions):
            self._definitions = thing
        elif isinstance(thing, Entry):
            got[thing.path] = thing
            self.losses.forget(thing.path)
            if thing.path == GLOBAL.path:
                self._global = thing
            else:
                self.local.put(thing.path, thing, cost=thing.cost)

    async def _load(self, tenant: str | None, keys: list[Scope | str]) -> dict[Scope | str, Stamped]:
        """What PostgreSQL says, of one tenant's scopes or of what belongs to none."""
        scopes = [key for key in keys if isinstance(key, Scope)]
        found: dict[Scope | str, Stamped] = {}
        async with self._database.connection() as connection:
            if len(scopes) < len(keys):
                found[DEFINITIONS] = await store.definitions(connection)
            entries = await store.entries(connection, scopes) if scopes else {}
        for scope in scopes:
            found[scope] = entries[scope.path]
            self.counters.missed(self.losses.take(scope.path))
            if self.shared is not None and scope is not GLOBAL:
                self.shared.put(scope, entries[scope.path])
        return found

    async def _at_once(self, chain: Chain, *, reach: Reach) -> Moment:
        """Everything from PostgreSQL, in one transaction."""
        async with self._database.moment(reach) as connection:
            definitions = await store.definitions(connection)
            entries = await store.entries(connection, chain)
        return Moment(
            position=definitions.position,
            definitions=definitions,
            entries=tuple(entries[scope.path] for scope in chain),
            tier=Tier.DATABASE,
        )

    async def close(self) -> None:
        """End what is under way."""
        await self._fills.close()
        if self.shared is not None:
            await self.shared.close()


@asynccontextmanager
async def open_cache(
    *, database: Database, tailer: Tailer, redis: RedisClient | None, config: Config
) -> AsyncIterator[Cache]:
    """A cache for the length of a block; without Redis what is not held here comes from PostgreSQL."""
    cache = Cache(database=database, tailer=tailer, redis=redis, codec=Codec(cache_secret(config)), config=config)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(cache.close)
        if cache.shared is not None:
            await stack.enter_async_context(running(cache.shared.run()))
        yield cache
