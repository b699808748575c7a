"""What operators see of the cache: how often it helps, why it does not, and whether what it knows is fresh."""

from __future__ import annotations

from typing import Literal, cast

import msgspec
from litestar import Response

from app.access.caller import caller_of
from app.domain.access import Action, OperationsResource
from app.kit.http import JSON, ApiRequest, Operation, api, encode
from app.settings.cache.cache import Cache
from app.settings.cache.counters import Cause, Counters
from app.settings.registry import Registry

_NO_STORE = {"cache-control": "no-store"}


class ViewsTier(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Prepared answers."""

    hits: int
    misses: int


class LocalTier(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Entries and prepared answers in this worker."""

    hits: int
    misses: int
    items: int
    bytes: int
    limit_bytes: int
    evictions: int


class RedisTier(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Entries in Redis. While the circuit is `open` it is not asked; `none` means that there is no Redis."""

    circuit: Literal["closed", "open", "none"]
    opened: int
    hits: int
    misses: int
    errors: int
    skipped: int
    junk: int
    writes: int
    outdated_writes: int
    dropped_writes: int


class DatabaseTier(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What had to be read from PostgreSQL: entries, and whole answers past the other tiers."""

    fills: int
    at_once: int


class Tiers(msgspec.Struct, frozen=True, kw_only=True):
    """Fast to slow."""

    views: ViewsTier
    l1: LocalTier
    l2: RedisTier
    postgresql: DatabaseTier


class CacheStats(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Since this worker started. `hitRate` is the percentage of reads that asked nothing of PostgreSQL."""

    hit_rate: float
    availability: float
    avg_response_time_ms: float
    tiers: Tiers


class TailerView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What this worker knows of the feed, and for how long it has known no better."""

    head: int
    floor: int
    fresh: bool
    age_seconds: float | None
    looks: int
    failures: int
    events: int
    resets: int
    last_error: str | None
    listening: bool
    connects: int
    rings: int


class CacheReport(CacheStats, frozen=True, kw_only=True, rename="camel"):
    """The same, and why entries were missed, which tier answered, and what the tailer knows."""

    reads: int
    answered: dict[str, int]
    stale_answers: int
    miss_causes: dict[str, int]
    tailer: TailerView


@api(
    "GET",
    "/api/settings/stats/cache",
    Operation(id="cacheStats", tag="Operations", summary="How often the cache helps", answer=CacheStats, errors=(404,)),
)
async def cache_stats(request: ApiRequest) -> Response[bytes]:
    """Of the worker that answers; every worker counts for itself. Sums over all tenants, that name none."""
    cache = _cache(request, of_tenant=request.user.tenant or "")
    return Response(encode(_stats(cache)), media_type=JSON, headers=_NO_STORE)


@api(
    "GET",
    "/api/operations/cache",
    Operation(
        id="cacheReport", tag="Operations", summary="What the cache does, and why", answer=CacheReport, errors=(404,)
    ),
)
async def cache_report(request: ApiRequest) -> Response[bytes]:
    """Of the worker that answers; every worker counts for itself."""
    cache = _cache(request, of_tenant="")
    counters = cache.counters
    report = CacheReport(
        **{name: getattr(_stats(cache), name) for name in CacheStats.__struct_fields__},
        reads=counters.reads + counters.lane,
        answered={
            "l1": counters.answered_l1 + counters.lane,
            "l2": counters.answered_l2,
            "postgresql": counters.answered_postgresql,
        },
        stale_answers=counters.stale,
        miss_causes={cause.value: getattr(counters, cause.name.lower()) for cause in Cause},
        tailer=_tailer(cache),
    )
    return Response(encode(report), media_type=JSON, headers=_NO_STORE)


HANDLERS = [cache_stats, cache_report]


def _cache(request: ApiRequest, *, of_tenant: str) -> Cache:
    """The cache, for those who may see how the service is doing for a tenant, or all. Raises NotFound."""
    registry = cast(Registry, request.app.state.registry)
    registry.gate.require(caller_of(request), Action.READ, OperationsResource(tenant=of_tenant))
    return registry.hot


def _stats(cache: Cache) -> CacheStats:
    counters = cache.counters
    reads = counters.reads + counters.lane
    return CacheStats(
        hit_rate=_percent(counters.answered_l1 + counters.lane + counters.answered_l2, reads),
        availability=_percent(reads - counters.failures, reads, of_none=100.0),
        # Reads by the fast lane take microseconds and are not timed.
        avg_response_time_ms=round(1000 * counters.seconds / max(1, reads), 4),
        tiers=Tiers(
            views=ViewsTier(
                hits=counters.view_hits + counters.lane - counters.lane_looked_up, misses=counters.view_misses
            ),
            l1=_local(cache),
            l2=_redis(cache, counters),
            postgresql=DatabaseTier(fills=counters.fills, at_once=counters.at_once),
        ),
    )


def _local(cache: Cache) -> LocalTier:
    return LocalTier(
        hits=cache.counters.l1_hits,
        misses=cache.counters.l1_misses,
        items=len(cache.local),
        bytes=cache.local.bytes,
        limit_bytes=cache.local.limit,
        evictions=cache.counters.l1_evictions,
    )


def _redis(cache: Cache, counters: Counters) -> RedisTier:
    shared = cache.shared
    return RedisTier(
        circuit="none" if shared is None else "open" if shared.breaker.is_open else "closed",
        opened=0 if shared is None else shared.breaker.opened,
        hits=counters.l2_hits,
        misses=counters.l2_misses,
        errors=counters.l2_errors,
        skipped=counters.l2_skipped,
        junk=counters.l2_junk,
        writes=counters.l2_writes,
        outdated_writes=counters.l2_outdated_writes,
        dropped_writes=counters.l2_dropped_writes,
    )


def _tailer(cache: Cache) -> TailerView:
    tailer, doorbell = cache.tailer, cache.tailer.doorbell
    age = tailer.age
    return TailerView(
        head=tailer.head,
        floor=tailer.trail.floor,
        fresh=tailer.fresh,
        age_seconds=None if age == float("inf") else round(age, 3),
        looks=tailer.looked.looks,
        failures=tailer.looked.failures,
        events=tailer.looked.events,
        resets=tailer.looked.resets,
        last_error=tailer.looked.last_error,
        listening=doorbell is not None and doorbell.connected,
        connects=0 if doorbell is None else doorbell.connects,
        rings=0 if doorbell is None else doorbell.rings,
    )


def _percent(part: int, whole: int, *, of_none: float = 0.0) -> float:
    return of_none if whole == 0 else round(100 * part / whole, 2)
