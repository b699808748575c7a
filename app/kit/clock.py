"""Time and identity, handed in so that tests can choose them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import TypeAlias
from uuid import UUID

import uuid_utils.compat

Clock: TypeAlias = Callable[[], datetime]
Stopwatch: TypeAlias = Callable[[], float]
Ticks: TypeAlias = Callable[[], int]  # nanoseconds since whenever; for how long, never for when

ticks: Ticks = time.monotonic_ns


def utc_now() -> datetime:
    """The aware UTC time."""
    return datetime.now(UTC)


def seconds_by(clock: Clock) -> Stopwatch:
    """A clock as seconds since the epoch; that of this machine is read directly, which takes a sixth of the time."""
    return time.time if clock is utc_now else lambda: clock().timestamp()


def boot_seconds() -> float:
    """
    Seconds since this machine started, for ages. They pass while it sleeps or this process is stopped.

    CLOCK_MONOTONIC stands still while a virtual machine is suspended: what is old would still look young after it.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def new_id() -> UUID:
    """A UUIDv7: unique, and rising with time, so that indexes grow at one end."""
    return uuid_utils.compat.uuid7()


class _RequestIds:
    """Ids of requests: what no other process has, and a number."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin anew, as a process that was made from another one has to."""
        self._prefix = os.urandom(8).hex().encode()
        self._numbers = count()

    def next(self) -> bytes:
        """Another one."""
        return b"%b%016x" % (self._prefix, next(self._numbers))


_request_ids = _RequestIds()
os.register_at_fork(after_in_child=_request_ids.begin)


def new_request_id() -> bytes:
    """32 hexadecimal digits, different from all others. A UUID would take a hot read ten times as long."""
    return _request_ids.next()
