"""If-Match and If-None-Match, header by header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import (
    AlreadyExists,
    Malformed,
    PreconditionFailed,
    PreconditionRequired,
    SetpointError,
)
from app.domain.precondition import check_operation, check_put, matches_none, require_match

V1 = '"v1"'
opaque = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f'), max_size=6).filter(
    lambda text: not any("\x80" <= character <= "\x9f" for character in text)
)
tags = st.builds(lambda weak, text: ("W/" if weak else "") + f'"{text}"', st.booleans(), opaque)
separators = st.sampled_from([",", ", ", " ,", "\t,\t", ",,", ", ,"])

# header -> whether If-None-Match says "I have it", and what If-Match raises (None: pass)
HEADERS: list[tuple[str, bool, type[SetpointError] | None]] = [
    ('"v1"', True, None),
    ("*", True, None),
    (" * ", True, None),
    ('"v0", "v1"', True, None),
    ('"v0","v1"', True, None),
    ('"v0"\t,\t"v1" ', True, None),
    (' "v1"', True, None),
    ('"v1",', True, None),
    (', "v1"', True, None),
    ('"v0", , "v1"', True, None),
    ('"v0",,"v1"', True, None),
    ('"a,b", "v1"', True, None),
    ('W/"v0", "v1"', True, None),
    ('W/"v1"', True, PreconditionFailed),
    ('W/"v1", "v0"', True, PreconditionFailed),
    ('"v2"', False, PreconditionFailed),
    ('""', False, PreconditionFailed),
    ('"*"', False, PreconditionFailed),
    ('"V1"', False, PreconditionFailed),
    ('",v1,"', False, PreconditionFailed),
    ('"a, \xe4"', False, Malformed),  # a space cannot stand in a tag
    ('"\xe4"', False, PreconditionFailed),
    ("", False, Malformed),
    (" ", False, Malformed),
    (",", False, Malformed),
    ("v1", False, Malformed),
    ("'v1'", False, Malformed),
    ('"v1', False, Malformed),
    ('v1"', False, Malformed),
    ('w/"v1"', False, Malformed),
    ('W/ "v1"', False, Malformed),
    ('"v0" "v1"', False, Malformed),
    ('"v1"x', False, Malformed),
    ('x"v1"', False, Malformed),
    ('*, "v1"', False, Malformed),
    ('"v1", *', False, Malformed),
    ('"v1"\n', False, Malformed),
    ('"v1\n"', False, Malformed),
    ('"v\x00"', False, Malformed),
]


@pytest.mark.parametrize(("header", "matches", "_raises"), HEADERS, ids=[repr(header) for header, *_ in HEADERS])
def test_if_none_match(header: str, matches: bool, _raises: object) -> None:
    assert matches_none(header, V1) is matches


@pytest.mark.parametrize(("header", "_matches", "raises"), HEADERS, ids=[repr(header) for header, *_ in HEADERS])
def test_if_match(header: str, _matches: bool, raises: type[SetpointError] | None) -> None:
    if raises is None:
        require_match(header, V1)
        return

    with pytest.raises(raises) as caught:
        require_match(header, V1)

    assert type(caught.value) is raises


def test_no_if_none_match_matches_nothing() -> None:
    assert matches_none(None, V1) is False


def test_no_if_match_is_asked_for() -> None:
    with pytest.raises(PreconditionRequired):
        require_match(None, V1)


def test_a_failed_if_match_tells_the_current_tag() -> None:
    with pytest.raises(PreconditionFailed) as caught:
        require_match('"v0"', V1)

    assert caught.value.current == V1


def test_a_malformed_if_match_names_the_header() -> None:
    with pytest.raises(Malformed) as caught:
        require_match("v1", V1)

    assert [error.pointer for error in caught.value.errors] == ["/header/If-Match"]


@given(st.lists(tags, min_size=1, max_size=5), separators, opaque)
def test_a_list_matches_when_one_of_its_tags_does(listed: list[str], separator: str, text: str) -> None:
    current = f'"{text}"'
    header = separator.join(listed)

    assert matches_none(header, current) is (current in [tag.removeprefix("W/") for tag in listed])
    if current in listed:
        require_match(header, current)
    else:
        with pytest.raises(PreconditionFailed):
            require_match(header, current)


@given(st.text(max_size=20))
def test_no_header_makes_it_raise_anything_else(header: str) -> None:
    assert matches_none(header, V1) in (True, False)
    try:
        require_match(header, V1)
    except (Malformed, PreconditionFailed) as error:
        assert error.detail  # noqa: PT017 - either is fine; that nothing else is raised is the point


@pytest.mark.parametrize("filler", [" ", ",", "\t, ", '"', '"a",', 'W/"a" '])
def test_long_headers_are_judged_in_linear_time(filler: str) -> None:
    header = filler * 100_000 + "x"

    assert matches_none(header, V1) is False
    with pytest.raises(Malformed):
        require_match(header, V1)


# If-Match, If-None-Match, the tag of what is there -> what is raised
PUTS: list[tuple[str | None, str | None, str | None, type[SetpointError] | None]] = [
    (None, "*", None, None),
    (None, " * ", None, None),
    (None, "*", V1, PreconditionFailed),
    (None, '"v1"', None, Malformed),
    (None, "", None, Malformed),
    (V1, None, V1, None),
    ("*", None, V1, None),
    ('"v0"', None, V1, PreconditionFailed),
    ("v1", None, V1, Malformed),
    (None, None, V1, PreconditionRequired),
    (None, None, None, PreconditionRequired),
    (V1, None, None, PreconditionFailed),
    ("*", None, None, PreconditionFailed),
    # Both can never hold at once: RFC 9110 section 13.2.2 judges If-Match first.
    (V1, "*", None, PreconditionFailed),
    (V1, "*", V1, PreconditionFailed),
]


@pytest.mark.parametrize(("if_match", "if_none_match", "current", "raises"), PUTS)
def test_a_put_that_may_create_or_change(
    if_match: str | None, if_none_match: str | None, current: str | None, raises: type[SetpointError] | None
) -> None:
    if raises is None:
        check_put(if_match=if_match, if_none_match=if_none_match, current=current)
        return

    with pytest.raises(raises) as caught:
        check_put(if_match=if_match, if_none_match=if_none_match, current=current)

    assert type(caught.value) is raises


def test_a_put_that_would_create_what_is_there_tells_the_current_tag() -> None:
    with pytest.raises(PreconditionFailed) as caught:
        check_put(if_match=None, if_none_match="*", current=V1)

    assert caught.value.current == V1


# ifMatch, the tag of what is there, whether it unsets -> what is raised
OPERATIONS: list[tuple[str | None, str | None, bool, type[SetpointError] | None]] = [
    (None, None, False, None),
    (None, V1, False, AlreadyExists),
    (None, None, True, PreconditionFailed),
    (None, V1, True, PreconditionFailed),
    (V1, V1, False, None),
    (V1, V1, True, None),
    ("v1", V1, False, None),
    ("*", V1, True, None),
    ('"v0"', V1, False, PreconditionFailed),
    ("v0", V1, True, PreconditionFailed),
    ('W/"v1"', V1, False, PreconditionFailed),
    (V1, None, False, PreconditionFailed),
    ("*", None, True, PreconditionFailed),
    ("v 1", V1, False, Malformed),
    ('"v1', V1, False, Malformed),
    ("", V1, False, PreconditionFailed),
]


@pytest.mark.parametrize(("if_match", "current", "unset", "raises"), OPERATIONS)
def test_an_operation_of_a_batch(
    if_match: str | None, current: str | None, unset: bool, raises: type[SetpointError] | None
) -> None:
    if raises is None:
        check_operation(if_match, current=current, unset=unset)
        return

    with pytest.raises(raises) as caught:
        check_operation(if_match, current=current, unset=unset)

    assert type(caught.value) is raises
