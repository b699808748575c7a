"""Schemas come from users: nothing is fetched, nothing stalls, and faults are pointed at."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given

from app.domain.schema import DIALECT, declares_type, pointer_of, schema_violations, value_violations
from tests.builders import json_values


def faults(schema: Any) -> list[tuple[str, str]]:
    return [(violation.pointer, violation.code) for violation in schema_violations(schema)]


@pytest.mark.parametrize(
    "schema",
    [
        True,
        False,
        {},
        {"$schema": DIALECT},
        {"type": "string", "pattern": "^a+$"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}},
        {"$ref": DIALECT},  # known without looking
        {"properties": {"a": {"$ref": "#"}}},
    ],
)
def test_schemas_that_are_taken(schema: Any) -> None:
    assert schema_violations(schema) == []


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (None, ("#/schema", "type")),
        ([], ("#/schema", "type")),
        ("string", ("#/schema", "type")),
        (1, ("#/schema", "type")),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, ("#/schema/$schema", "dialect")),
        ({"$schema": None}, ("#/schema/$schema", "dialect")),
        ({"type": "strnig"}, ("#/schema/type", "schema")),
        ({"minLength": -1}, ("#/schema/minLength", "schema")),
        ({"properties": {"a/b": {"type": 1}}}, ("#/schema/properties/a~1b/type", "schema")),
        ({"$ref": "#nowhere"}, ("#/schema", "schema")),
        ({"$ref": "#/$defs/nowhere"}, ("#/schema", "schema")),
        # Patterns that need more than linear time.
        ({"pattern": "(?=a)"}, ("#/schema/pattern", "schema")),
        ({"pattern": "(?!a)b"}, ("#/schema/pattern", "schema")),
        ({"pattern": "(?<=a)b"}, ("#/schema/pattern", "schema")),
        ({"pattern": "(?<!a)b"}, ("#/schema/pattern", "schema")),
        ({"pattern": r"(a)\1"}, ("#/schema/pattern", "schema")),
        ({"pattern": "("}, ("#/schema/pattern", "schema")),
        ({"pattern": "((a{1000}){1000}){1000}"}, ("#/schema/pattern", "schema")),
        ({"patternProperties": {"(?=a)": True}}, ("#/schema/patternProperties/(?=a)", "schema")),
    ],
)
def test_schemas_that_are_refused(schema: Any, expected: tuple[str, str]) -> None:
    assert faults(schema) == [expected]


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_a_reference_to_elsewhere_is_refused_and_nobody_is_asked(keyword: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        port = elsewhere.getsockname()[1]

        assert faults({keyword: f"http://127.0.0.1:{port}/schema.json"}) == [("#/schema", "schema")]

        with pytest.raises(BlockingIOError):
            elsewhere.accept()


@pytest.mark.parametrize("url", ["file:///etc/hostname", "https://example.org/x", "other.json"])
def test_references_outside_of_the_schema_are_refused(url: str) -> None:
    assert faults({"$ref": url}) == [("#/schema", "schema")]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    ],
)
def test_a_schema_that_refers_to_itself_for_ever_ends(schema: Any) -> None:
    assert schema_violations(schema) == []
    assert value_violations(schema, {"a": 1}) == []


def test_a_pattern_that_would_stall_a_backtracking_engine_is_linear() -> None:
    violations = value_violations({"pattern": "^(a+)+$"}, "a" * 60_000 + "!")

    assert [violation.code for violation in violations] == ["pattern"]
    assert len(violations[0].detail) <= 500


@given(json_values)
def test_any_value_can_be_judged(value: Any) -> None:
    assert value_violations(True, value) == []
    assert [violation.pointer for violation in value_violations(False, value)] == ["#/value"]
    assert value_violations({"enum": [value]}, value) == []


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "string"}, 1, [("#/value", "type")]),
        ({"items": {"minimum": 5}}, [5, 4, 3], [("#/value/1", "minimum"), ("#/value/2", "minimum")]),
        ({"properties": {"a~b": {"const": 1}}}, {"a~b": 2}, [("#/value/a~0b", "constant")]),
        ({"properties": {}, "additionalProperties": False}, {"x": 1}, [("#/value", "additional-properties")]),
        ({"format": "email"}, "nobody", [("#/value", "format")]),
        ({"type": "integer"}, 1.0, []),
        ({"type": "integer"}, 1.5, [("#/value", "type")]),
        ({"type": "integer"}, True, [("#/value", "type")]),
        ({"type": "integer", "maximum": 5}, 10**30, [("#/value", "maximum")]),
        ({"const": 9007199254740993}, 9007199254740992, [("#/value", "constant")]),
        ({"const": 10**40}, 10**40, []),
    ],
)
def test_where_a_value_breaks_its_schema(schema: Any, value: Any, expected: list[tuple[str, str]]) -> None:
    violations = value_violations(schema, value)

    assert [(violation.pointer, violation.code) for violation in violations] == expected


def test_at_most_a_hundred_violations_are_told() -> None:
    assert len(value_violations({"items": {"type": "string"}}, [1] * 500)) == 100


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object"}, True),
        ({"type": ["object"]}, True),
        ({"type": ["object", "null"]}, False),
        ({"type": "array"}, False),
        ({}, False),
        (True, False),
        ("object", False),
    ],
)
def test_whether_a_schema_says_that_every_instance_is_an_object(schema: Any, expected: bool) -> None:
    assert declares_type(schema, "object") is expected


@pytest.mark.parametrize(
    ("path", "pointer"),
    [([], "#"), (["value"], "#/value"), (["value", 0, "a/b"], "#/value/0/a~1b"), (["~", "~1", ""], "#/~0/~01/")],
)
def test_pointers(path: list[str | int], pointer: str) -> None:
    assert pointer_of(path) == pointer
