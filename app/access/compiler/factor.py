"""
Asking as little as possible: a tree in which what all alternatives share is asked first, and once.

Alternatives that differ only in which role they want become one question about several roles. Without this, a policy
of twenty alternatives asks twenty times for the tenant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TypeAlias

import msgspec

from app.access.compiler.conditions import AnyOf, Attribute, Comparison, Condition, Conjunction, Constant, Exists, shown


class All(msgspec.Struct, frozen=True):
    """All conditions hold, and the rest too. No conditions and no rest: always."""

    conditions: tuple[Condition, ...]
    rest: Tree | None = None


class Any(msgspec.Struct, frozen=True):
    """One of the branches holds. No branches: never."""

    branches: tuple[Tree, ...]


Tree: TypeAlias = All | Any


def factor(alternatives: Collection[Conjunction]) -> Tree:
    """The tree that holds exactly when one of the alternatives does. The same for any order of them."""
    return _tree(_with_roles_joined(set(alternatives)))


def _tree(alternatives: Collection[Conjunction]) -> Tree:
    if not alternatives:
        return Any(())
    if frozenset() in alternatives:
        return All(())
    common = frozenset.intersection(*alternatives)
    if common:
        rest = {one - common for one in alternatives}
        return All(_in_order(common), None if frozenset() in rest else _tree(rest))
    shared = _most_shared(alternatives)
    if shared is None:
        return Any(tuple(_tree({one}) for one in sorted(alternatives, key=_reading_order)))
    return Any(
        (
            _tree({one for one in alternatives if shared in one}),
            _tree({one for one in alternatives if shared not in one}),
        )
    )


def _with_roles_joined(alternatives: set[Conjunction]) -> set[Conjunction]:
    """`"a" in p.roles and X` or `"b" in p.roles and X` is `any of "a", "b" in p.roles and X`."""
    groups: dict[tuple[Conjunction, Attribute], set[object]] = {}
    joined: set[Conjunction] = set()
    for one in alternatives:
        wanted = sorted((condition for condition in one if _is_membership(condition)), key=shown)
        if not wanted:
            joined.add(one)
            continue
        first = wanted[0]
        assert isinstance(first, Comparison)  # noqa: S101 - _is_membership says so, for the type checker
        assert isinstance(first.left, Constant)  # noqa: S101
        assert isinstance(first.right, Attribute)  # noqa: S101
        groups.setdefault((one - {first}, first.right), set()).add(first.left.value)
    for (rest, collection), values in groups.items():
        joined.add(rest | {AnyOf(frozenset(values), collection)})  # type: ignore[arg-type]  # values of Constants
    return joined


def _is_membership(condition: Condition) -> bool:
    return (
        isinstance(condition, Comparison)
        and condition.operator == "in"
        and isinstance(condition.left, Constant)
        and isinstance(condition.right, Attribute)
    )


def _most_shared(alternatives: Collection[Conjunction]) -> Condition | None:
    count = Counter(condition for one in alternatives for condition in one)
    best = max(sorted(count, key=shown), key=lambda condition: count[condition])
    return best if count[best] > 1 else None


def _in_order(conditions: Conjunction) -> tuple[Condition, ...]:
    return tuple(sorted(conditions, key=lambda condition: (_cost(condition), shown(condition))))


def _reading_order(conjunction: Conjunction) -> tuple[int, list[str]]:
    return len(conjunction), sorted(map(shown, conjunction))


def _cost(condition: Condition) -> int:
    """What is cheap to ask goes first."""
    if isinstance(condition, Exists):
        return 3
    if isinstance(condition, AnyOf):
        return 2
    return 1 if condition.operator in ("in", "not in") else 0
