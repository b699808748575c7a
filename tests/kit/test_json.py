"""
Strict decoding: what is taken comes back exactly, and everything else is Malformed.

The abuse cases are A24 (bombs), A25 (duplicates), A26 (numbers) and A27 (strings).
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.canonical import canonical
from app.domain.errors import Malformed
from app.kit.json import MAX_DEPTH, MAX_INTEGER_DIGITS, decode_strictly, parse_strictly
from tests.builders import json_values, numbers

MIB = 1_048_576


class Item(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    item_key: str


class Body(msgspec.Struct, forbid_unknown_fields=True):
    value: Any = None
    count: int = 0
    ratio: float = 0.0
    flag: bool = False
    items: list[Item] = []
    attributes: dict[str, int] = {}
    groups: list[dict[str, list[int]]] = []


def refusal(body: bytes | str) -> str:
    with pytest.raises(Malformed) as caught:
        parse_strictly(body.encode() if isinstance(body, str) else body)
    assert len(caught.value.detail) < 300
    return caught.value.detail


def wrong_member(body: str, type_: type[msgspec.Struct] = Body) -> tuple[str, str]:
    with pytest.raises(Malformed) as caught:
        decode_strictly(body.encode(), type_)
    (error,) = caught.value.errors
    return error.pointer, error.detail


# ---- What is taken comes back exactly ----


@given(json_values)
def test_every_json_value_round_trips(value: Any) -> None:
    for ascii_only in (True, False):
        body = json.dumps(value, ensure_ascii=ascii_only).encode()

        assert canonical(parse_strictly(body)) == canonical(value)


@given(numbers)
def test_numbers_keep_type_value_and_sign(number: float) -> None:
    back = parse_strictly(json.dumps(number).encode())

    assert type(back) is type(number)
    assert back == number
    assert math.copysign(1, back) == math.copysign(1, number)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_strings_come_back_as_they_were_sent(text: str) -> None:
    assert parse_strictly(json.dumps(text).encode()) == text
    assert parse_strictly(json.dumps(text, ensure_ascii=False).encode()) == text


@given(st.binary(max_size=40))
def test_whatever_is_sent_is_read_or_malformed(body: bytes) -> None:
    try:
        parse_strictly(body)
    except Malformed as error:
        assert error.detail  # noqa: PT017 - either is fine; that nothing else is raised is the point


@given(st.text(st.sampled_from('[]{}",:\\u0d8e1-+.tn '), max_size=30))
def test_whatever_looks_like_json_is_read_as_the_standard_library_does_or_malformed(body: str) -> None:
    try:
        value = parse_strictly(body.encode())
    except Malformed:
        return

    assert json.dumps(json.loads(body)) == json.dumps(value)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("null", None),
        (' {"a" : [1, true]}\r\n\t', {"a": [1, True]}),
        ("-0", 0),
        ("0.10", 0.1),
        ("1E5", 100000.0),
        ("9007199254740991", 2**53 - 1),
        ("9007199254740993", 2**53 + 1),
        ("9223372036854775808", 2**63),
        ("18446744073709551616", 2**64),
        ("-18446744073709551616", -(2**64)),
        ("1e308", 1e308),
        ("5e-324", 5e-324),
        (r'"\u0041"', "A"),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\\u0000"', "\\u0000"),
        (r'"\\ud800"', "\\ud800"),
        (r'"\\\\u0000"', "\\\\u0000"),
        (r'"\r\n"', "\r\n"),
        ('"\u200b\u202e\ufeff"', "\u200b\u202e\ufeff"),
        ('["é", "e\u0301"]', ["é", "e\u0301"]),
    ],
)
def test_bodies_that_are_taken(body: str, value: Any) -> None:
    parsed = parse_strictly(body.encode())

    assert parsed == value
    assert type(parsed) is type(value)


def test_the_sign_of_a_floating_zero_is_kept() -> None:
    assert math.copysign(1, parse_strictly(b"-0.0")) == -1


# ---- A26: numbers ----


@pytest.mark.parametrize(
    "body",
    [
        "9007199254740993.0",
        "0.1000000000000000055511151231257827",
        "3.14159265358979323846264338327950288",
        "123456789012345678901234567890.0",
        "1e400",
        "-1e400",
        "1e1000000",
        "1e99999999999999999999",
        "1e-400",
        "1e-1000000",
        "1e-99999999999999999999",
        "0e99999999999999999999",
        "0e-99999999999999999999",
        "0." + "1" * 100_000,
    ],
    ids=lambda body: body[:40],
)
def test_a_number_that_would_be_rounded_is_refused(body: str) -> None:
    assert "cannot be kept exactly" in refusal(body)
    assert "cannot be kept exactly" in refusal(f'{{"value": [{body}]}}')


@pytest.mark.parametrize("body", ["NaN", "Infinity", "-Infinity", "[NaN]", '{"a": -Infinity}'])
def test_what_is_no_number_is_refused(body: str) -> None:
    assert "is not a JSON number" in refusal(body)


def test_integers_have_at_most_a_thousand_digits() -> None:
    longest = "9" * MAX_INTEGER_DIGITS

    assert parse_strictly(longest.encode()) == int(longest)
    assert "more than 1000 digits" in refusal("9" * (MAX_INTEGER_DIGITS + 1))
    assert "more than 1000 digits" in refusal("9" * 5_000)


# ---- A25: duplicates ----


@pytest.mark.parametrize(
    "body",
    [
        '{"value": 1, "value": 2}',
        '{"value": 1, "value": 1}',
        r'{"value": 1, "\u0076alue": 2}',
        r'{"\u0076alue": 1, "v\u0061lue": 2}',
        '{"a": 1, "value": 1, "b": 2, "value": 3}',
        '[{"x": {"value": 1, "value": 2}}]',
    ],
)
def test_a_member_given_twice_is_refused_by_name(body: str) -> None:
    assert refusal(body) == 'The member "value" is given twice in one object.'


def test_an_empty_name_may_not_be_given_twice_either() -> None:
    assert "given twice" in refusal('{"": 1, "": 2}')


def test_a_name_may_stand_in_two_objects_and_in_two_spellings_of_unicode() -> None:
    assert parse_strictly(b'[{"a": 1}, {"a": {"a": 2}}]') == [{"a": 1}, {"a": {"a": 2}}]
    assert len(parse_strictly('{"é": 1, "e\u0301": 2}'.encode())) == 2


# ---- A27: strings ----


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'"\x00"', "not JSON"),
        (b'{"a": 1}\x00', "not JSON"),
        (rb'"\u0000"', "NUL"),
        (rb'{"\u0000": 1}', "NUL"),
        (rb'"\\\u0000"', "NUL"),
        (rb'"a\\\\\u0000b"', "NUL"),
        (rb'"\ud800"', "surrogate"),
        (rb'"\uDFFF"', "surrogate"),
        (rb'"\ude00\ud83d"', "surrogate"),
        (rb'{"\ud800": 1}', "surrogate"),
        (rb'[[["\\\ud800"]]]', "surrogate"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xc0\x80"', "not UTF-8"),
        (b'"\xf5\x80\x80\x80"', "not UTF-8"),
        (b'"\xe2\x82"', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ('"a"'.encode("utf-16"), "not UTF-8"),
        ('"a"'.encode("utf-16-le"), "not JSON"),
        (b'"\n"', "not JSON"),
        (b'"\x1f"', "not JSON"),
        (rb'"\x41"', "not JSON"),
        (rb'"\u00g0"', "not JSON"),
    ],
    ids=repr,
)
def test_strings_that_cannot_be_stored_are_refused(body: bytes, reason: str) -> None:
    assert reason in refusal(body)


# ---- What is not JSON ----


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "{",
        "[1,]",
        '{"a":1,}',
        "{'a':1}",
        "{a:1}",
        '{"a"}',
        "01",
        "+1",
        ".5",
        "1.",
        "1e",
        "0x10",
        "1_000",
        "٣",
        "True",
        "None",
        "undefined",
        "// x\n1",
        "/**/1",
        "1 2",
        "{}{}",
        "\u00a01",
        "\x0c1",
        "'a'",
        '"a',
        "]",
        "}",
        ",",
    ],
)
def test_what_is_not_json_is_refused(body: str) -> None:
    assert "not JSON" in refusal(body)


# ---- A24: bombs. None of these may take seconds; the test run would show it. ----


def test_the_deepest_body() -> None:
    value = parse_strictly(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)

    for _ in range(MAX_DEPTH):
        (value,) = value or [None]
    assert value is None


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 200, 5_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"unknown":', "}]")])
def test_a_body_that_is_too_deep(depth: int, opening: str, closing: str) -> None:
    assert "nested more than 64 deep" in refusal(opening * depth + "1" + closing * depth)
    assert "nested more than 64 deep" in refusal(opening * depth)


def test_brackets_in_strings_are_not_depth() -> None:
    body = json.dumps({"a": "[" * 1_000, 'b"\\': '\\"{' * 1_000}).encode()

    assert parse_strictly(body) == json.loads(body)


def test_a_wide_body_is_not_deep() -> None:
    assert parse_strictly(b"[" + b"[]," * 100_000 + b"{}]") == [[]] * 100_000 + [{}]


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"0," * (MIB // 2) + b"0]",
        b"{" + b",".join(b'"%d":0' % number for number in range(80_000)) + b"}",
        b'"' + b"a" * MIB + b'"',
        b'"' + b"\\\\" * (MIB // 2) + b'"',
        b'"' + rb"\u00e9" * (MIB // 6) + b'"',
        b"[" + b"[]," * 70 + b'"' + b'\\"' * (MIB // 2) + b'"]',
    ],
    ids=["items", "members", "string", "backslashes", "escapes", "quotes"],
)
def test_large_bodies_are_read(body: bytes) -> None:
    assert parse_strictly(body) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * 70 + b'"' + b'\\"' * (MIB // 2),  # every quote could begin a string that never ends
        b"[" + b"[]," * 70 + b'"' + b'\\"' * (MIB // 2) + b"\\\n",
        b"[" + b"[]," * 70 + b'"' + b"\\" * MIB,
        b"[" + b"[]," * 70 + b'"' * MIB,
        b'"' + b"\\\\" * (MIB // 2) + rb"\u0000" + b'"',
        b"{" + b",".join(b'"%d":0' % number for number in range(80_000)) + b',"0":1}',
        b"1" * MIB,
        b"-" * MIB,
        b" " * MIB,
        b"1." + b"1" * MIB,
        b"1e" + b"9" * MIB,
        b"{" * MIB,
    ],
    ids=[
        "unterminated",
        "broken-escape",
        "backslashes",
        "quotes",
        "nul",
        "duplicate",
        "digits",
        "signs",
        "blanks",
        "fraction",
        "exponent",
        "objects",
    ],
)
def test_large_hostile_bodies_are_refused(body: bytes) -> None:
    refusal(body)


# ---- Into types ----


def test_a_body_becomes_an_instance_of_its_type() -> None:
    body = decode_strictly(b'{"value": 1.5, "count": 3, "items": [{"itemKey": "a"}], "attributes": {"x": 1}}', Body)

    assert body == Body(value=1.5, count=3, items=[Item(item_key="a")], attributes={"x": 1})


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("[]", "#"),
        ("null", "#"),
        ('{"unknown": 1}', "#"),
        ('{"count": "1"}', "#/count"),
        ('{"count": 1.0}', "#/count"),
        ('{"count": true}', "#/count"),
        ('{"ratio": "1"}', "#/ratio"),
        ('{"flag": 1}', "#/flag"),
        ('{"flag": null}', "#/flag"),
        ('{"items": [{"itemKey": "a"}, {}]}', "#/items/1"),
        ('{"items": [{"itemKey": 1}]}', "#/items/0/itemKey"),
        ('{"items": [{"itemKey": "a", "value": 1}]}', "#/items/0"),
        ('{"attributes": {"x": "1"}}', "#/attributes/*"),
        ('{"groups": [{}, {"a": [1, "x"]}]}', "#/groups/1/*/1"),
    ],
)
def test_a_member_of_the_wrong_form_is_pointed_at(body: str, pointer: str) -> None:
    assert wrong_member(body)[0] == pointer


def test_what_is_wrong_with_a_member_is_said_in_words() -> None:
    assert wrong_member('{"count": "1"}') == ("#/count", "Expected int, got str")
    assert wrong_member('{"unknown": 1}') == ("#", "Object contains unknown field unknown")
    assert wrong_member("{}", Item) == ("#", "Object missing required field itemKey")
