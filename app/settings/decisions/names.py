"""The ids by which questions name things of ours: paths of scopes, and keys."""

from __future__ import annotations

from typing import NamedTuple

from app.domain.definition import is_key
from app.domain.errors import Malformed
from app.domain.scope import GLOBAL, Level, Scope, scope_of


class Place(NamedTuple):
    """A key at a scope."""

    scope: Scope
    key: str


def scope_at(path: str) -> Scope | None:
    """The scope with this path; None when there can be none."""
    level, _, rest = path.partition("/")
    if level not in Level.__members__:
        return None
    if path == GLOBAL.path:
        return GLOBAL
    tenant, slash, scope_id = rest.partition("/")
    try:
        scope = scope_of(Level(level), tenant=tenant, scope_id=scope_id if slash else None)
    except Malformed:
        return None
    return scope if scope.path == path else None


def place_at(text: str) -> Place | None:
    """The setting named `<path of its scope>/<key>`; None when there can be none."""
    path, _, key = text.rpartition("/")  # a scope id may hold a slash, a key does not
    scope = scope_at(path)
    return Place(scope, key) if scope is not None and is_key(key) else None
