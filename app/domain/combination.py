"""How the values of several scopes become one: the three merge strategies."""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence
from typing import Any

from app.domain.canonical import canonical
from app.domain.merge_patch import merge_patch


class MergeStrategy(enum.StrEnum):
    """How values combine along a chain."""

    REPLACE = "replace"  # the most specific wins
    MERGE = "merge"  # objects, RFC 7396 from general to specific
    APPEND = "append"  # lists, general before specific, duplicates dropped


def combine(strategy: MergeStrategy, values: Sequence[Any]) -> Any:
    """
    One value out of at least one, given from general to specific.

    Items of lists are the same when their canonical JSON is: `1`, `1.0` and `true` are three items.
    """
    if strategy is MergeStrategy.REPLACE:
        return values[-1]
    if strategy is MergeStrategy.MERGE:
        return functools.reduce(merge_patch, values)
    return list({canonical(item): item for value in values for item in value}.values())
