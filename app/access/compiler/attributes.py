"""
Whether a policy speaks of attributes that exist, and compares what can be compared.

Oso does neither: a misspelt attribute under `not` grants, and Python finds `True == 1` where Oso does not. Both are
found here, when the policy is loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import msgspec

from app.access.compiler.conditions import (
    AnyOf,
    Attribute,
    CannotCompile,
    Comparison,
    Condition,
    Conjunction,
    Constant,
    Exists,
    Listed,
    Plain,
    Term,
    shown,
)

_ORDERED = ("<", "<=", ">", ">=")


def check_attributes(alternatives: Iterable[Conjunction], classes: Mapping[str, type]) -> None:
    """Raise CannotCompile for an attribute that does not exist or a comparison of unlike types."""
    kinds = {root: kinds_of(class_) for root, class_ in classes.items()}
    for conjunction in alternatives:
        for condition in conjunction:
            _check(condition, kinds)


@functools.lru_cache(maxsize=256)  # msgspec evaluates the annotations anew each time
def kinds_of(class_: type) -> Mapping[str, frozenset[type]]:
    """The plain types that each attribute of a Struct may have; a collection counts as those of its elements."""
    return {name: _plain_types(info) for name, info in _infos(class_)}


@functools.lru_cache(maxsize=256)
def collections_of(class_: type) -> frozenset[str]:
    """The attributes of a Struct that hold many values."""
    return frozenset(name for name, info in _infos(class_) if isinstance(info, msgspec.inspect.VarTupleType))


def _infos(class_: type) -> list[tuple[str, msgspec.inspect.Type]]:
    return [(field.name, msgspec.inspect.type_info(field.type)) for field in msgspec.structs.fields(class_)]


def _check(condition: Condition, kinds: Mapping[str, Mapping[str, frozenset[type]]]) -> None:
    match condition:
        case Comparison():
            _check_comparison(condition, kinds)
        case AnyOf(values=values, collection=collection):
            _check_fit(condition, _types(Listed(tuple(values)), kinds), _types(collection, kinds))
        case Exists(element=element, collection=collection, conditions=conditions):
            if any(isinstance(side, Attribute) and side.root == element for one in conditions for side in _sides(one)):
                raise CannotCompile(f"an attribute of an element of {collection.root}.{collection.name}")
            _types(collection, kinds)


def _sides(comparison: Comparison) -> tuple[Term, Term]:
    return comparison.left, comparison.right


def _check_comparison(condition: Comparison, kinds: Mapping[str, Mapping[str, frozenset[type]]]) -> None:
    left, right = (_types(side, kinds) for side in _sides(condition))
    _check_fit(condition, left, right)
    if condition.operator in _ORDERED and not (left | right) <= {int, float}:
        raise CannotCompile(f"an order of what has none: {shown(condition)}")


def _check_fit(condition: Condition, left: frozenset[type], right: frozenset[type]) -> None:
    if left.isdisjoint(right):
        raise CannotCompile(f"two types that are never equal: {shown(condition)}")


def _types(term: Term, kinds: Mapping[str, Mapping[str, frozenset[type]]]) -> frozenset[type]:
    match term:
        case Constant(value=value):
            return _type(value)
        case Listed(values=values):
            return frozenset(type_ for value in values for type_ in _type(value))
        case Attribute(root=root, name=name):
            known = kinds.get(root, {})
            if name not in known:
                raise CannotCompile(f"{root}.{name}: there is no such attribute; there are {', '.join(known)}")
            return known[name]
        case _:
            raise CannotCompile("an element compared outside of its collection")


def _type(value: Plain) -> frozenset[type]:
    return frozenset([type(value)])


def _plain_types(info: msgspec.inspect.Type) -> frozenset[type]:
    match info:
        case msgspec.inspect.UnionType(types=types):
            return frozenset(type_ for part in types for type_ in _plain_types(part))
        case msgspec.inspect.VarTupleType(item_type=item):
            return _plain_types(item)
        case msgspec.inspect.StrType() | msgspec.inspect.LiteralType():
            return frozenset([str])
        case msgspec.inspect.BoolType():
            return frozenset([bool])
        case msgspec.inspect.IntType():
            return frozenset([int])
        case msgspec.inspect.FloatType():
            return frozenset([float, int])
        case msgspec.inspect.NoneType():
            return frozenset([type(None)])
        case _:
            raise CannotCompile(f"attributes of type {info!r}")
