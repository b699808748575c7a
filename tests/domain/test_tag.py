from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from app.domain.position import Position
from app.domain.precondition import matches_none, require_match
from app.domain.tag import change_tag, view_tag

bodies = st.binary(max_size=64)
salts = st.text(max_size=8)


def test_a_change_tag_is_the_position_of_the_change() -> None:
    assert change_tag(Position(42)) == '"v42"'


@given(bodies, salts)
def test_a_view_tag_is_strong_quoted_and_of_one_length(body: bytes, salt: str) -> None:
    assert re.fullmatch(r'"[A-Za-z0-9_-]{22}"', view_tag(body, salt=salt))


@given(bodies, bodies, salts)
def test_a_view_tag_changes_exactly_when_the_bytes_do(one: bytes, other: bytes, salt: str) -> None:
    assert (view_tag(one, salt=salt) == view_tag(other, salt=salt)) is (one == other)


@given(bodies, salts, salts)
def test_equal_answers_of_two_tenants_have_different_tags(body: bytes, one: str, other: str) -> None:
    assert (view_tag(body, salt=one) == view_tag(body, salt=other)) is (one == other)


def test_a_view_tag_stays_the_same_over_time_and_machines() -> None:
    assert view_tag(b'{"value":1}', salt="acme") == '"vrD-38Yyi57QzJCck_WJUw"'


@given(bodies, st.integers(min_value=1))
def test_tags_can_be_sent_back(body: bytes, position: int) -> None:
    assert matches_none(f'"x", W/{view_tag(body, salt="")}', view_tag(body, salt=""))
    require_match(f'"x", {change_tag(Position(position))}', change_tag(Position(position)))
