"""The arithmetic of a bucket, held against one that counts its tokens."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.limits.rate import SECOND, Rate, whole_seconds

RATES = st.builds(
    lambda per_second, burst: Rate.of("any", per_second=per_second, burst=burst),
    st.one_of(st.integers(1, 1_000_000), st.floats(0.001, 1_000_000)),
    st.integers(1, 50),
)


class CountingBucket:
    """What a limit means: tokens that come one by one, and a request that takes one or gets none."""

    def __init__(self, rate: Rate) -> None:
        self.rate, self.tokens, self.at = rate, Fraction(rate.burst), 0

    def come_to(self, now: int) -> None:
        self.tokens = min(self.tokens + Fraction(now - self.at, self.rate.interval), Fraction(self.rate.burst))
        self.at = now

    def take(self) -> bool:
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@given(RATES, st.lists(st.fractions(0, 60), max_size=200))
def test_it_gives_exactly_what_a_bucket_that_counts_gives(rate: Rate, pauses: list[Fraction]) -> None:
    counting, full_at, now = CountingBucket(rate), 0, 0
    for pause in pauses:
        now += int(pause * rate.interval)
        counting.come_to(now)
        after = rate.full_after_one(full_at, now)
        spare = now + rate.window - after

        given = counting.take()

        assert (spare >= 0) is given
        if given:
            full_at = after
            assert rate.left(spare) == int(counting.tokens)
        else:
            assert rate.left(spare) == 0
            assert -spare == (1 - counting.tokens) * rate.interval


@given(RATES, st.integers(0, 2**62), st.integers(0, 2**62))
def test_whatever_is_held_nobody_waits_longer_than_for_one_token(rate: Rate, full_at: int, now: int) -> None:
    after = rate.full_after_one(full_at, now)

    assert now + rate.interval <= after <= now + rate.window + rate.interval


@pytest.mark.parametrize(("per_second", "interval"), [(1, SECOND), (3, 333_333_334), (0.1, 10 * SECOND), (1e6, 1_000)])
def test_a_rate_never_gives_more_than_it_says(per_second: float, interval: int) -> None:
    rate = Rate.of("any", per_second=per_second, burst=7)

    assert (rate.interval, rate.window) == (interval, 7 * interval)


@pytest.mark.parametrize(("time", "seconds"), [(0, 0), (1, 1), (SECOND, 1), (SECOND + 1, 2)])
def test_seconds_are_rounded_up(time: int, seconds: int) -> None:
    assert whole_seconds(time) == seconds
