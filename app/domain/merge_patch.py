"""JSON Merge Patch, as in RFC 7396 section 2."""

from __future__ import annotations

from typing import Any


def merge_patch(target: Any, patch: Any) -> Any:
    """
    The target as the patch wants it: objects member by member, null removes, anything else replaces.

    Neither argument is changed. Cost: one pass over the patch.
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, change in patch.items():
        if change is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), change)
    return result
