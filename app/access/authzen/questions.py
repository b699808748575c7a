"""From bodies to questions: one alone, or many with what they have in common said once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from app.access.authzen.errors import CannotDecide
from app.access.authzen.wire import ActionReference, EntityReference, EvaluationRequest, EvaluationsRequest
from app.domain.errors import Malformed, Violation

_MEMBERS: dict[str, Any] = {
    "subject": EntityReference,
    "action": ActionReference,
    "resource": EntityReference,
    "context": dict[str, Any],
}
_OPTIONAL = ("context",)
_IDENTIFYING = {"subject": ("type", "id"), "action": ("name",), "resource": ("type", "id"), "context": ()}


class Incomplete(Exception):
    """A question lacks a member or has a wrong one."""

    def __init__(self, member: str, detail: str) -> None:
        super().__init__(f"{member}: {detail}")
        self.member = member
        self.detail = detail


def one_question(body: EvaluationsRequest) -> EvaluationRequest:
    """The question of a body without evaluations. Raises Malformed."""
    try:
        return _question(_defaults(body))
    except Incomplete as error:
        errors = [Violation(pointer=f"#/{error.member}", code="incomplete", detail=error.detail)]
        raise Malformed(f"Without evaluations the body is one question: {error}", errors=errors) from error


def many_questions(body: EvaluationsRequest, *, limit: int) -> list[EvaluationRequest | CannotDecide]:
    """The questions in a body; a wrong one is denied alone. Raises Malformed when they are too many."""
    if len(body.evaluations) > limit:
        detail = f"One request holds at most {limit} evaluations."
        raise Malformed(detail, errors=[Violation(pointer="#/evaluations", code="too-many", detail=detail)])
    defaults = _defaults(body)
    return [_one_of_many(item, defaults) for item in body.evaluations]


def _defaults(body: EvaluationsRequest) -> dict[str, Any]:
    return {name: value for name in _MEMBERS if (value := getattr(body, name)) is not msgspec.UNSET}


def _one_of_many(item: Any, defaults: Mapping[str, Any]) -> EvaluationRequest | CannotDecide:
    if not isinstance(item, dict):
        return CannotDecide(400, "An evaluation is an object.")
    own = {name: _completed(name, item[name], defaults) for name in _MEMBERS if name in item}
    try:
        return _question({**defaults, **own})
    except Incomplete as error:
        return CannotDecide(400, str(error))


def _completed(name: str, own: Any, defaults: Mapping[str, Any]) -> Any:
    """
    A member of an evaluation, which takes the place of the whole default.

    What names the thing is taken from the default where it is missing, as the certification scenario asks (3.2.7);
    properties never are.
    """
    if not isinstance(own, dict):
        return own
    default = defaults.get(name, {})
    return {**{part: default[part] for part in _IDENTIFYING[name] if part in default}, **own}


def _question(members: Mapping[str, Any]) -> EvaluationRequest:
    """The question that these members are. Raises Incomplete."""
    return EvaluationRequest(**{name: _member(name, members) for name in _MEMBERS if name in members or _needed(name)})


def _needed(name: str) -> bool:
    return name not in _OPTIONAL


def _member(name: str, members: Mapping[str, Any]) -> Any:
    if name not in members:
        raise Incomplete(name, "It is missing.")
    try:
        return msgspec.convert(members[name], _MEMBERS[name])
    except msgspec.ValidationError as error:
        raise Incomplete(name, str(error).replace("`", "") + ".") from error
