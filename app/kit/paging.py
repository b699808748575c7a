"""Cursors: opaque to the caller, a resume point and a digest of the question to us."""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Generic, TypeVar

import msgspec

from app.domain.definition import MAX_KEY_CHARACTERS
from app.domain.errors import Malformed, Violation

T = TypeVar("T")

DEFAULT_LIMIT = 100
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
# Patterns for the document only: what is no cursor is told here in better words, and control characters are refused in
# every query parameter.
Cursor = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^[A-Za-z0-9_-]+$"})]
Prefix = Annotated[
    str, msgspec.Meta(max_length=MAX_KEY_CHARACTERS, extra_json_schema={"pattern": r"^[^\x00-\x1f\x7f]*$"})
]

_DIGEST_BYTES = 8  # tells an honest mistake, not an attack: the question itself is authorized anew on every page


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list, and the cursor of the next one; None on the last."""

    items: tuple[T, ...]
    next: str | None


def cursor(after: str, *, question: str) -> str:
    """The cursor of the page after this resume point of this question."""
    return base64.urlsafe_b64encode(_digest(question) + after.encode()).rstrip(b"=").decode()


def after_cursor(text: str | None, *, question: str) -> str | None:
    """
    The resume point in a cursor, None for the first page.

    Raises Malformed for what is no cursor, or one of another question.
    """
    if text is None:
        return None
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        digest, after = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:].decode()
    except ValueError as error:
        raise bad_cursor() from error
    if digest != _digest(question) or "\0" in after:
        raise bad_cursor()
    return after


def page_of(items: list[T], *, limit: int, question: str, after: list[str]) -> Page[T]:
    """A page out of up to `limit` + 1 items, of which one more than fits proves that there is a next page."""
    if len(items) <= limit:
        return Page(items=tuple(items), next=None)
    return Page(items=tuple(items[:limit]), next=cursor(after[limit - 1], question=question))


def _digest(question: str) -> bytes:
    return hashlib.blake2b(question.encode(), digest_size=_DIGEST_BYTES).digest()


def bad_cursor() -> Malformed:
    """What is said of a cursor that is none, or none of ours."""
    detail = "It is no cursor of this list with these filters; start again without one."
    return Malformed(
        f"The cursor is wrong: {detail}", errors=[Violation(pointer="/query/cursor", code="cursor", detail=detail)]
    )
