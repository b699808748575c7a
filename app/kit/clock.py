"""Time and identity, handed in so that tests can choose them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
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


def boot_seconds() -> float:
    """
    Seconds since this machine started, for ages. They pass while it sleeps or this process is stopped.

    CLOCK_MONOTONIC stands still while a virtual machine is suspended: what is old would still look young after it.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def new_id() -> UUID:
    """A UUIDv7: unique, and rising with time, so that indexes grow at one end."""
    return uuid_utils.compat.uuid7()
