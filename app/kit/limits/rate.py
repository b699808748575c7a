"""
How much may be asked in how much time: the arithmetic, and nothing else.

A *bucket* holds up to `burst` tokens and fills by `per_second` of them; every request takes one. The generic cell rate
algorithm keeps a bucket as one number: the moment when it will be full again. Taking a token moves that moment on by
the time that one token takes to come, and there is no token when it would lie further ahead than it takes to fill the
whole bucket. What lies between the two is *spare*; less than nothing is how long to wait for a token. A moment that
lies further ahead to begin with is none that taking could have made: the clock went back, or something else wrote it.
Such a bucket counts as full, so that nobody waits for a clock to come round again.

Times are whole nanoseconds. tests/kit/limits/test_rate.py holds this against a bucket that counts its tokens.
"""

from __future__ import annotations

import math

import msgspec

SECOND = 1_000_000_000  # nanoseconds


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """`interval` is the time in which one token comes, `window` the time in which an empty bucket fills."""

    name: str
    burst: int
    interval: int
    window: int

    @classmethod
    def of(cls, name: str, *, per_second: float, burst: int) -> Rate:
        """A rate that never gives more than `per_second`: what does not come out even is rounded against the caller."""
        interval = math.ceil(SECOND / per_second)
        return cls(name=name, burst=burst, interval=interval, window=interval * burst)

    def full_after_one(self, full_at: int, now: int) -> int:
        """When a bucket would be full again once one more token is taken from it."""
        return (full_at if now < full_at <= now + self.window else now) + self.interval

    def left(self, spare: int) -> int:
        """How many whole tokens that is."""
        return max(0, spare // self.interval)


def whole_seconds(time: int) -> int:
    """A time as headers give it: after so many seconds it has certainly passed."""
    return -(-time // SECOND)
