"""Resources as rows of a temporary table: what a condition of SQL is tried on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from app.access.compiler.attributes import collections_of, kinds_of

_TYPES: dict[type, str] = {str: "text", int: "bigint", bool: "boolean"}


def rows_of(table: str, class_: type, resources: Sequence[msgspec.Struct]) -> str:
    """A script that makes a temporary table: attributes are its columns, and `number` is a resource's place."""
    types = {name: _type(class_, name) for name in class_.__struct_fields__}  # type: ignore[attr-defined]  # of Structs
    columns = ", ".join(["number int", *(f"{name} {type_}" for name, type_ in types.items())])
    rows: list[dict[str, Any]] = [
        {"number": number, **{name: _value(getattr(one, name)) for name in types}}
        for number, one in enumerate(resources)
    ]
    content = json.dumps(rows).replace("'", "''")
    return (
        f"DROP TABLE IF EXISTS {table}; CREATE TEMPORARY TABLE {table} ({columns});"
        f"INSERT INTO {table} SELECT * FROM json_to_recordset('{content}') AS t ({columns})"
    )


def _type(class_: type, name: str) -> str:
    [kind] = kinds_of(class_)[name] - {type(None)}
    return _TYPES[kind] + ("[]" if name in collections_of(class_) else "")


def _value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
