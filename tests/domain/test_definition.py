"""What a key may be, what a definition may say, and what may be set for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.combination import MergeStrategy
from app.domain.definition import (
    ResolutionRule,
    Sensitivity,
    SettingDefinition,
    check_definition,
    check_value,
    is_key,
    require_key,
)
from app.domain.errors import Malformed, Refused, Violation
from app.domain.scope import Level
from tests.builders import definition, json_values

STRINGS = {"type": "array", "items": {"type": "string"}}
PORT = {
    "type": "object",
    "properties": {"port": {"type": "integer"}, "host": {"type": "string"}},
    "required": ["port", "host"],
}


@pytest.mark.parametrize("key", ["a", "ui.theme", "ui.1", "ui.-", "ui._x", "a-b_c.D", "uI.Theme", "a.b.c.d", "a" * 200])
def test_keys(key: str) -> None:
    assert is_key(key)
    assert require_key(key, pointer="#/key") == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        ".",
        "A",
        "1a",
        "-a",
        "_a",
        ".a",
        "a.",
        "a..b",
        "a b",
        "a/b",
        "a%2eb",
        "ui.theme\n",
        "\nui",
        "ui\0",
        "ä",
        "b\u0456lling",
        "a" * 201,
        "ui.\u212a",
    ],
    ids=ascii,
)
def test_what_is_no_key(key: str) -> None:
    assert not is_key(key)
    with pytest.raises(Malformed) as caught:
        require_key(key, pointer="/path/key")

    assert [(error.pointer, error.code) for error in caught.value.errors] == [("/path/key", "key")]


@given(st.text(st.sampled_from("aZ09_-.\n/"), max_size=6))
def test_a_key_is_segments_between_dots(text: str) -> None:
    segments = text.split(".")
    word = set("aZ09_-")

    expected = text[:1] == "a" and all(segment != "" and set(segment) <= word for segment in segments)

    assert is_key(text) is expected


def test_sensitivity_rises_from_public_to_secret() -> None:
    assert [(one.value, one.rank) for one in Sensitivity] == [
        ("public", 0),
        ("internal", 1),
        ("confidential", 2),
        ("secret", 3),
    ]


def test_the_rule_of_a_definition_is_what_resolution_needs() -> None:
    assert definition(default=[], merge_strategy=MergeStrategy.APPEND).rule == ResolutionRule(
        key="ui.theme", default=b"[]", merge_strategy=MergeStrategy.APPEND
    )


def faults(wrong: SettingDefinition) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as caught:
        check_definition(wrong)
    return [(error.pointer, error.code) for error in caught.value.errors]


@pytest.mark.parametrize(
    "good",
    [
        definition(),
        definition(schema={"type": "string"}, default=""),
        definition(schema=STRINGS, default=[], merge_strategy=MergeStrategy.APPEND),
        definition(schema={"type": ["object"]}, default={}, merge_strategy=MergeStrategy.MERGE),
        definition(levels=(Level.USER, Level.GLOBAL)),
    ],
)
def test_definitions_that_agree_with_themselves(good: SettingDefinition) -> None:
    check_definition(good)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (definition(levels=()), [("#/levels", "levels")]),
        (definition(levels=(Level.USER, Level.USER)), [("#/levels", "levels")]),
        (definition(schema={"type": "string"}), [("#/default", "type")]),
        (definition(schema={"type": "nothing"}), [("#/schema/type", "schema")]),
        (definition(merge_strategy=MergeStrategy.MERGE), [("#/mergeStrategy", "merge-strategy")]),
        (
            definition(schema={"type": ["object", "null"]}, merge_strategy=MergeStrategy.MERGE),
            [("#/mergeStrategy", "merge-strategy")],
        ),
        (
            definition(schema={"type": "object"}, default={}, merge_strategy=MergeStrategy.APPEND),
            [("#/mergeStrategy", "merge-strategy")],
        ),
        (definition(schema=False, levels=()), [("#/default", "false-schema"), ("#/levels", "levels")]),
    ],
)
def test_definitions_that_contradict_themselves(wrong: SettingDefinition, expected: list[tuple[str, str]]) -> None:
    assert faults(wrong) == expected


def pointers(violations: list[Violation]) -> list[tuple[str, str]]:
    return [(violation.pointer, violation.code) for violation in violations]


@given(json_values)
def test_a_schema_that_takes_anything_takes_anything(value: object) -> None:
    assert check_value(definition(), value, level=Level.USER) == []


def test_a_level_that_is_not_named_is_refused() -> None:
    only_tenants = definition(levels=(Level.GLOBAL, Level.TENANT))

    violations = check_value(only_tenants, "x", level=Level.USER)

    assert violations == [
        Violation(
            pointer="#/scope",
            code="level-not-allowed",
            detail="ui.theme may be set at GLOBAL, TENANT, not at USER.",
        )
    ]
    assert check_value(only_tenants, "x", level=Level.TENANT) == []


def test_a_wrong_value_is_pointed_at() -> None:
    nested = definition(schema={"properties": {"a/b": {"items": {"type": "string"}}}}, default={}, levels=(Level.USER,))

    violations = check_value(nested, {"a/b": ["x", 1]}, level=Level.USER)

    assert pointers(violations) == [("#/value/a~1b/1", "type")]


def test_the_pointer_starts_where_the_caller_says() -> None:
    violations = check_value(definition(schema={"type": "string"}, default=""), 1, level=Level.USER, at="default")

    assert pointers(violations) == [("#/default", "type")]


def test_a_partial_object_need_not_repeat_what_the_default_gives() -> None:
    server = definition(schema=PORT, default={"port": 80, "host": "a"}, merge_strategy=MergeStrategy.MERGE)

    assert check_value(server, {"port": 8080}, level=Level.USER) == []
    assert check_value(server, {}, level=Level.USER) == []
    assert pointers(check_value(server, {"port": "x"}, level=Level.USER)) == [("#/value/port", "type")]
    assert pointers(check_value(server, {"port": None}, level=Level.USER)) == [("#/value", "required")]


@pytest.mark.parametrize(
    ("strategy", "schema", "default", "value"),
    [
        (MergeStrategy.MERGE, {"type": "object"}, {}, []),
        (MergeStrategy.MERGE, {"type": "object"}, {}, None),
        (MergeStrategy.APPEND, {"type": "array"}, [], {}),
        (MergeStrategy.APPEND, {"type": "array"}, [], "text"),
        (MergeStrategy.APPEND, {"type": "array"}, [], None),
    ],
)
def test_a_combined_setting_takes_only_what_can_be_combined(
    strategy: MergeStrategy, schema: object, default: object, value: object
) -> None:
    combined = definition(schema=schema, default=default, merge_strategy=strategy)

    assert pointers(check_value(combined, value, level=Level.USER)) == [("#/value", "type")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["x"], []),
        ([1], [("#/value/0", "type")]),
        (["x", "a", 1], [("#/value/2", "type")]),
        (["x", 1, 1, 2], [("#/value/1", "type"), ("#/value/3", "type")]),
    ],
)
def test_a_wrong_item_is_pointed_at_where_the_caller_wrote_it(
    value: list[object], expected: list[tuple[str, str]]
) -> None:
    names = definition(schema=STRINGS, default=["a", "b"], merge_strategy=MergeStrategy.APPEND)

    assert pointers(check_value(names, value, level=Level.USER)) == expected


def test_a_wrong_member_of_an_item_is_pointed_at_where_the_caller_wrote_it() -> None:
    people = definition(
        schema={"type": "array", "items": {"properties": {"age": {"type": "integer"}}}},
        default=[{"age": 1}],
        merge_strategy=MergeStrategy.APPEND,
    )

    assert pointers(check_value(people, [{"age": "x"}], level=Level.USER)) == [("#/value/0/age", "type")]


def test_a_list_that_is_wrong_as_a_whole_is_pointed_at_as_a_whole() -> None:
    few = definition(schema={"type": "array", "maxItems": 2}, default=["a", "b"], merge_strategy=MergeStrategy.APPEND)

    assert pointers(check_value(few, ["c"], level=Level.USER)) == [("#/value", "max-items")]


def test_an_item_of_the_default_is_pointed_at_in_the_combined_list() -> None:
    # Only a default that was let in by an older schema can be wrong; the caller then has no item to point at.
    broken = definition(schema=STRINGS, default=[1], merge_strategy=MergeStrategy.APPEND)

    assert pointers(check_value(broken, ["x"], level=Level.USER)) == [("#/value/0", "type")]


@pytest.mark.parametrize("sensitivity", [Sensitivity.CONFIDENTIAL, Sensitivity.SECRET])
def test_what_is_wrong_with_a_sensitive_value_is_told_without_quoting_it(sensitivity: Sensitivity) -> None:
    named = {"schema": PORT, "default": {"port": 1, "host": ""}, "sensitivity": sensitivity}
    wrong = {"port": "hunter2", "host": 4711}

    told = check_value(definition(**named), wrong, level=Level.TENANT)
    with pytest.raises(Refused) as caught:
        check_definition(definition(**{**named, "default": wrong}))

    for errors in (told, caught.value.errors):
        assert [error.code for error in errors] == ["type", "type"]
        assert {error.detail for error in errors} == {"This part breaks the schema."}
    assert {error.pointer for error in told} == {"#/value/port", "#/value/host"}
