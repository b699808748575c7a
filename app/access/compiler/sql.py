"""
From the trees of a rule to a condition of SQL: the same decision, for all rows of a table at once.

Theory of operation. Who asks and when is known, so every condition that mentions nothing else is decided here, in
Python and by the very code that predicates are made of; the rest becomes text. Two principals of one shape (the same
roles, facts known of both) get one text, and PostgreSQL one prepared statement. SQL has a third truth value and Polar
has not, where nil equals nil. So no NOT is ever written before what may be NULL: a `forbid` is turned inside out
instead (De Morgan), down to single conditions, and each of these is written, in both forms, such that a row passes
exactly when Python says True. Whether it is FALSE or NULL otherwise, the row does not.

Guarded by tests/access/compiler/test_sql.py, and on the shipped policy by tests/policies/test_random_decisions.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any as Anything
from typing import NamedTuple, TypeAlias

import msgspec

from app.access.compiler.attributes import collections_of, kinds_of
from app.access.compiler.conditions import (
    NEGATED,
    PRINCIPAL,
    RESOURCE,
    AnyOf,
    Attribute,
    CannotCompile,
    Comparison,
    Condition,
    Conjunction,
    Constant,
    Element,
    Exists,
    Listed,
    Operator,
    Plain,
    Term,
    shown,
)
from app.access.compiler.factor import All, Tree
from app.access.compiler.predicate import alone
from app.domain.access import Circumstances, Principal

NOTHING: Mapping[str, Plain] = MappingProxyType({})
MAX_INTEGER = 2**63  # where bigint ends

_NIL = type(None)
# No fractions: Python compares them with whole numbers exactly, PostgreSQL does not.
_TYPES: dict[frozenset[type], str] = {
    frozenset({str}): "text",
    frozenset({int}): "bigint",
    frozenset({bool}): "boolean",
}
_ELEMENT = "element"  # what an element of a collection is called in a statement


class SqlCondition(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on the rows of a statement: its text, and the arguments that its `$n` stand for, in order."""

    text: str
    arguments: tuple[Anything, ...] = ()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Of which rows it is asked: who asks and when, and what each attribute of the resource is in SQL."""

    principal: Principal
    circumstances: Circumstances
    class_: type  # of the resource
    columns: Mapping[str, str]  # attribute to expression
    known: Mapping[str, Plain] = NOTHING  # attributes that all rows have in common


def sql_condition(allow: Tree, forbid: Tree | None, asked: Asked, *, start: int = 1) -> SqlCondition:
    """
    The condition that a row passes exactly when it is allowed and not forbidden; its first parameter is `$start`.

    What is decided for all rows is TRUE or FALSE. Raises CannotCompile for values that the database cannot compare as
    the policy does, and whatever a predicate raises.
    """
    said = [_tree(allow, asked, holds=True)]
    if forbid is not None:
        said.append(_tree(forbid, asked, holds=False))
    return _numbered(_joined(said, every=True), start)


def check_sql(alternatives: Iterable[Conjunction], class_: type) -> None:
    """Raise CannotCompile for a condition on a resource of this class that has no exact translation."""
    asked = Asked(
        principal=_sample(Principal),
        circumstances=_sample(Circumstances),
        class_=class_,
        columns={name: name for name in kinds_of(class_)},
    )
    for condition in {condition for conjunction in alternatives for condition in conjunction}:
        for holds in (True, False):
            _condition(condition, asked, holds=holds)


class _Value(NamedTuple):
    """What is the same for all rows, on its way to becoming a `$n`: one number for one term of one type."""

    term: Term
    value: Anything
    type: str = ""


class _Column(NamedTuple):
    """What differs from row to row."""

    sql: str
    types: frozenset[type]  # without that of nil
    nullable: bool = False
    is_collection: bool = False


_Text: TypeAlias = tuple[str | _Value, ...]
_Said: TypeAlias = bool | _Text
"""Decided, or to be asked of each row."""


# ---- Trees ----


def _tree(tree: Tree, asked: Asked, *, holds: bool) -> _Said:
    """That a tree holds, or that it does not."""
    if isinstance(tree, All):
        said = [_condition(condition, asked, holds=holds) for condition in tree.conditions]
        if tree.rest is not None:
            said.append(_tree(tree.rest, asked, holds=holds))
        return _joined(said, every=holds)
    return _joined([_tree(branch, asked, holds=holds) for branch in tree.branches], every=not holds)


def _joined(said: Iterable[_Said], *, every: bool) -> _Said:
    """All of them, or any of them; of none: all hold, and not any."""
    parts: list[_Text] = []
    for one in said:
        if isinstance(one, bool):
            if one is not every:
                return one
        elif one not in parts:
            parts.append(one)
    if not parts:
        return every
    if len(parts) == 1:
        return parts[0]
    between = " AND " if every else " OR "
    text: list[str | _Value] = []
    for part in parts:
        text += [between if text else "(", *part]
    return (*text, ")")


def _numbered(said: _Said, start: int) -> SqlCondition:
    if isinstance(said, bool):
        return SqlCondition(text="TRUE" if said else "FALSE")
    numbers: dict[tuple[Term, str], int] = {}
    arguments: list[Anything] = []
    text = ""
    for part in said:
        if isinstance(part, str):
            text += part
            continue
        number = numbers.setdefault((part.term, part.type), start + len(numbers))
        if number == start + len(arguments):
            arguments.append(part.value)
        text += f"${number}::{part.type}"
    return SqlCondition(text=text, arguments=tuple(arguments))


# ---- Conditions ----


def _condition(condition: Condition, asked: Asked, *, holds: bool) -> _Said:
    if not any(_differs(term, asked) for term in _terms(condition)):
        resource: Anything = SimpleNamespace(**asked.known)  # no more of it is looked at
        return alone(condition)(asked.principal, resource, asked.circumstances) is holds
    match condition:
        case Comparison(operator=operator):
            return _comparison(condition, operator if holds else NEGATED[operator], asked)
        case AnyOf():
            return _any_of(condition, asked, holds=holds)
        case Exists():
            return _exists(condition, asked, holds=holds)


def _comparison(condition: Comparison, operator: Operator, asked: Asked, element: _Column | None = None) -> _Said:
    left, right = _side(condition.left, asked, element), _side(condition.right, asked, element)
    match operator:
        case "==" | "!=":
            if isinstance(left, _Value):
                left, right = right, left
            return _equality(_single(left, condition), right, condition, equal=operator == "==")
        case "in" | "not in":
            return _membership(left, right, condition, inside=operator == "in")
        case _:
            return (*_ordered(left, condition), f" {operator} ", *_ordered(right, condition))


def _equality(left: _Column, right: _Value | _Column, condition: Comparison, *, equal: bool) -> _Said:
    if isinstance(right, _Column):
        if _single(right, condition).types != left.types:
            raise CannotCompile(f"columns of two types: {shown(condition)}")
        nullable, both = left.nullable or right.nullable, left.nullable and right.nullable
        if equal:
            return (f"{left.sql} IS NOT DISTINCT FROM {right.sql}" if both else f"{left.sql} = {right.sql}",)
        return (f"{left.sql} {'IS DISTINCT FROM' if nullable else '<>'} {right.sql}",)
    if right.value is None:
        return (f"{left.sql} IS {'' if equal else 'NOT '}NULL",) if left.nullable else not equal
    if not _fits(right.value, left, condition):
        return not equal
    differs = " IS DISTINCT FROM " if left.nullable else " <> "
    return (left.sql, " = " if equal else differs, right._replace(type=_type(left.types)))


def _membership(left: _Value | _Column, right: _Value | _Column, condition: Comparison, *, inside: bool) -> _Said:
    if isinstance(right, _Column):
        return _membership_in_column(left, right, condition, inside=inside)
    column = _single(left, condition)
    if not isinstance(right.value, tuple):
        raise CannotCompile(f"a part of a text: {shown(condition)}")
    known = tuple(value for value in right.value if value is not None and _fits(value, column, condition))
    takes_nil = None in right.value
    array = right._replace(value=list(known), type=f"{_type(column.types)}[]")
    passing: list[_Said] = [(column.sql, " = ANY(" if inside else " <> ALL(", array, ")")]
    if not known:
        passing = [not inside]
    # NULL passes neither form of itself.
    if column.nullable and inside is takes_nil:
        return _joined([(f"{column.sql} IS NULL",), *passing], every=False)
    if column.nullable and passing == [True]:
        return (f"{column.sql} IS NOT NULL",)
    return passing[0]


def _membership_in_column(left: _Value | _Column, right: _Column, condition: Comparison, *, inside: bool) -> _Said:
    collection = _collection(right, condition)
    if isinstance(left, _Column):
        if left.nullable or _single(left, condition).types != collection.types:
            raise CannotCompile(f"nil, or another type, looked for in a column: {shown(condition)}")
        return (f"{left.sql} {'= ANY' if inside else '<> ALL'}({collection.sql})",)
    if left.value is None or not _fits(left.value, collection, condition):
        return not inside
    return (left._replace(type=_type(collection.types)), f" {'= ANY' if inside else '<> ALL'}({collection.sql})")


def _ordered(side: _Value | _Column, condition: Comparison) -> _Text:
    """One side of an order: a number, or a column of numbers without nil."""
    if isinstance(side, _Column):
        if side.nullable or _single(side, condition).types != {int}:
            raise CannotCompile(f"an order of what has none: {shown(condition)}")
        return (side.sql,)
    if type(side.value) is not int or not _is_held(side.value):
        raise CannotCompile(f"an order against {side.value!r}: {shown(condition)}")
    return (side._replace(type="bigint"),)


def _any_of(condition: AnyOf, asked: Asked, *, holds: bool) -> _Said:
    column = _side(condition.collection, asked, None)
    assert isinstance(column, _Column)  # noqa: S101 - whatever is none is decided already
    collection = _collection(column, condition)
    values = [value for value in sorted(condition.values, key=repr) if _fits(value, collection, condition)]
    if not values:
        return not holds
    array = _Value(Listed(tuple(values)), values, f"{_type(collection.types)}[]")
    return ("(" if holds else "(NOT ", collection.sql, " && ", array, ")")


def _exists(condition: Exists, asked: Asked, *, holds: bool) -> _Said:
    collection = _side(condition.collection, asked, None)
    if isinstance(collection, _Column):
        types = _collection(collection, condition).types
        elements: _Text = (collection.sql,)
    else:
        root = Principal if condition.collection.root == PRINCIPAL else Circumstances
        types = kinds_of(root)[condition.collection.name] - {_NIL}
        if not isinstance(collection.value, tuple):
            raise CannotCompile(f"no collection: {shown(condition)}")
        elements = (collection._replace(value=list(collection.value), type=f"{_type(types)}[]"),)
    element = _Column(_ELEMENT, types)
    inner = _joined(
        [_comparison(one, one.operator, asked, element) for one in sorted(condition.conditions, key=shown)], every=True
    )
    if inner is False:
        return not holds
    where: _Text = () if inner is True else (" WHERE ", *inner)
    beginning = f"{'' if holds else 'NOT '}EXISTS (SELECT FROM unnest("
    return (beginning, *elements, f") AS {_ELEMENT}", *where, ")")


# ---- Terms ----


def _terms(condition: Condition) -> list[Term]:
    match condition:
        case Comparison(left=left, right=right):
            return [left, right]
        case AnyOf(collection=collection):
            return [collection]
        case Exists(collection=collection, conditions=conditions):
            return [collection, *(term for one in conditions for term in _terms(one))]


def _differs(term: Term, asked: Asked) -> bool:
    """Whether a term is another for each row."""
    return isinstance(term, Attribute) and term.root == RESOURCE and term.name not in asked.known


def _side(term: Term, asked: Asked, element: _Column | None) -> _Value | _Column:
    match term:
        case Constant(value=value):
            return _Value(term, value)
        case Listed(values=values):
            return _Value(term, values)
        case Attribute(root=root, name=name):
            if _differs(term, asked):
                return _column(asked.columns[name], asked.class_, name)
            if root == RESOURCE:
                return _Value(term, asked.known[name])
            return _Value(term, getattr(asked.principal if root == PRINCIPAL else asked.circumstances, name))
        case Element():
            if element is None:
                raise CannotCompile("an element compared outside of its collection")
            return element


def _column(sql: str, class_: type, name: str) -> _Column:
    kinds = kinds_of(class_)[name]
    return _Column(sql, kinds - {_NIL}, nullable=_NIL in kinds, is_collection=name in collections_of(class_))


def _single(side: _Value | _Column, condition: Condition) -> _Column:
    """A column of single values."""
    if isinstance(side, _Value) or side.is_collection:
        raise CannotCompile(f"a collection for a single value: {shown(condition)}")
    return side


def _collection(side: _Column, condition: Condition) -> _Column:
    """A column of arrays, each of which is there."""
    if not side.is_collection or side.nullable:
        raise CannotCompile(f"no collection: {shown(condition)}")
    return side


def _type(types: frozenset[type]) -> str:
    try:
        return _TYPES[types]
    except KeyError:
        raise CannotCompile(f"a column of {len(types)} types") from None


def _fits(value: Plain, column: _Column, condition: Condition) -> bool:
    """Whether a column can hold a value; what it cannot hold is equal to nothing in it."""
    if type(value) not in column.types:
        raise CannotCompile(f"{value!r} compared with a column of another type: {shown(condition)}")
    return _is_held(value)


def _is_held(value: Plain) -> bool:
    """Whether there is such a value in PostgreSQL: no NUL, no halves of surrogate pairs, no more than a bigint."""
    match value:
        case str():
            return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value)
        case bool() | None:
            return True
        case _:
            return isinstance(value, int) and -MAX_INTEGER <= value < MAX_INTEGER


def _sample(class_: type) -> Anything:
    """One of these in which nothing is missing: what is decided early hides what cannot be translated."""
    collections = collections_of(class_)
    values: dict[str, Anything] = {}
    for name, kinds in kinds_of(class_).items():
        single: Plain = "x" if str in kinds else False if bool in kinds else 0
        values[name] = (single,) if name in collections else single
    return class_(**values)
