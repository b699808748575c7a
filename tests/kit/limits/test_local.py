"""The buckets of one worker."""

from __future__ import annotations

import pytest

from app.kit.limits.local import LocalBuckets
from app.kit.limits.rate import SECOND, Rate
from tests.world import SteppableClock

RATE = Rate.of("any", per_second=1, burst=2)


@pytest.fixture
def time() -> SteppableClock:
    return SteppableClock()


@pytest.fixture
def buckets(time: SteppableClock) -> LocalBuckets:
    return LocalBuckets(RATE, ticks=time.ticks, max_buckets=3)


def test_everybody_has_a_bucket_of_his_own(buckets: LocalBuckets) -> None:
    assert [buckets.take("a") for _ in range(4)] == [SECOND, 0, -SECOND, -SECOND]
    assert buckets.take("b") == SECOND


def test_who_waits_as_long_as_told_is_let_in_again(buckets: LocalBuckets, time: SteppableClock) -> None:
    buckets.take("a"), buckets.take("a")

    time.step(0.999)
    assert buckets.take("a") == -1_000_000
    time.step(0.001)
    assert buckets.take("a") == 0
    assert buckets.take("a") < 0


def test_looking_takes_nothing(buckets: LocalBuckets) -> None:
    assert [buckets.look("a") for _ in range(3)] == [SECOND] * 3
    assert len(buckets) == 0
    buckets.take("a")
    assert [buckets.look("a") for _ in range(3)] == [0] * 3


def test_who_has_not_been_there_for_longest_is_forgotten_first(buckets: LocalBuckets) -> None:
    for who in "aabb":
        buckets.take(who)
    buckets.take("c")
    assert buckets.take("a") < 0  # refused, and not the oldest any more

    buckets.take("d")

    assert len(buckets) == 3
    assert buckets.look("a") < 0
    assert buckets.look("b") == SECOND


def test_a_clock_that_goes_back_locks_nobody_out(buckets: LocalBuckets, time: SteppableClock) -> None:
    buckets.take("a"), buckets.take("a")

    time.step(-3_600)

    assert [buckets.take("a") for _ in range(3)] == [SECOND, 0, -SECOND]


def test_another_bucket_can_be_followed(buckets: LocalBuckets, time: SteppableClock) -> None:
    other = LocalBuckets(RATE, ticks=time.ticks)
    for _ in range(4):
        spare = other.take("a")
        buckets.follow("a", spare)
        assert buckets.look("a") == other.look("a")


def test_forgetting_everybody(buckets: LocalBuckets) -> None:
    buckets.take("a")
    buckets.clear()

    assert len(buckets) == 0
    assert buckets.look("a") == SECOND
