"""
Which names a request may call us by: one whose Host is another's was not meant for us.

A page of another site whose name was made to lead here (DNS rebinding) is stopped by this, and a cache in front of us
cannot be filled under a foreign name.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from app.kit.problems import HostNotAllowed

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?(:[0-9]{1,5})?")


class Hosts:
    """The names in `allowed`, any name when there is none; `.example.com` is every name below example.com."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._names = frozenset(one for one in allowed if not one.startswith("."))
        self._suffixes = tuple(one for one in allowed if one.startswith("."))
        self.any = not allowed
        self._answers = functools.lru_cache(maxsize=1_000)(self._has)  # of what callers send, so it is bounded

    def require(self, host: str | None) -> None:
        """Raise HostNotAllowed for any other name, and without one."""
        if not self.has(host):
            raise HostNotAllowed

    def has(self, host: str | None) -> bool:
        """Whether this is one of them."""
        return self.any or self._answers(host or "")

    def _has(self, host: str) -> bool:
        match = _HOST.fullmatch(host.lower())
        return match is not None and (match[1] in self._names or match[1].endswith(self._suffixes))
