from __future__ import annotations

from app.domain.errors import (
    InUse,
    Malformed,
    NotFound,
    PositionNotReached,
    PreconditionFailed,
    SetpointError,
    Unavailable,
    Violation,
)

FAULT = Violation(pointer="#/value", code="type", detail="It is wrong.")


def test_without_a_detail_the_sentence_of_the_class_is_shown() -> None:
    assert Malformed().detail == "The request is malformed."
    assert str(Malformed("The body is empty.")) == "The body is empty."
    assert Malformed("The body is empty.").title == "The request is malformed."


def test_an_empty_detail_is_kept() -> None:
    assert Malformed("").detail == ""


def test_errors_hold_the_facts_to_act_on() -> None:
    assert Malformed(errors=[FAULT]).errors == (FAULT,)
    assert InUse("Three values depend on it.", count=3).count == 3
    assert PreconditionFailed("Other.", current='"v1"', errors=[FAULT]).current == '"v1"'
    assert PositionNotReached().current is None
    assert Unavailable().retry_after_seconds == 1


def test_not_found_says_the_same_whatever_was_looked_for() -> None:
    assert (NotFound().detail, NotFound().errors) == (NotFound().title, ())


def test_a_class_without_a_docstring_has_an_empty_title() -> None:
    class Silent(SetpointError):
        pass

    assert Silent().title == ""
