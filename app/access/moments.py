"""Moments as callers write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from app.domain.errors import Malformed, Violation

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


def in_utc(moment: Moment, *, pointer: str) -> datetime:
    """The same moment in UTC. Raises Malformed at the ends of time, where it has none."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        detail = "The moment lies outside of the years 1 to 9999 in UTC."
        raise Malformed(detail, errors=[Violation(pointer=pointer, code="out-of-range", detail=detail)]) from error
