from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from app.domain.canonical import canonical
from app.domain.errors import Refused, Violation
from app.domain.merge_patch import merge_patch
from app.domain.value import ValuePatch, patched, size_violations
from tests.builders import FALSY, colliding, objects, setting_value


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({}, ValuePatch(value={"a": 1, "b": 2}, metadata={"why": "x"})),
        ({"value": {"a": None}}, ValuePatch(value={"b": 2}, metadata={"why": "x"})),
        ({"value": {"c": 3}}, ValuePatch(value={"a": 1, "b": 2, "c": 3}, metadata={"why": "x"})),
        ({"value": [1]}, ValuePatch(value=[1], metadata={"why": "x"})),
        ({"metadata": {"why": None}}, ValuePatch(value={"a": 1, "b": 2}, metadata={})),
        ({"metadata": None}, ValuePatch(value={"a": 1, "b": 2}, metadata={})),
    ],
)
def test_a_patch_changes_what_it_names(patch: dict[str, Any], expected: ValuePatch) -> None:
    assert patched(setting_value({"a": 1, "b": 2}, metadata={"why": "x"}), patch) == expected


@pytest.mark.parametrize("falsy", FALSY[:-1], ids=repr)
def test_a_patch_may_set_a_falsy_value(falsy: Any) -> None:
    after = patched(setting_value("x"), {"value": falsy}).value

    assert canonical(after) == canonical(falsy)


def test_a_patch_cannot_remove_the_value() -> None:
    with pytest.raises(Refused) as caught:
        patched(setting_value("x"), {"value": None})

    assert [(error.pointer, error.code) for error in caught.value.errors] == [("#/value", "value-removed")]


def test_a_value_that_is_null_can_be_patched() -> None:
    assert patched(setting_value(None), {"metadata": {"a": 1}}) == ValuePatch(value=None, metadata={"a": 1})


@given(colliding, objects)
def test_a_patch_of_an_object_is_a_merge_patch(value: Any, patch: dict[str, Any]) -> None:
    assert patched(setting_value(value), {"value": patch}).value == merge_patch(value, patch)


def test_a_value_may_take_as_many_bytes_as_allowed_and_no_more() -> None:
    value = canonical("ä" * 10)  # 20 bytes and two quotes

    assert size_violations(value, max_bytes=22) == []
    assert size_violations(value, max_bytes=21, at="metadata") == [
        Violation(pointer="#/metadata", code="too-long", detail="It takes 22 bytes as JSON; at most 21 are allowed.")
    ]
