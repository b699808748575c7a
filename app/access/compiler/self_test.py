"""
Holding a compiled policy against the VM it came from, before it decides anything.

Cases are made of the constants that the policy itself names, and their neighbours: where a rule changes its mind is
where a translation would be wrong. Any difference refuses the policy.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from app.access.compiler.attributes import kinds_of
from app.access.compiler.conditions import AnyOf, Attribute, Comparison, Conjunction, Constant, Exists, Listed, Plain

SEED = 20261123  # the same cases for the same policy, on every node

Constants = dict[str, set[Plain]]


def constants_of(alternatives: Sequence[Conjunction]) -> Constants:
    """The constants that each attribute is compared with, by the attribute's name."""
    found: Constants = {}
    for conjunction in alternatives:
        for condition in conjunction:
            for comparison in condition.conditions if isinstance(condition, Exists) else (condition,):
                _collect(comparison, found)
    return found


def cases(classes: Sequence[type], constants: Constants, *, count: int, seed: int = SEED) -> list[tuple[Any, ...]]:
    """Random instances of what is asked about together, drawn from constants, their neighbours and each other."""
    source = random.Random(seed)  # noqa: S311 - repeatable on purpose
    pool = {name: _neighbours(values) for name, values in constants.items()}
    return [tuple(_instance(class_, pool, source) for class_ in classes) for _ in range(count)]


def differences(
    asked: Sequence[tuple[Any, ...]], *, compiled: Callable[..., bool], vm: Callable[..., bool]
) -> list[tuple[Any, ...]]:
    """The cases on which the two do not agree. An error on either side counts as a refusal, as it does at the gate."""
    return [one for one in asked if _granted(compiled, one) is not _granted(vm, one)]


def _granted(decide: Callable[..., bool], asked: tuple[Any, ...]) -> bool:
    try:
        return decide(*asked) is True
    except Exception:  # noqa: BLE001 - the gate takes any error for a no
        return False


def _collect(condition: Comparison | AnyOf, found: Constants) -> None:
    if isinstance(condition, AnyOf):
        found.setdefault(condition.collection.name, set()).update(condition.values)
        return
    for one, other in ((condition.left, condition.right), (condition.right, condition.left)):
        if isinstance(one, Attribute) and isinstance(other, Constant):
            found.setdefault(one.name, set()).add(other.value)
        if isinstance(one, Attribute) and isinstance(other, Listed):
            found.setdefault(one.name, set()).update(other.values)


def _neighbours(values: set[Plain]) -> list[Plain]:
    near = {
        value + step for value in values if isinstance(value, int) and not isinstance(value, bool) for step in (-1, 1)
    }
    return sorted(values | near, key=repr)


# Few enough that principal and resource often meet, as they must for a rule to hold.
_NAMES = ("alice", "acme", "DE", "other")
_RANKS = (0, 1, 2, 3)


def _instance(class_: type, pool: Mapping[str, list[Plain]], source: random.Random) -> Any:
    return class_(**{one.name: _value(one, pool.get(one.name, []), source) for one in _fields(class_)})


class _Field(NamedTuple):
    name: str
    kinds: frozenset[type]
    is_collection: bool


@functools.cache
def _fields(class_: type) -> tuple[_Field, ...]:
    """What is to be known of a Struct's fields, found out once: msgspec evaluates annotations anew each time."""
    kinds = kinds_of(class_)
    types = {field.name: msgspec.inspect.type_info(field.type) for field in msgspec.structs.fields(class_)}
    return tuple(
        _Field(name, kinds[name], isinstance(info, msgspec.inspect.VarTupleType)) for name, info in types.items()
    )


def _value(field: _Field, known: list[Plain], source: random.Random) -> Any:
    options: list[Plain] = [value for value in known if type(value) in field.kinds]
    options += [name for name in _NAMES if str in field.kinds]
    options += [rank for rank in _RANKS if int in field.kinds]
    options += [value for value in (True, False) if bool in field.kinds]
    options += [None] if type(None) in field.kinds else []
    if field.is_collection:
        return tuple(source.sample(options, k=source.randint(0, min(2, len(options)))))
    return source.choice(options)
