"""The checker finds each way in which a history can be wrong, and nothing in a right one."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.history import (
    NO_ANSWER,
    NOT_MODIFIED,
    NOT_REACHED,
    OK,
    UNAVAILABLE,
    Asked,
    Cell,
    Change,
    History,
    Kind,
    Read,
    View,
    Window,
    Write,
    check,
)

GENERAL, SPECIFIC = "TENANT/acme", "USER/acme/uma"
VIEWS = [View("both", (GENERAL, SPECIFIC), ("a", "b")), View("general", (GENERAL,), ("a",))]
BASE = 100
A, B, A_SPECIFIC = Cell(GENERAL, "a"), Cell(GENERAL, "b"), Cell(SPECIFIC, "a")
DEFAULT = "nothing set"


def write(number: int, at: float, position: int | None, cells: dict[Cell, str | None], **more: Any) -> Write:
    """Sent at a time and answered a tenth of a second later, by worker 1."""
    asked = Asked(began=at, ended=at + 0.1, worker=1, status=OK)
    return Write(number=number, cells=cells, sent=[asked], position=position, **more)


def read(at: float, position: int, *values: str, **more: Any) -> Read:
    """Asked at a time and answered a tenth of a second later, by worker 2; its tag is made of what it shows."""
    answered: dict[str, Any] = {"began": at, "ended": at + 0.1, "worker": 2, "status": OK, "view": 0}
    return Read(**{**answered, "position": position, "values": values, "tag": " | ".join(values), **more})


def right() -> History:
    """Three writes: a value, a batch over two keys and two scopes, and a removal; and reads around them."""
    return History(
        views=VIEWS,
        default=DEFAULT,
        base=BASE,
        writes=[
            write(1, 10.0, 101, {A: "1"}),
            write(2, 20.0, 104, {A: "2", B: "2", A_SPECIFIC: "2 here"}),
            write(3, 30.0, 105, {A_SPECIFIC: None}),
        ],
        log=[
            Change(101, 1, A, "1"),
            Change(102, 2, A, "2"),
            Change(103, 2, B, "2"),
            Change(104, 2, A_SPECIFIC, "2 here"),
            Change(105, 3, A_SPECIFIC, None),
        ],
        reads=[
            read(9.0, 100, DEFAULT, DEFAULT),
            read(10.2, 101, "1", DEFAULT, worker=1),
            read(11.0, 100, DEFAULT, DEFAULT),  # a write of 0.9 s ago, taken elsewhere
            read(12.0, 101, "1", view=1),
            read(15.0, 101, "1", DEFAULT, status=NOT_MODIFIED),
            read(20.2, 104, "2 here", "2", worker=1),
            read(21.3, 104, "2 here", "2", minimum=104),
            read(30.0, 105, "2", "2", worker=1),  # begun before the write was acknowledged
            read(40.0, 105, "2", view=1),
        ],
    )


def seen(history: History) -> dict[Kind, int]:
    return dict(check(history).violations)


def with_read(changed: Read) -> History:
    history = right()
    return msgspec.structs.replace(history, reads=sorted([*history.reads, changed], key=lambda one: one.began))


def test_a_right_history_is_right() -> None:
    verdict = check(right())

    assert verdict.violations == {}
    assert verdict.examples == []
    assert verdict.statuses == {OK: 8, NOT_MODIFIED: 1}
    assert verdict.largest_staleness == pytest.approx(0.9)
    assert verdict.labelled == 0
    assert verdict.went_back == 0


WRONG_READS = {
    "a value that was never written": (read(25.0, 104, "7", "2"), Kind.INVENTED),
    "a value that was never written there": (read(25.0, 104, "2", "2 here"), Kind.INVENTED),
    "a key that is left out": (read(25.0, 104, "2 here"), Kind.INVENTED),
    "half of a batch": (read(25.0, 104, "2 here", DEFAULT), Kind.TORN),
    "what is old at a new position": (read(20.5, 104, "1", DEFAULT), Kind.MISPLACED),
    "what is new at an old position": (read(20.5, 101, "2 here", "2"), Kind.MISPLACED),
    "a position within a batch": (read(20.5, 103, "2 here", "2"), Kind.MISPLACED),
    "a position that nobody has": (read(31.5, 106, "2", "2"), Kind.MISPLACED),
    "a position from before the beginning": (read(9.5, 99, DEFAULT, DEFAULT), Kind.MISPLACED),
    "304 for what has changed": (read(20.5, 104, "1", DEFAULT, status=NOT_MODIFIED), Kind.FALSE_304),
    "two contents with one tag": (read(25.0, 104, "2", view=1, tag="1"), Kind.FALSE_TAG),
    "two tags of one content": (read(25.0, 104, "2 here", "2", tag="another"), Kind.FALSE_TAG),
    "older than a second": (read(11.2, 100, DEFAULT, DEFAULT), Kind.STALE),
    "older than its label says": (
        read(14.0, 100, DEFAULT, DEFAULT, stale_seconds=3),
        (Kind.STALE, Kind.LABELLED),
    ),
    "a label without a reason": (read(11.2, 100, DEFAULT, DEFAULT, stale_seconds=2), Kind.LABELLED),
    "a write unseen where it was taken": (read(10.2, 100, DEFAULT, DEFAULT, worker=1), Kind.NOT_AT_ONCE),
    "from before what was asked for": (read(20.3, 101, "1", DEFAULT, minimum=104), Kind.BEFORE_MINIMUM),
    "412 for what there is": (read(25.0, 0, status=NOT_REACHED, minimum=104), Kind.NOT_REACHED),
    "500": (read(25.0, 0, status=500), Kind.FAILED),
    "503 while PostgreSQL answers": (read(25.0, 0, status=UNAVAILABLE, retry_after=True), Kind.FAILED),
    "503 that does not say when": (read(25.0, 0, status=UNAVAILABLE), (Kind.FAILED, Kind.NO_RETRY_AFTER)),
    "a connection that broke": (read(25.0, 0, status=NO_ANSWER), Kind.FAILED),
    "404": (read(25.0, 0, status=404), Kind.UNEXPECTED),
}


@pytest.mark.parametrize(("wrong", "kinds"), WRONG_READS.values(), ids=WRONG_READS.keys())
def test_a_wrong_read_is_found(wrong: Read, kinds: Kind | tuple[Kind, ...]) -> None:
    verdict = check(with_read(wrong))

    assert verdict.violations == dict.fromkeys(kinds if isinstance(kinds, tuple) else (kinds,), 1)
    assert all(str(wrong) in example for example in verdict.examples)


AWAY = [Window(22.0, 24.0), Window(23.0, 26.0), Window(23.5, 25.0)]


@pytest.mark.parametrize("at", [22.0, 25.0, 26.0, 21.95])
@pytest.mark.parametrize(
    "excused",
    [
        {"status": UNAVAILABLE, "retry_after": True},
        {"status": NOT_REACHED, "minimum": 104},
        {"position": 104, "values": ("2 here", "2"), "tag": "2 here | 2", "stale_seconds": 1},
        {"position": 101, "values": ("1", DEFAULT), "tag": f"1 | {DEFAULT}", "stale_seconds": 6},
    ],
    ids=["503", "412", "labelled", "labelled and old"],
)
def test_while_postgresql_is_away_reads_may_fail_or_be_labelled(at: float, excused: dict[str, Any]) -> None:
    changed = msgspec.structs.replace(read(at, 0), **excused)
    history = msgspec.structs.replace(with_read(changed), away=AWAY)

    assert seen(history) == {}


def test_a_labelled_answer_may_be_old_where_the_write_was_taken_and_is_not_measured() -> None:
    """Its own look after the commit failed, say."""
    labelled = read(25.0, 101, "1", DEFAULT, stale_seconds=6, worker=1)

    verdict = check(msgspec.structs.replace(with_read(labelled), away=AWAY))

    assert verdict.violations == {}
    assert verdict.labelled == 1
    assert verdict.largest_staleness == pytest.approx(0.9)


@pytest.mark.parametrize("at", [21.8, 26.1])
def test_before_and_after_it_they_may_not(at: float) -> None:
    history = with_read(read(at, 0, status=UNAVAILABLE, retry_after=True))

    assert seen(msgspec.structs.replace(history, away=AWAY)) == {Kind.FAILED: 1}


@pytest.mark.parametrize(
    ("wrong", "kinds"),
    [
        (read(25.0, 0, status=500), {Kind.FAILED: 1}),
        (read(25.0, 0, status=UNAVAILABLE), {Kind.NO_RETRY_AFTER: 1}),
        (read(25.0, 101, "1", DEFAULT), {Kind.STALE: 1}),
        (read(25.0, 0, status=NO_ANSWER), {Kind.FAILED: 1}),
    ],
)
def test_not_everything_is_excused_while_postgresql_is_away(wrong: Read, kinds: dict[Kind, int]) -> None:
    assert seen(msgspec.structs.replace(with_read(wrong), away=AWAY)) == kinds


@pytest.mark.parametrize("reads_go_on", [True, False])
def test_a_stopped_worker_is_an_excuse_for_writes_and_labels_and_not_for_reads_that_fail(reads_go_on: bool) -> None:
    history = with_read(read(25.0, 0, status=UNAVAILABLE, retry_after=True))
    labelled = read(25.5, 104, "2 here", "2", stale_seconds=3)
    history = msgspec.structs.replace(history, reads=[*history.reads, labelled])
    refused = Asked(began=25.0, ended=25.1, status=UNAVAILABLE, retry_after=True)
    history.writes[2].sent.insert(0, refused)

    found = seen(msgspec.structs.replace(history, away=[Window(24.0, 26.0, reads_go_on)]))

    assert found == ({Kind.FAILED: 1} if reads_go_on else {})


def test_a_worker_that_goes_back_a_little_is_told_of_and_not_blamed() -> None:
    """Between two answers it asked PostgreSQL at once, say: the second is still of less than a second ago."""
    history = with_read(read(10.5, 101, "1", DEFAULT))

    verdict = check(history)

    assert verdict.violations == {}
    assert verdict.went_back == 1


# ---- the log ----


def test_a_write_that_was_never_answered_may_be_in_the_log_or_not() -> None:
    history = right()
    unknown = Write(number=4, cells={B: "4"}, sent=[Asked(began=41.0, status=UNAVAILABLE, retry_after=True)])
    away = [Window(40.0, math.inf)]
    without = msgspec.structs.replace(history, writes=[*history.writes, unknown], away=away)
    made = msgspec.structs.replace(without, log=[*history.log, Change(106, 4, B, "4")])

    assert seen(without) == {}
    assert seen(made) == {}


def test_a_write_that_was_never_answered_is_in_the_log_whole() -> None:
    history = right()
    unknown = Write(number=4, cells={A: "4", B: "4"}, sent=[Asked(began=41.0, status=UNAVAILABLE, retry_after=True)])
    writes, log = [*history.writes, unknown], [*history.log, Change(106, 4, B, "4")]

    found = seen(msgspec.structs.replace(history, writes=writes, log=log, away=[Window(40.0, math.inf)]))

    assert found == {Kind.HALF: 1}


def log_of(change: Callable[[list[Change]], list[Change]]) -> History:
    history = right()
    return msgspec.structs.replace(history, log=change(list(history.log)), reads=[])


WRONG_LOGS: dict[str, tuple[Callable[[list[Change]], list[Change]], Kind]] = {
    "an acknowledged write is missing": (lambda log: log[:4], Kind.LOST),
    "a position is missing": (lambda log: [*log[:3], *log[4:]], Kind.HOLE),
    "a part of a write is missing": (
        lambda log: [*log[:2], log[3]._replace(position=103), log[4]._replace(position=104)],
        Kind.LOST,
    ),
    "a write was made twice": (lambda log: [*log, log[0]._replace(position=106)], Kind.HALF),
    "a write has another value": (lambda log: [*log[:1], log[1]._replace(value="9"), *log[2:]], Kind.HALF),
    "somebody else wrote": (lambda log: [*log, Change(106, None, A, "x")], Kind.HOLE),
    "a write that nobody sent": (lambda log: [*log, Change(106, 9, A, "x")], Kind.HOLE),
}


@pytest.mark.parametrize(("change", "kind"), WRONG_LOGS.values(), ids=WRONG_LOGS.keys())
def test_a_wrong_log_is_found(change: Callable[[list[Change]], list[Change]], kind: Kind) -> None:
    assert kind in seen(log_of(change))


# ---- random histories ----


def random_history(rng: random.Random) -> History:
    """What a registry that keeps its promises could have answered: its workers learn of a write within a second."""
    cells = [Cell(scope, key) for scope in (GENERAL, SPECIFIC) for key in ("a", "b")]
    history = History(views=VIEWS, default=DEFAULT, base=BASE, reads=[], writes=[], log=[])
    states: list[tuple[int, dict[Cell, str]]] = [(BASE, {})]  # by position
    learned = {worker: [(0.0, 0)] for worker in range(4)}  # when it knew of which state
    writes, reads, log, now = [], [], [], 10.0
    for number in range(rng.randint(1, 12)):
        now += rng.expovariate(2.0)
        position, held = states[-1][0], dict(states[-1][1])
        changed: dict[Cell, str | None] = {
            cell: None if cell in held and rng.random() < 0.4 else f"{number} at {cell.scope}"
            for cell in rng.sample(cells, rng.randint(1, 3))
        }
        for cell, value in changed.items():
            position += 1
            log.append(Change(position, number, cell, value))
            held.pop(cell, None)
            held |= {} if value is None else {cell: value}
        taker, acknowledged = rng.randrange(4), now + rng.uniform(0.001, 0.1)
        states.append((position, held))
        for worker, known in learned.items():
            known.append((now if worker == taker else acknowledged + rng.uniform(0.0, 0.999), len(states) - 1))
        asked = Asked(began=now - 0.01, ended=acknowledged, worker=taker, status=OK)
        writes.append(Write(number=number, cells=changed, sent=[asked], position=position))
    for _ in range(rng.randint(0, 60)):
        worker, began = rng.randrange(4), rng.uniform(10.0, now + 2.0)
        position, held = states[max(state for at, state in learned[worker] if at <= began)]
        view = rng.randrange(len(VIEWS))
        values = tuple(
            next(
                (held[Cell(scope, key)] for scope in reversed(VIEWS[view].scopes) if Cell(scope, key) in held), DEFAULT
            )
            for key in VIEWS[view].keys
        )
        status = rng.choice([OK, NOT_MODIFIED])
        reads.append(read(began, position, *values, view=view, worker=worker, status=status))
    reads.sort(key=lambda one: one.began)
    return msgspec.structs.replace(history, reads=reads, writes=writes, log=log)


@given(st.randoms(use_true_random=False))
def test_no_right_history_is_called_wrong(rng: random.Random) -> None:
    verdict = check(random_history(rng))

    assert verdict.violations == {}, verdict.examples


@given(st.randoms(use_true_random=False), st.data())
def test_a_read_moved_to_another_state_is_always_found(rng: random.Random, data: st.DataObject) -> None:
    """Content that the view has at no position near, or that the named position does not have."""
    history = random_history(rng)
    if not history.reads:
        return
    at = data.draw(st.integers(0, len(history.reads) - 1))
    one = history.reads[at]
    moved = msgspec.structs.replace(one, values=(*one.values[:-1], "of nobody"))
    reads = [*history.reads[:at], moved, *history.reads[at + 1 :]]

    assert Kind.INVENTED in seen(msgspec.structs.replace(history, reads=reads))


def test_it_takes_time_in_proportion_to_the_history() -> None:
    """Counted in steps of the interpreter: how long they take is the machine's affair."""

    def steps(times: int) -> int:
        history = right()
        reads = [msgspec.structs.replace(one) for one in history.reads for _ in range(times)]
        counted = 0

        def count(*_: object) -> Any:
            nonlocal counted
            counted += 1
            return None

        sys.setprofile(count)
        try:
            check(msgspec.structs.replace(history, reads=reads))
        finally:
            sys.setprofile(None)
        return counted

    few, many = steps(20), steps(200)

    assert many < 11 * few
