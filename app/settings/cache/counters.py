"""What was answered by which tier, what was missed, and why."""

from __future__ import annotations

import enum
from collections import OrderedDict

import msgspec

REMEMBERED = 10_000  # paths whose loss is remembered, to tell why they are missed


class Tier(enum.StrEnum):
    """Where an answer came from, fast to slow; the slowest that took part counts."""

    LOCAL = "l1"
    REDIS = "l2"
    DATABASE = "postgresql"


class Cause(enum.StrEnum):
    """Why an entry had to be read from PostgreSQL."""

    COLD = "cold"  # never held, as far as is remembered
    EVICTED = "evicted"  # it had to go for want of room, here or in Redis
    EXPIRED = "expired"  # its time in Redis was over
    INVALIDATED = "invalidated"  # it was held here, and changed
    BEHIND_HEAD = "behind-head"  # what Redis held was from before its last change, or of another history
    REDIS_ERROR = "redis-error"  # Redis did not answer, or is not asked for now


class Counters(msgspec.Struct):
    """Plain numbers since the start of this process. One thread counts, so none gets lost."""

    reads: int = 0
    failures: int = 0  # reads for which there was no answer: 503
    seconds: float = 0.0  # that all reads took together
    stale: int = 0  # answers that were labelled stale
    at_once: int = 0  # answers read from PostgreSQL in one piece, past the tiers

    answered_l1: int = 0  # reads by the slowest tier that took part
    answered_l2: int = 0
    answered_postgresql: int = 0

    lane_full: int = 0  # reads that the fast lane answered of what was ready, with 200; they count nowhere else
    lane_not_modified: int = 0  # and with 304
    lane_looked_up: int = 0  # of these, those for which a view was looked up, and counted as hit or miss

    view_hits: int = 0
    view_misses: int = 0
    l1_hits: int = 0  # entries
    l1_misses: int = 0
    l1_evictions: int = 0
    l2_hits: int = 0
    l2_misses: int = 0
    l2_errors: int = 0  # calls that failed or took too long
    l2_skipped: int = 0  # entries not asked for while the breaker was open
    l2_junk: int = 0  # entries that were not as we had written them
    l2_writes: int = 0
    l2_outdated_writes: int = 0  # refused by Redis, which holds a newer entry
    l2_dropped_writes: int = 0  # never sent: too many waited, or the entry was too large

    fills: int = 0  # entries read from PostgreSQL
    cold: int = 0
    evicted: int = 0
    expired: int = 0
    invalidated: int = 0
    behind_head: int = 0
    redis_error: int = 0

    @property
    def lane(self) -> int:
        """Reads that the fast lane answered of what was ready."""
        return self.lane_full + self.lane_not_modified

    def fetched(self, tier: Tier, seconds: float) -> None:
        """One read was answered by the fast lane of what it had fetched."""
        self.reads += 1
        self.seconds += seconds
        self.answered(tier)

    def answered(self, tier: Tier) -> None:
        """One read was answered."""
        name = f"answered_{tier.value}"
        setattr(self, name, getattr(self, name) + 1)

    def missed(self, cause: Cause) -> None:
        """One entry had to be read from PostgreSQL."""
        self.fills += 1
        name = cause.name.lower()
        setattr(self, name, getattr(self, name) + 1)


class Losses:
    """Why what is no longer held was lost, for the last so many paths."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._causes: OrderedDict[str, Cause] = OrderedDict()
        self._remembered = remembered

    def note(self, path: str, cause: Cause) -> None:
        """It was lost for this reason."""
        self._causes[path] = cause
        self._causes.move_to_end(path)
        if len(self._causes) > self._remembered:
            self._causes.popitem(last=False)

    def also(self, path: str, cause: Cause) -> None:
        """The next tier does not have it either, for this reason. It counts unless it was lost here by a change."""
        if cause is not Cause.COLD and self._causes.get(path) is not Cause.INVALIDATED:
            self.note(path, cause)

    def forget(self, path: str) -> None:
        """It is held again."""
        self._causes.pop(path, None)

    def take(self, path: str) -> Cause:
        """Why it was lost, which is then forgotten: it is about to be held again."""
        return self._causes.pop(path, Cause.COLD)
