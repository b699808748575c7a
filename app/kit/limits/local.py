"""The buckets of one worker, by who asks; those that were used longest ago go first when there are too many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from app.kit.clock import Ticks
from app.kit.limits.rate import Rate

MAX_BUCKETS = 20_000  # about 5 MB; more callers than that within a window are too many for one worker anyway


class LocalBuckets:
    """
    Buckets of one rate.

    `take` and `look` give what is spare after one more token: less than nothing when there is none, and then none is
    taken (app/kit/limits/rate.py). A caller without a bucket has a full one.
    """

    def __init__(self, rate: Rate, *, ticks: Ticks, max_buckets: int = MAX_BUCKETS) -> None:
        self.rate = rate
        self._ticks = ticks
        self._max_buckets = max_buckets
        self.full_at: OrderedDict[Hashable, int] = OrderedDict()
        self._interval, self._window = rate.interval, rate.window

    def __len__(self) -> int:
        return len(self.full_at)

    def take(self, who: Hashable) -> int:
        """Take one token, if there is one."""
        now = self._ticks()
        buckets = self.full_at
        # As rate.full_after_one says it; a call would take a hot read 0.1 µs.
        full_at, most = buckets.get(who, 0), now + self._window
        after = (full_at if now < full_at <= most else now) + self._interval
        spare = most - after
        if spare >= 0:
            buckets[who] = after
        buckets.move_to_end(who)  # who is refused is remembered as well
        if len(buckets) > self._max_buckets:
            buckets.popitem(last=False)
        return spare

    def look(self, who: Hashable) -> int:
        """What taking one would give."""
        full_at = self.full_at.get(who)
        if full_at is None:
            return self._window - self.rate.interval
        now = self._ticks()
        return now + self._window - self.rate.full_after_one(full_at, now)

    def follow(self, who: Hashable, spare: int) -> None:
        """Take over what another bucket of this rate gave when a token was taken from it, or was not to be had."""
        after = self._ticks() + self._window - spare
        self.full_at[who] = after if spare >= 0 else after - self.rate.interval
        self.full_at.move_to_end(who)
        if len(self.full_at) > self._max_buckets:
            self.full_at.popitem(last=False)

    def clear(self) -> None:
        """Forget everybody."""
        self.full_at.clear()
