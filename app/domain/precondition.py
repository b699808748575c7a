"""
Conditional requests (RFC 9110 section 13), as pure functions over header values.

If-Match compares strongly and guards changes; If-None-Match compares weakly and saves answers. Both must be judged
after authorization, and only when the unconditional answer would be a success.
"""

from __future__ import annotations

import re

from app.domain.errors import (
    AlreadyExists,
    Malformed,
    PreconditionFailed,
    PreconditionRequired,
    Violation,
)

# A comma is legal inside a tag, so the list cannot be split at commas.
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
# Empty elements are skipped (RFC 9110 section 5.6.1.2). No character can be read in two ways, so time is linear.
_LIST = re.compile(r'[ \t,]*(?:(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"[ \t]*(?:,[ \t,]*|$))+')


def matches_none(header: str | None, current: str) -> bool:
    """
    Whether the caller's copy is still good, so that 304 answers: `*`, or a list with the current tag, weak or not.

    A header that is no list of tags is ignored: the worst it costs is a full answer.
    """
    if header is None:
        return False
    if header == current or header.strip() == "*":
        return True
    return _LIST.fullmatch(header) is not None and any(opaque == current for _, opaque in _TAG.findall(header))


def require_match(header: str | None, current: str) -> None:
    """
    Let a change of an existing thing pass only if it is based on the current state.

    Raises PreconditionRequired without the header, PreconditionFailed with the current tag when it names other states,
    Malformed when it is no list of quoted tags.
    """
    if header is None:
        raise PreconditionRequired
    if header.strip() == "*":
        return
    if _LIST.fullmatch(header) is None:
        detail = 'If-Match takes quoted entity tags, as in "v42", or *.'
        raise Malformed(detail, errors=[Violation(pointer="/header/If-Match", code="entity-tag", detail=detail)])
    if not any(opaque == current for weak, opaque in _TAG.findall(header) if not weak):
        raise PreconditionFailed(current=current)


def check_put(*, if_match: str | None, if_none_match: str | None, current: str | None) -> None:
    """
    Let a PUT that may create or change pass: `If-None-Match: *` creates, If-Match changes, nothing else will do.

    `current` is the tag of what is there, None if nothing is.
    """
    if if_none_match is not None:
        if if_none_match.strip() != "*":
            raise Malformed("If-None-Match on PUT takes only *, which means: create, do not change.")
        if current is not None:
            raise PreconditionFailed("It exists already.", current=current)
        if if_match is not None:
            raise PreconditionFailed("There is nothing to change; send If-None-Match: * alone to create it.")
        return
    if current is None:
        if if_match is None:
            raise PreconditionRequired(
                "Send If-None-Match: * to create it, or If-Match with its entity tag to change it."
            )
        raise PreconditionFailed("There is nothing to change; send If-None-Match: * to create it.")
    require_match(if_match, current)


def check_operation(if_match: str | None, *, current: str | None, unset: bool) -> None:
    """
    Let one operation of a batch pass.

    Without `ifMatch` a set creates; everything that changes or removes an existing value names its tag, or `*`.
    """
    if if_match is None:
        if unset:
            raise PreconditionFailed('An unset needs ifMatch: the tag of the value, or "*".', current=current)
        if current is not None:
            raise AlreadyExists('It is set already; to change it, send its tag, or "*", as ifMatch.')
        return
    if current is None:
        raise PreconditionFailed("Nothing is set there, so no tag can match.")
    require_match(if_match if if_match.startswith(('"', "W/", "*")) else f'"{if_match}"', current)
