"""
Not asking a part that does not answer.

Closed: everybody asks. After so many failures in a row it opens: nobody asks any more, and one probe at a time finds
out when to close it again, at growing intervals. It never lets a request be the probe: what a request would wait for
is what the breaker is there to save. Guarded by tests/kit/test_breaker.py.
"""

from __future__ import annotations

import random

from app.kit.clock import Stopwatch, boot_seconds

FAILURES = 5  # in a row; one or two happen to any network
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.25, 5.0  # between probes, doubling

_spread = random.Random()  # noqa: S311 - keeps workers from probing all at once, and hides nothing


class Breaker:
    """Counts failures in a row; says whether to ask, and when to probe."""

    def __init__(self, *, clock: Stopwatch = boot_seconds) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._probe_at = 0.0
        self.is_open = False
        self.opened = 0  # times since the start

    def succeeded(self) -> None:
        """It answered."""
        self._failures = 0
        self._pause = FIRST_PAUSE_SECONDS
        self.is_open = False

    def failed(self) -> None:
        """It did not."""
        self._failures += 1
        if self.is_open:
            self._wait(2 * self._pause)
        elif self._failures >= FAILURES:
            self.is_open = True
            self.opened += 1
            self._wait(FIRST_PAUSE_SECONDS)

    def _wait(self, pause: float) -> None:
        self._pause = min(pause, LAST_PAUSE_SECONDS)
        self._probe_at = self._clock() + self._pause * _spread.uniform(0.5, 1.0)

    @property
    def seconds_to_probe(self) -> float:
        """How long to wait before the next probe."""
        return max(0.0, self._probe_at - self._clock())
