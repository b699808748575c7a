"""Ids of requests: all different, also in processes that were made from one another."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime

from app.kit.clock import new_request_id, seconds_by, utc_now


def test_ids_of_requests_differ_and_look_alike() -> None:
    made = [new_request_id() for _ in range(1_000)]

    assert len(set(made)) == 1_000
    assert all(re.fullmatch(rb"[0-9a-f]{32}", one) for one in made)


def test_a_process_that_was_made_from_another_one_makes_other_ids() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_request_id())
        os._exit(0)
    os.waitpid(child, 0)
    other = os.read(reading, 32)
    os.close(reading)
    os.close(writing)

    assert len(other) == 32
    assert other[:16] != new_request_id()[:16]


def test_seconds_are_those_of_the_clock() -> None:
    moment = datetime(2026, 3, 4, 12, 0, 0, 500_000, tzinfo=UTC)

    assert seconds_by(lambda: moment)() == moment.timestamp()
    assert abs(seconds_by(utc_now)() - utc_now().timestamp()) < 60
