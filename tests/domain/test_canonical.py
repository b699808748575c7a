"""One spelling for each JSON value."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.canonical import canonical, plain
from tests.builders import json_values, numbers


def reordered(value: Any) -> Any:
    """The same value with the members of its objects the other way round."""
    if isinstance(value, dict):
        return {name: reordered(member) for name, member in reversed(value.items())}
    if isinstance(value, list):
        return [reordered(item) for item in value]
    return value


@given(json_values)
def test_equal_values_have_equal_bytes(value: Any) -> None:
    assert canonical(reordered(value)) == canonical(value)


@given(json_values, json_values)
def test_different_values_have_different_bytes(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (canonical(one) == canonical(other)) is same


@given(json_values)
def test_it_is_idempotent_and_loses_nothing(value: Any) -> None:
    once = canonical(value)

    assert canonical(plain(once)) == once
    assert json.dumps(plain(once), sort_keys=True) == json.dumps(value, sort_keys=True)


@given(json_values)
def test_the_standard_library_reads_the_same(value: Any) -> None:
    assert json.dumps(json.loads(canonical(value)), sort_keys=True) == json.dumps(value, sort_keys=True)


@given(numbers)
def test_numbers_keep_type_value_and_sign(number: float) -> None:
    back = plain(canonical(number))

    assert type(back) is type(number)
    assert back == number
    assert math.copysign(1, back) == math.copysign(1, number)


@given(st.integers(min_value=1, max_value=1_000))
def test_long_integers_keep_every_digit(digits: int) -> None:
    number = 10**digits - 1

    assert canonical(number) == b"9" * digits
    assert plain(canonical(number)) == number


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        ({"b": 1, "a": [1, 2.5, True, None, ""]}, '{"a":[1,2.5,true,null,""],"b":1}'),
        ({"ä": "ö", "z": "😀"}, '{"z":"😀","ä":"ö"}'),
        (9007199254740993, "9007199254740993"),
        (0.1, "0.1"),
        ('\u001f"\\/', r'"\u001f\"\\/"'),
    ],
)
def test_spellings(value: Any, spelling: str) -> None:
    assert canonical(value).decode() == spelling
