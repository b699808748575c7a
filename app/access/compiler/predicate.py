"""From a tree of conditions to the source of one Python function, and to the function."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any as Anything
from typing import TypeAlias, cast

import msgspec

from app.access.compiler.conditions import (
    AnyOf,
    Attribute,
    Comparison,
    Condition,
    Constant,
    Element,
    Exists,
    Listed,
    Plain,
    Term,
    shown,
)
from app.access.compiler.factor import All, Tree
from app.domain.access import Circumstances, Principal, Resource

Decide: TypeAlias = Callable[[Principal, Resource, Circumstances], bool]
DecideAll: TypeAlias = Callable[[Principal, Sequence[Resource], Circumstances], bool]

_OF_RESOURCE = re.compile(r"\br\.")


class Predicate(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled decision: whether a principal may, and the Python it is made of, for whoever wants to read it."""

    decide: Decide
    source: str


def predicate_of(tree: Tree, *, name: str) -> Predicate:
    """
    The function that a tree means.

    The source holds nothing but our own operators, checked attribute names and `repr`s of plain constants.
    """
    source = f"def decide(p, r, c):\n    return {_expression(tree, _condition)}\n"
    return Predicate(decide=cast(Decide, _function("decide", source, name=name)), source=source)


def decide_all_of(allow: Tree, forbid: Tree | None, *, name: str) -> DecideAll:
    """
    The function that says whether each of some resources, one at least, is allowed and not forbidden.

    The same expressions, without a call for each. What does not look at the resource is worked out once. It may so be
    worked out where the tree would not have come to it, and raise; whoever asks takes that for a no.
    """
    same: dict[str, str] = {}

    def said(condition: Condition) -> str:
        text = _condition(condition)
        return text if _OF_RESOURCE.search(text) else same.setdefault(text, f"same{len(same)}")

    once: list[str] = []
    each: list[str] = []
    for tree, wanted in ((forbid, False), (allow, True)):
        if tree is not None:
            expression = _expression(tree, said)
            where = each if _OF_RESOURCE.search(expression) else once
            where += [f"if ({expression}) is not {wanted}:", "    return False"]
    lines = [*(f"{local} = {text}" for text, local in same.items()), *once]
    if each:
        lines += ["for r in rs:", *(f"    {line}" for line in each)]
    source = "def decide_all(p, rs, c):\n" + "".join(f"    {line}\n" for line in [*lines, "return True"])
    return cast(DecideAll, _function("decide_all", source, name=name))


def _function(called: str, source: str, *, name: str) -> Anything:
    namespace: dict[str, Anything] = {"__builtins__": {"any": any, "frozenset": frozenset}}
    exec(compile(source, f"<policy: {name}>", "exec"), namespace)  # noqa: S102 - we wrote every word of it
    return namespace[called]


@functools.lru_cache(maxsize=4_096)
def alone(condition: Condition) -> Decide:
    """The function that a single condition means."""
    return predicate_of(All((condition,)), name=shown(condition)).decide


def _expression(tree: Tree, said: Callable[[Condition], str]) -> str:
    if isinstance(tree, All):
        parts = [said(condition) for condition in tree.conditions]
        if tree.rest is not None:
            parts.append(f"({_expression(tree.rest, said)})")
        return " and ".join(parts) or "True"
    return " or ".join(f"({_expression(branch, said)})" for branch in tree.branches) or "False"


def _condition(condition: Condition) -> str:
    match condition:
        case Comparison():
            return _comparison(condition)
        case AnyOf(values=values, collection=collection):
            options = sorted(values, key=repr)
            return "(" + " or ".join(f"{value!r} in {_term(collection)}" for value in options) + ")"
        case Exists(element=element, collection=collection, conditions=conditions):
            inner = " and ".join(_comparison(one) for one in sorted(conditions, key=shown)) or "True"
            return f"any({inner} for {element} in {_term(collection)})"


def _comparison(condition: Comparison) -> str:
    left, right = condition.left, condition.right
    operator: str = condition.operator
    if operator in ("==", "!=") and (_is_single(left) or _is_single(right)):
        operator = {"==": "is", "!=": "is not"}[operator]
    return f"{_term(left)} {operator} {_term(right)}"


def _is_single(term: Term) -> bool:
    """Whether there is only one such value, so that identity is equality: nil, true, false."""
    return isinstance(term, Constant) and (term.value is None or isinstance(term.value, bool))


def _term(term: Term) -> str:
    match term:
        case Constant(value=value):
            return _plain(value)
        case Listed(values=values):
            return "(" + "".join(f"{_plain(value)}, " for value in values) + ")"
        case Attribute(root=root, name=name):
            return f"{root}.{name}"
        case Element(name=name):
            return name


def _plain(value: Plain) -> str:
    return repr(value)
