from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import Malformed
from app.kit.paging import DEFAULT_LIMIT, Limit, Page, after_cursor, cursor, page_of

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def refused(text: str, *, question: str = "q") -> None:
    with pytest.raises(Malformed) as caught:
        after_cursor(text, question=question)
    assert [(error.pointer, error.code) for error in caught.value.errors] == [("/query/cursor", "cursor")]


@given(texts, texts)
def test_a_cursor_leads_back_to_its_resume_point(after: str, question: str) -> None:
    text = cursor(after, question=question)

    assert after_cursor(text, question=question) == after
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(texts, texts, texts)
def test_a_cursor_serves_its_own_question_only(after: str, question: str, other: str) -> None:
    if question == other:
        return

    refused(cursor(after, question=question), question=other)


def test_no_cursor_is_the_first_page() -> None:
    assert after_cursor(None, question="q") is None


def test_an_empty_resume_point_is_not_the_first_page() -> None:
    assert after_cursor(cursor("", question="q"), question="q") == ""


@pytest.mark.parametrize(
    "text", ["", "x", "====", "AAAA", "A" * 100_000, "a b", "ä", "\ud800", "a\n", "..", '"', "-_-_"], ids=ascii
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize("after", [b"\0", b"a\0b", b"\xff"])
def test_a_forged_resume_point_that_cannot_be_stored_is_refused(after: bytes) -> None:
    digest = base64.urlsafe_b64decode(cursor("", question="q") + "==")[:8]

    refused(base64.urlsafe_b64encode(digest + after).rstrip(b"=").decode())


@given(st.text(max_size=30))
def test_whatever_is_sent_is_a_cursor_or_refused(text: str) -> None:
    refused(text)


@given(st.lists(st.integers(), max_size=12), st.integers(min_value=1, max_value=5))
def test_pages_give_each_item_once_and_in_order(items: list[int], limit: int) -> None:
    seen: list[int] = []
    start: int = 0
    while True:
        fetched = items[start : start + limit + 1]
        names = [str(start + offset + 1) for offset in range(len(fetched))]

        page = page_of(fetched, limit=limit, question="q", after=names)

        assert len(page.items) <= limit
        seen.extend(page.items)
        if page.next is None:
            break
        start = int(after_cursor(page.next, question="q") or 0)
    assert seen == items


def test_a_page_that_is_exactly_full_is_the_last() -> None:
    assert page_of(["a", "b"], limit=2, question="q", after=["a", "b"]) == Page(items=("a", "b"), next=None)


def test_one_item_too_many_proves_a_next_page() -> None:
    page = page_of(["a", "b", "c"], limit=2, question="q", after=["a", "b", "c"])

    assert page == Page(items=("a", "b"), next=cursor("b", question="q"))


@pytest.mark.parametrize(("limit", "fits"), [(0, False), (1, True), (DEFAULT_LIMIT, True), (1000, True), (1001, False)])
def test_limits(limit: int, fits: bool) -> None:
    try:
        msgspec.convert(limit, Limit)
    except msgspec.ValidationError:
        assert not fits
    else:
        assert fits
