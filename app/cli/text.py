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


def escaped(document: str) -> str:
    """The same JSON or YAML, with escapes for what a terminal would obey; it stands in double quotes only."""
    if all(line.isprintable() for line in document.split("\n")):
        return document
    return "".join(one if one.isprintable() or one == "\n" else _escape(one) for one in document)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))
