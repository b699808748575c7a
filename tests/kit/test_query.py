"""Query strings: every parameter once, known, and of the right form, or none at all."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import Malformed
from app.domain.scope import Level
from app.kit.query import MAX_PARAMETERS, parse_query


class Question(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    scope: Level | None = None
    scope_id: Annotated[str, msgspec.Meta(max_length=5)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10)] = 5
    explain: bool = False
    keys: tuple[Annotated[str, msgspec.Meta(min_length=1)], ...] | None = None
    order: Literal["up", "down"] = "up"


class Place(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    scope: Level
    setting_key: str


class Nothing(msgspec.Struct, frozen=True):
    pass


def fault(query_string: bytes, type_: type[msgspec.Struct] = Question) -> tuple[str, str]:
    with pytest.raises(Malformed) as caught:
        parse_query(query_string, type_)
    (error,) = caught.value.errors
    return error.pointer, error.code


@pytest.mark.parametrize(
    ("query_string", "expected"),
    [
        (b"", Question()),
        (b"scope=TENANT", Question(scope=Level.TENANT)),
        (b"scopeId=", Question(scope_id="")),
        (b"scopeId=a+b", Question(scope_id="a b")),
        (b"scopeId=a%2Bb", Question(scope_id="a+b")),
        (b"scopeId=a%26b%3D", Question(scope_id="a&b=")),
        (b"scopeId=%C3%A4", Question(scope_id="ä")),
        (b"scopeId=a=b", Question(scope_id="a=b")),
        (b"scopeId=a;b", Question(scope_id="a;b")),
        (b"limit=10&explain=true", Question(limit=10, explain=True)),
        (b"explain=false", Question(explain=False)),
        (b"keys=a,b", Question(keys=("a", "b"))),
        (b"keys=a%2Cb", Question(keys=("a", "b"))),
        (b"%6Cimit=3", Question(limit=3)),
        (b"order=down", Question(order="down")),
    ],
)
def test_questions(query_string: bytes, expected: Question) -> None:
    assert parse_query(query_string, Question) == expected


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5))
def test_any_printable_text_comes_through_its_percent_encoding(text: str) -> None:
    assert parse_query(f"scopeId={quote(text, safe='')}".encode(), Question) == Question(scope_id=text)
    assert parse_query(urlencode({"scopeId": text}).encode(), Question) == Question(scope_id=text)


@pytest.mark.parametrize(
    ("query_string", "pointer", "code"),
    [
        (b"unknown=1", "/query/unknown", "unknown"),
        (b"scope_id=x", "/query/scope_id", "unknown"),
        (b"Limit=1", "/query/Limit", "unknown"),
        (b"=1", "/query/", "unknown"),
        (b"limit=1&limit=1", "/query/limit", "duplicate"),
        (b"limit=1&%6Cimit=2", "/query/limit", "duplicate"),
        (b"keys=a&keys=b", "/query/keys", "duplicate"),
        (b"scopeId=a%00", "/query/scopeId", "control-character"),
        (b"scopeId=%0a", "/query/scopeId", "control-character"),
        (b"scopeId=%7f", "/query/scopeId", "control-character"),
        (b"limit=", "/query/limit", "form"),
        (b"limit=x", "/query/limit", "form"),
        (b"limit=1.0", "/query/limit", "form"),
        (b"limit=1e1", "/query/limit", "form"),
        (b"limit=+1", "/query/limit", "form"),
        (b"limit=%D9%A3", "/query/limit", "form"),
        (b"limit=9999999999999999999", "/query/limit", "form"),
        (b"limit=0", "/query/limit", "form"),
        (b"limit=-1", "/query/limit", "form"),
        (b"limit=11", "/query/limit", "form"),
        (b"explain=1", "/query/explain", "form"),
        (b"explain=True", "/query/explain", "form"),
        (b"explain=", "/query/explain", "form"),
        (b"scope=tenant", "/query/scope", "form"),
        (b"scope=", "/query/scope", "form"),
        (b"order=sideways", "/query/order", "form"),
        (b"scopeId=aaaaaa", "/query/scopeId", "form"),
        (b"keys=a,,b", "/query/keys", "form"),
        (b"keys=", "/query/keys", "form"),
    ],
)
def test_a_wrong_parameter_is_named(query_string: bytes, pointer: str, code: str) -> None:
    assert fault(query_string) == (pointer, code)


@pytest.mark.parametrize(
    ("query_string", "pointer"),
    [(b"", "/query/scope"), (b"settingKey=a", "/query/scope"), (b"scope=GLOBAL", "/query/settingKey")],
)
def test_a_missing_parameter_is_named(query_string: bytes, pointer: str) -> None:
    assert fault(query_string, Place) == (pointer, "missing")


@pytest.mark.parametrize(
    "query_string",
    [
        b"limit",
        b"&",
        b"limit=1&",
        b"limit=1&&explain=true",
        b"scopeId=%ff",
        b"scopeId=%c3",
        b"scopeId=%ed%a0%80",
        b"%ff=1",
        b"scopeId=\xc3\xa4",
        b"&".join(b"a%d=1" % number for number in range(MAX_PARAMETERS + 1)),
        b"a=1&" * 10_000,
    ],
    ids=lambda query_string: repr(query_string[:20]),
)
def test_a_query_string_that_cannot_be_read_is_malformed(query_string: bytes) -> None:
    with pytest.raises(Malformed, match="query string cannot be read"):
        parse_query(query_string, Question)


def test_where_no_parameter_is_known_any_is_unknown() -> None:
    assert parse_query(b"", Nothing) == Nothing()
    with pytest.raises(Malformed, match="known are none"):
        parse_query(b"a=1", Nothing)


def test_a_long_name_is_cut_in_the_answer() -> None:
    assert fault(b"x" * 5_000 + b"=1") == ("/query/" + "x" * 80, "unknown")


@given(st.binary(max_size=30))
def test_whatever_is_asked_is_read_or_malformed(query_string: bytes) -> None:
    try:
        parse_query(query_string, Question)
    except Malformed as error:
        assert error.detail  # noqa: PT017 - either is fine; that nothing else is raised is the point
