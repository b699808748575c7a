"""Latencies as percentiles, never as averages: an average hides the requests that somebody waited for."""

from __future__ import annotations

import math
from collections.abc import Sequence

SHOWN = (50, 95, 99)


def percentile(ordered: Sequence[float], share: float) -> float:
    """
    The smallest latency that at least `share` percent of the requests kept to (nearest rank).

    `ordered` rises and is not empty. Nothing is interpolated, so the answer is a latency that somebody really had.
    """
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


def percentiles(latencies: Sequence[float]) -> dict[str, float]:
    """The shown percentiles by name (`p50`), in the unit of the latencies."""
    ordered = sorted(latencies)
    return {f"p{share}": percentile(ordered, share) for share in SHOWN}
