"""When a part is no longer asked, and when it is again."""

from __future__ import annotations

from app.kit.breaker import FAILURES, LAST_PAUSE_SECONDS, Breaker


class Watch:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(watch: Watch) -> Breaker:
    breaker = Breaker(clock=watch)
    for _ in range(FAILURES):
        assert not breaker.is_open
        breaker.failed()
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    assert opened(Watch()).is_open


def test_an_answer_in_between_starts_the_count_anew() -> None:
    breaker = Breaker(clock=Watch())
    for _ in range(10 * FAILURES):
        breaker.failed()
        breaker.succeeded()

    assert not breaker.is_open


def test_one_good_probe_closes_it() -> None:
    breaker = opened(Watch())

    breaker.succeeded()

    assert not breaker.is_open


def test_probes_come_soon_and_then_ever_less_often() -> None:
    watch = Watch()
    breaker = opened(watch)
    pauses = []
    for _ in range(12):
        pauses.append(breaker.seconds_to_probe)
        watch.now += pauses[-1]
        assert breaker.seconds_to_probe == 0
        breaker.failed()

    assert pauses[0] <= 0.25
    assert LAST_PAUSE_SECONDS / 2 <= pauses[-1] <= LAST_PAUSE_SECONDS
    assert breaker.is_open
