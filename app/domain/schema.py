"""
JSON Schema 2020-12, as far as definitions need it.

Schemas come from users, so nothing is ever fetched (`offline`) and patterns run on the linear-time engine: a pattern
that needs look-around is refused when the definition is written, instead of stalling a worker when a value is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

import jsonschema_rs

from app.domain.canonical import CanonicalJson, canonical, plain
from app.domain.errors import Violation

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_VIOLATIONS = 100  # more would only make the answer long; the first hundred are enough to act on


def schema_violations(schema: Any) -> list[Violation]:
    """What keeps a document from being a schema we accept; empty when it is one."""
    if not isinstance(schema, dict | bool):
        return [Violation(pointer="#/schema", code="type", detail="A schema is an object, true or false.")]
    if isinstance(schema, dict) and schema.get("$schema", DIALECT) != DIALECT:
        return [Violation(pointer="#/schema/$schema", code="dialect", detail=f"Only {DIALECT} is understood.")]
    try:
        _validator(canonical(schema))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        path = ["schema", *getattr(error, "instance_path", [])]
        return [Violation(pointer=pointer_of(path), code="schema", detail=_first_line(error))]
    return []


def value_violations(schema: Any, value: Any, *, at: str = "value") -> list[Violation]:
    """Where a value breaks a schema, as pointers below `at`; empty when it keeps to it."""
    errors = _validator(canonical(schema)).iter_errors(value)
    found: list[Violation] = []
    for error in errors:
        if len(found) == MAX_VIOLATIONS:
            break
        found.append(
            Violation(pointer=pointer_of([at, *error.instance_path]), code=_code(error), detail=_first_line(error))
        )
    return found


def declares_type(schema: Any, name: str) -> bool:
    """Whether a schema says that every instance is of this JSON type."""
    return isinstance(schema, dict) and schema.get("type") in (name, [name])


def pointer_of(path: Iterable[str | int]) -> str:
    """A JSON Pointer in its URI fragment form, from the steps it takes (RFC 6901)."""
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


@functools.lru_cache(maxsize=1024)  # a pure function of the schema's bytes, so nothing in it can go stale
def _validator(schema: CanonicalJson) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        plain(schema), offline=True, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
    )


def _code(error: jsonschema_rs.ValidationError) -> str:
    name = type(error.kind).__name__
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "message", error))
    return text.partition("\n")[0][:500]
