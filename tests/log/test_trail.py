"""What a trail says of the past, held against the whole past."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.position import Position
from app.log.trail import BrokenTrail, Mark, Trail

subjects = st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=60)


def event(at: int, subject: str | None) -> tuple[Position, Mark, str | None]:
    return Position(at), Mark(at * 7 + 1), subject


@given(subjects, st.integers(min_value=1, max_value=20))
@settings(deadline=None)
def test_what_was_read_is_called_unchanged_only_if_it_is(past: list[str | None], remembered: int) -> None:
    trail = Trail(remembered=remembered)
    for at, subject in enumerate(past, start=1):
        trail.extend([event(at, subject)])
        for read_at in range(trail.floor, trail.head + 1):
            for asked in "abcd":
                unchanged = not any(
                    position > read_at and (changed is None or changed == asked)
                    for position, changed in enumerate(past[:at], start=1)
                )
                assert (trail.last_change(asked) <= read_at) == unchanged


@given(subjects, st.integers(min_value=1, max_value=20))
@settings(deadline=None)
def test_its_memory_is_bounded_and_never_shorter_than_promised(past: list[str | None], remembered: int) -> None:
    trail = Trail(remembered=remembered)
    for at, subject in enumerate(past, start=1):
        trail.extend([event(at, subject)])

        assert trail.head == at
        assert min(at, remembered) <= trail.head - trail.floor <= 2 * remembered
        assert len(trail._marks) == trail.head - trail.floor + 1
        assert all(position > trail.floor for position in trail._changes.values())


def test_what_was_read_before_the_floor_or_after_the_head_cannot_be_judged() -> None:
    trail = Trail(Position(10), Mark(71))
    trail.extend(event(at, "a") for at in range(11, 14))

    assert [at for at in range(20) if trail.covers(Position(at), Mark(at * 7 + 1))] == [10, 11, 12, 13]


def test_equal_positions_of_another_history_are_told_apart() -> None:
    trail = Trail()
    trail.extend(event(at, "a") for at in range(1, 5))

    assert trail.covers(Position(3), Mark(22))
    assert not trail.covers(Position(3), Mark(23))


def test_a_hole_breaks_it() -> None:
    trail = Trail()
    trail.extend([event(1, "a")])

    for wrong in (1, 3):
        with pytest.raises(BrokenTrail):
            trail.extend([event(wrong, "a")])


def test_a_hundred_thousand_changes_take_a_few_megabytes() -> None:
    trail, rng = Trail(remembered=1_000), random.Random(1)

    trail.extend(event(at, f"ACCOUNT/acme/{rng.randrange(10**6)}") for at in range(1, 100_001))

    assert len(trail._changes) <= 2_000
