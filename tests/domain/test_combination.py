from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.canonical import canonical
from app.domain.combination import MergeStrategy, combine
from tests.builders import json_values, lists, objects


@given(st.lists(json_values, min_size=1, max_size=5))
def test_replace_gives_the_last(values: list[Any]) -> None:
    assert combine(MergeStrategy.REPLACE, values) is values[-1]


@given(st.lists(lists, min_size=1, max_size=5))
def test_append_gives_each_item_once_and_loses_none(values: list[list[Any]]) -> None:
    combined = combine(MergeStrategy.APPEND, values)

    given_items = [canonical(item) for value in values for item in value]
    assert [canonical(item) for item in combined] == list(dict.fromkeys(given_items))


@given(st.lists(objects, min_size=1, max_size=4), st.lists(objects, min_size=1, max_size=4))
def test_merging_objects_never_changes_its_arguments(first: list[Any], second: list[Any]) -> None:
    values = [*first, *second]
    before = [canonical(value) for value in values]

    combine(MergeStrategy.MERGE, values)

    assert [canonical(value) for value in values] == before


def test_numbers_of_different_spelling_and_booleans_are_different_items() -> None:
    combined = combine(MergeStrategy.APPEND, [[1, 1.0], [True, 1, "1"]])

    assert canonical(combined) == b'[1,1.0,true,"1"]'


def test_objects_that_differ_in_the_order_of_members_are_the_same_item() -> None:
    assert combine(MergeStrategy.APPEND, [[{"a": 1, "b": 2}], [{"b": 2, "a": 1}]]) == [{"a": 1, "b": 2}]
