"""The language between Oso's constraints and our predicates: terms, conditions, and how they read."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Plain: TypeAlias = str | int | float | bool | None

PRINCIPAL = "p"
RESOURCE = "r"
CIRCUMSTANCES = "c"
ASKED = frozenset({PRINCIPAL, RESOURCE, CIRCUMSTANCES})  # what a decision is a function of


class CannotCompile(Exception):
    """The policy says something that has no exact translation; the message shows what."""


class Constant(msgspec.Struct, frozen=True):
    """A value that stands in the policy."""

    value: Plain


class Listed(msgspec.Struct, frozen=True):
    """A list of values that stands in the policy."""

    values: tuple[Plain, ...]


class Attribute(msgspec.Struct, frozen=True):
    """An attribute of what is asked about: the principal (`p`), the resource (`r`), the circumstances (`c`)."""

    root: str
    name: str


class Element(msgspec.Struct, frozen=True):
    """An element of a collection, as a whole."""

    name: str


Term: TypeAlias = Constant | Listed | Attribute | Element

Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]

NEGATED: dict[Operator, Operator] = {
    "==": "!=",
    "!=": "==",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
    "in": "not in",
    "not in": "in",
}


class Comparison(msgspec.Struct, frozen=True):
    """Two terms and what must hold between them."""

    operator: Operator
    left: Term
    right: Term


class AnyOf(msgspec.Struct, frozen=True):
    """At least one of these values is in a collection."""

    values: frozenset[Plain]
    collection: Attribute


class Exists(msgspec.Struct, frozen=True):
    """Some element of a collection meets all conditions."""

    element: str
    collection: Attribute
    conditions: frozenset[Comparison]


Condition: TypeAlias = Comparison | AnyOf | Exists
Conjunction: TypeAlias = frozenset[Condition]


def roots(term: Term) -> set[str]:
    """The names that a term speaks of."""
    if isinstance(term, Attribute):
        return {term.root}
    return {term.name} if isinstance(term, Element) else set()


def shown(condition: Condition) -> str:
    """A condition as a person reads it; also its place in an order that does not change between runs."""
    match condition:
        case Comparison(operator=operator, left=left, right=right):
            return f"{_shown(left)} {operator} {_shown(right)}"
        case AnyOf(values=values, collection=collection):
            return f"any of {', '.join(sorted(map(repr, values)))} in {_shown(collection)}"
        case Exists(element=element, collection=collection, conditions=conditions):
            inner = " and ".join(sorted(map(shown, conditions)))
            return f"some {element} in {_shown(collection)} with {inner}"


def _shown(term: Term) -> str:
    match term:
        case Constant(value=value):
            return "nil" if value is None else repr(value)
        case Listed(values=values):
            return f"[{', '.join(map(repr, values))}]"
        case Attribute(root=root, name=name):
            return f"{root}.{name}"
        case Element(name=name):
            return name
