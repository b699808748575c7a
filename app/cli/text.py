"""Values as one line of text that is safe to print."""

from __future__ import annotations

import json
from typing import Any


def compact(value: Any) -> str:
    """A value as JSON on one line."""
    return printable(json.dumps(value, ensure_ascii=False))


def printable(text: str) -> str:
    """
    The text without what a terminal would obey: escape sequences, line feeds, changes of direction.

    What is stored was written by others, and an operator's terminal should not be theirs.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
