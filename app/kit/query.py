"""
Strict reading of query strings into frozen Structs.

Duplicates, unknown names, broken UTF-8 and control characters are refused: a parameter that is silently ignored, or
of which the last one wins, is how one tenant's question gets another's answer.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from app.domain.errors import Malformed, Violation

T = TypeVar("T", bound=msgspec.Struct)

MAX_PARAMETERS = 64  # no call knows half as many; more are noise

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_INTEGER = re.compile(r"-?[0-9]{1,18}")


def parse_query(query_string: bytes, type_: type[T]) -> T:
    """
    The parameters as an instance of a Struct whose fields are strings, enums, integers, booleans or string lists.

    Lists are written with commas. Raises Malformed naming the parameter (`/query/limit`).
    """
    kinds = _kinds(type_)
    values: dict[str, Any] = {}
    for name, text in _pairs(query_string):
        if name not in kinds:
            raise _wrong(name, "unknown", f"There is no such parameter; known are {', '.join(kinds) or 'none'}.")
        if name in values:
            raise _wrong(name, "duplicate", "The parameter is given twice.")
        if _CONTROL.search(text):
            raise _wrong(name, "control-character", "The parameter holds a control character.")
        values[name] = _plain(name, text, kinds[name])
    for name in _required(type_):
        if name not in values:
            raise _wrong(name, "missing", "The parameter is required.")
    try:
        return msgspec.convert(values, type_)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise _wrong(where.rstrip("`").partition("[")[0], "form", what.replace("`", "") + ".") from error


@contextmanager
def pointing_into_query() -> Iterator[None]:
    """What is wrong with a member inside of this block is wrong with the query parameter of that name."""
    try:
        yield
    except Malformed as error:
        errors = [msgspec.structs.replace(one, pointer=one.pointer.replace("#/", "/query/")) for one in error.errors]
        raise Malformed(error.detail, errors=errors) from error


def _pairs(query_string: bytes) -> list[tuple[str, str]]:
    if not query_string:
        return []
    try:
        return parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError as error:
        raise Malformed("The query string cannot be read: use name=value&…, percent-encoded UTF-8.") from error


def _plain(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text not in ("true", "false"):
            raise _wrong(name, "form", "Expected true or false.")
        return text == "true"
    if kind is int:
        if not _INTEGER.fullmatch(text):
            raise _wrong(name, "form", "Expected an integer.")
        return int(text)
    return text.split(",") if kind is tuple else text


@functools.cache
def _kinds(type_: type[msgspec.Struct]) -> dict[str, type]:
    """What each parameter is read as, by its name on the wire."""
    return {field.encode_name: _kind(msgspec.inspect.type_info(field.type)) for field in msgspec.structs.fields(type_)}


@functools.cache
def _required(type_: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(type_) if field.required)


def _kind(info: msgspec.inspect.Type) -> type:
    if isinstance(info, msgspec.inspect.UnionType):
        return _kind(next(part for part in info.types if not isinstance(part, msgspec.inspect.NoneType)))
    if isinstance(info, msgspec.inspect.BoolType):
        return bool
    if isinstance(info, msgspec.inspect.IntType):
        return int
    return tuple if isinstance(info, msgspec.inspect.VarTupleType) else str


def _wrong(name: str, code: str, detail: str) -> Malformed:
    shown = name[:80]
    return Malformed(
        f"The query parameter {shown!r} is wrong: {detail[:1].lower()}{detail[1:]}",
        errors=[Violation(pointer=f"/query/{shown}", code=code, detail=detail)],
    )
