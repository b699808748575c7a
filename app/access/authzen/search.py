"""
Searching: the same questions, asked about candidates.

Candidates are ids in order, taken from what is stored in chunks, and each is decided as an evaluation would decide it.
A request looks through a bounded number of them. Its answer then names the place to go on from: the last candidate it
looked at, for those who may ask about anybody anyway, and for all others the last one that they saw. The token must not
tell them of what they may not see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from app.access.authzen.point import DecisionPoint
from app.access.authzen.subjects import Asker
from app.access.authzen.wire import (
    MAX_PAGE,
    ActionReference,
    ActionSearchRequest,
    EntityReference,
    EvaluationRequest,
    ResourceSearchRequest,
    SearchPage,
    SubjectSearchRequest,
)
from app.access.policy_types import OUR_NAMES
from app.domain.access import ACTIONS, Reach
from app.domain.errors import Malformed, Refused, Violation
from app.domain.scope import Level
from app.kit.paging import after_cursor, cursor

CHUNK = 500  # candidates decided between two breaths of the event loop; about 10 ms
MAX_CANDIDATES = 5_000  # looked through for one request; a tenth of a second of one core

Ask: TypeAlias = Callable[[str], EvaluationRequest]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One page of ids or names, and the token of the next; the empty one is the end."""

    ids: tuple[str, ...]
    token: str


class TooMuchToLookThrough(Refused):
    """There is too much here to look through for what you may see."""

    code = "search-too-wide"


async def subjects(request: SubjectSearchRequest, asker: Asker, point: DecisionPoint) -> Found:
    """The subjects of a kind, among those that the directory knows, who may do this."""
    kind = request.subject.type
    if kind not in ("user", "service"):
        return _NOTHING

    def ask(subject_id: str) -> EvaluationRequest:
        subject = EntityReference(type=kind, id=subject_id)
        return EvaluationRequest(
            subject=subject, action=request.action, resource=request.resource, context=request.context
        )

    candidates = _Candidates(point, asker, level=Level.USER)
    return await _search(candidates, ask, request.page, question=_question(request, asker))


async def resources(request: ResourceSearchRequest, asker: Asker, point: DecisionPoint) -> Found:
    """The resources of a type, among those that are stored, with which the subject may do this."""
    type_ = request.resource.type
    declared = point.declared(type_)
    if type_ not in OUR_NAMES and (declared is None or declared.stored is None):
        return _NOTHING

    def ask(resource_id: str) -> EvaluationRequest:
        resource = EntityReference(type=type_, id=resource_id)
        return EvaluationRequest(
            subject=request.subject, action=request.action, resource=resource, context=request.context
        )

    level = None if declared is None else declared.stored
    candidates = _Candidates(point, asker, level=level, type_=type_)
    return await _search(candidates, ask, request.page, question=_question(request, asker))


async def actions(request: ActionSearchRequest, asker: Asker, point: DecisionPoint) -> Found:
    """What the subject may do with the resource, without any property of an action."""
    declared = point.declared(request.resource.type)
    ours = OUR_NAMES.get(request.resource.type)
    names = ACTIONS[ours] if ours is not None else () if declared is None else declared.actions
    questions = [
        EvaluationRequest(
            subject=request.subject,
            action=ActionReference(name=name),
            resource=request.resource,
            context=request.context,
        )
        for name in map(str, names)
    ]
    question = _question(request, asker)
    after = _after(request.page, question)
    decisions = await point.decide(questions, asker)
    granted = sorted(one.action.name for one, decision in zip(questions, decisions, strict=True) if decision.granted)
    return _page([name for name in granted if name > after], request.page, question=question)


_NOTHING = Found(ids=(), token="")


class _Candidates:
    """Ids of directory entries of a level, or of things of ours of a type, in the tenant that is asked about."""

    def __init__(self, point: DecisionPoint, asker: Asker, *, level: Level | None, type_: str = "") -> None:
        self.point = point
        self.asker = asker
        self._level = level
        self._type = type_

    async def after(self, last: str) -> list[str]:
        """The next chunk."""
        tenant = self.asker.tenant
        if tenant is None:
            return []
        source = self.point.source
        reach = Reach(tenant)  # whoever asks: nothing of another tenant is a candidate
        if self._level is not None:
            return await source.scope_ids(self._level, tenant=tenant, after=last, limit=CHUNK, reach=reach)
        return await source.ids(self._type, tenant=tenant, after=last, limit=CHUNK, reach=reach)

    async def granted(self, ids: Sequence[str], ask: Ask) -> list[str]:
        """Those of which the decision is yes."""
        decisions = await self.point.decide([ask(one) for one in ids], self.asker)
        return [one for one, decision in zip(ids, decisions, strict=True) if decision.granted]


async def _search(candidates: _Candidates, ask: Ask, page: SearchPage, *, question: str) -> Found:
    last = _after(page, question)
    found: list[str] = []
    looked_at = 0
    while len(found) <= _limit(page):
        ids = await candidates.after(last)
        found += await candidates.granted(ids, ask)
        looked_at += len(ids)
        if len(ids) < CHUNK:
            return _page(found, page, question=question)
        last = ids[-1]
        if looked_at >= MAX_CANDIDATES:
            break
    if len(found) > _limit(page):
        return _page(found, page, question=question)
    if not candidates.asker.asks_about_others:
        if not found:
            raise TooMuchToLookThrough
        last = found[-1]
    return Found(ids=tuple(found), token=cursor(last, question=question))


def _page(found: Sequence[str], page: SearchPage, *, question: str) -> Found:
    limit = _limit(page)
    if len(found) <= limit:
        return Found(ids=tuple(found), token="")
    return Found(ids=tuple(found[:limit]), token=cursor(found[limit - 1], question=question))


def _after(page: SearchPage, question: str) -> str:
    """The candidate to go on from. Raises Malformed for a token of another question."""
    try:
        return after_cursor(page.token, question=question) or ""
    except Malformed as error:
        detail = "It is no token of this search; all else has to be as it was when it was given."
        raise Malformed(detail, errors=[Violation(pointer="#/page/token", code="cursor", detail=detail)]) from error


def _limit(page: SearchPage) -> int:
    return int(min(page.limit, MAX_PAGE))


def _question(request: msgspec.Struct, asker: Asker) -> str:
    """All that a token belongs to: the whole request but for its page, and who asks about whom."""
    members = msgspec.to_builtins(request)
    members.pop("page")
    who = asker.caller.principal
    asked = {"search": members, "tenant": asker.tenant, "caller": [who.tenant, who.kind, who.id]}
    return msgspec.json.encode(asked, order="deterministic").decode()
