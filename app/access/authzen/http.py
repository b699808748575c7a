"""`/api/security/evaluate`, and AuthZEN's `/access/v1/…` with its metadata."""

from __future__ import annotations

from typing import cast

import msgspec
from litestar import Response

from app.access.authzen import search
from app.access.authzen.asked import EvaluateRequest, EvaluateResponse, question_about_oneself
from app.access.authzen.point import Decision, DecisionPoint
from app.access.authzen.questions import many_questions, one_question
from app.access.authzen.subjects import Asker
from app.access.authzen.wire import (
    ActionSearchRequest,
    ActionSearchResponse,
    DecisionContext,
    DecisionPointMetadata,
    EntityReference,
    EntitySearchResponse,
    EvaluationError,
    EvaluationRequest,
    EvaluationResponse,
    EvaluationsRequest,
    EvaluationsResponse,
    FoundAction,
    FoundEntity,
    FoundPage,
    ResourceSearchRequest,
    SubjectSearchRequest,
)
from app.access.caller import caller_of
from app.domain.access import Access, Action, DecisionPointResource, PolicyResource, described
from app.domain.errors import Forbidden
from app.domain.scope import TenantId
from app.kit.http import JSON, ApiRequest, Operation, api, encode

_TAG = "Security"
_NO_STORE = {"cache-control": "no-store"}  # a decision is of its moment
_METADATA_CACHING = {"cache-control": "public, max-age=300"}  # seconds; it changes with the configuration only
_FORBIDDEN = 403


class TenantQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which tenant the question is about; yours, if left out."""

    tenant_id: TenantId | None = None


@api(
    "POST",
    "/api/security/evaluate",
    Operation(id="evaluateAccess", tag=_TAG, summary="Whether you may do this", answer=EvaluateResponse, reads=True),
)
async def evaluate(request: ApiRequest, data: EvaluateRequest) -> Response[bytes]:
    """What is not there is denied like what you may not see. The attributes that decide are those that are stored."""
    point = _point(request)
    caller = caller_of(request)
    asker = point.asker(caller, request.user.tenant)
    explained = data.explain and point.gate.allows(caller, Action.READ, PolicyResource())
    [decision] = await point.decide([question_about_oneself(data, request.user)], asker, explained=explained)
    shown = EvaluateResponse(
        decision=decision.granted,
        decision_id=decision.id,
        policy_version=decision.policy_version,
        reason=decision.reason or ("incomplete" if decision.error is not None else msgspec.UNSET),
        detail=decision.error.message if decision.error is not None else msgspec.UNSET,
        explanation=decision.explanations or msgspec.UNSET,
    )
    return _answer(shown)


@api(
    "POST",
    "/access/v1/evaluation",
    Operation(
        id="authzenEvaluation",
        tag=_TAG,
        summary="Whether a subject may do this (AuthZEN 1.0)",
        query=TenantQuery,
        answer=EvaluationResponse,
        errors=(403, 404),
        tells_media_type=False,
        reads=True,
    ),
)
async def evaluation(request: ApiRequest, params: TenantQuery, data: EvaluationRequest) -> Response[bytes]:
    """A denial is 200 with `decision: false`. Properties are believed from callers who hold `pdp:assert` only."""
    return _answer(await _single(data, _asker(request, params), _point(request)))


@api(
    "POST",
    "/access/v1/evaluations",
    Operation(
        id="authzenEvaluations",
        tag=_TAG,
        summary="Several evaluations at once (AuthZEN 1.0)",
        query=TenantQuery,
        answer=EvaluationsResponse,
        errors=(403, 404),
        tells_media_type=False,
        reads=True,
    ),
)
async def evaluations(request: ApiRequest, params: TenantQuery, data: EvaluationsRequest) -> Response[bytes]:
    """In the order asked, all by what is stored at one moment. A wrong evaluation is denied alone, with its error."""
    point = _point(request)
    asker = _asker(request, params)
    if not data.evaluations:
        return _answer(await _single(one_question(data), asker, point))
    questions = many_questions(data, limit=request.app.state.config.max_evaluations)
    decisions = await point.decide(questions, asker, semantic=data.options.evaluations_semantic)
    return _answer(EvaluationsResponse(evaluations=tuple(map(_shown, decisions))))


@api(
    "POST",
    "/access/v1/search/subject",
    Operation(
        id="authzenSearchSubject",
        tag=_TAG,
        summary="Who may do this (AuthZEN 1.0)",
        query=TenantQuery,
        answer=EntitySearchResponse,
        errors=(403, 404),
        tells_media_type=False,
        reads=True,
    ),
)
async def search_subject(request: ApiRequest, params: TenantQuery, data: SubjectSearchRequest) -> Response[bytes]:
    """Among the USER entries of the scope directory, in order of their ids. Needs the right to ask about others."""
    asker = _asker(request, params)
    if not asker.asks_about_others:
        raise _refusal(asker, "You may ask about yourself only.")
    found = await search.subjects(data, asker, _point(request))
    return _answer(_entities(data.subject.type, found))


@api(
    "POST",
    "/access/v1/search/resource",
    Operation(
        id="authzenSearchResource",
        tag=_TAG,
        summary="With what a subject may do this (AuthZEN 1.0)",
        query=TenantQuery,
        answer=EntitySearchResponse,
        errors=(403, 404, 422),
        tells_media_type=False,
        reads=True,
    ),
)
async def search_resource(request: ApiRequest, params: TenantQuery, data: ResourceSearchRequest) -> Response[bytes]:
    """Among what is stored in the tenant, in order of ids."""
    asker = _asker_about(data.subject, request, params)
    found = await search.resources(data, asker, _point(request))
    return _answer(_entities(data.resource.type, found))


@api(
    "POST",
    "/access/v1/search/action",
    Operation(
        id="authzenSearchAction",
        tag=_TAG,
        summary="What a subject may do with this (AuthZEN 1.0)",
        query=TenantQuery,
        answer=ActionSearchResponse,
        errors=(403, 404),
        tells_media_type=False,
        reads=True,
    ),
)
async def search_action(request: ApiRequest, params: TenantQuery, data: ActionSearchRequest) -> Response[bytes]:
    """In order of their names. An action that needs a property is not among them."""
    asker = _asker_about(data.subject, request, params)
    found = await search.actions(data, asker, _point(request))
    results = tuple(FoundAction(name=name) for name in found.ids)
    return _answer(ActionSearchResponse(results=results, page=_page(found)))


@api(
    "GET",
    "/.well-known/authzen-configuration",
    Operation(
        id="authzenConfiguration",
        tag=_TAG,
        summary="Where the decision point answers (AuthZEN 1.0)",
        answer=DecisionPointMetadata,
        open=True,
    ),
)
async def configuration(request: ApiRequest) -> Response[bytes]:
    """The metadata of the decision point. Its identifier is the configured public URL."""
    base = request.app.state.config.base_url
    shown = DecisionPointMetadata(
        policy_decision_point=base,
        access_evaluation_endpoint=f"{base}/access/v1/evaluation",
        access_evaluations_endpoint=f"{base}/access/v1/evaluations",
        search_subject_endpoint=f"{base}/access/v1/search/subject",
        search_resource_endpoint=f"{base}/access/v1/search/resource",
        search_action_endpoint=f"{base}/access/v1/search/action",
    )
    return Response(encode(shown), media_type=JSON, headers=_METADATA_CACHING)


HANDLERS = [evaluate, evaluation, evaluations, search_subject, search_resource, search_action, configuration]


async def _single(question: EvaluationRequest, asker: Asker, point: DecisionPoint) -> EvaluationResponse:
    """One decision. Raises Forbidden for a question about others from who may not ask it, as AuthZEN wants."""
    [decision] = await point.decide([question], asker)
    if decision.error is not None and decision.error.status == _FORBIDDEN:
        raise _refusal(asker, decision.error.message)
    return _shown(decision)


def _refusal(asker: Asker, detail: str) -> Forbidden:
    point = described(DecisionPointResource(tenant=asker.tenant or ""))
    asker.caller.note(Access(outcome="denied", action=Action.READ, resource=point, tenant=asker.tenant))
    return Forbidden(detail)


def _point(request: ApiRequest) -> DecisionPoint:
    return cast(DecisionPoint, request.app.state.decision_point)


def _asker(request: ApiRequest, params: TenantQuery) -> Asker:
    return _point(request).asker(caller_of(request), request.tenant_of(params.tenant_id))


def _asker_about(subject: EntityReference, request: ApiRequest, params: TenantQuery) -> Asker:
    """Who asks, if it may ask about this subject. Raises Forbidden."""
    asker = _asker(request, params)
    if not asker.asks_about_others and not asker.is_subject(subject):
        raise _refusal(asker, "You may ask about yourself only.")
    return asker


def _entities(type_: str, found: search.Found) -> EntitySearchResponse:
    results = tuple(FoundEntity(type=type_, id=one) for one in found.ids)
    return EntitySearchResponse(results=results, page=_page(found))


def _page(found: search.Found) -> FoundPage:
    return FoundPage(next_token=found.token, count=len(found.ids))


def _shown(decision: Decision) -> EvaluationResponse:
    error = decision.error
    context = DecisionContext(
        decision_id=decision.id,
        policy_version=decision.policy_version,
        reason=decision.reason or msgspec.UNSET,
        error=msgspec.UNSET if error is None else EvaluationError(status=error.status, message=error.message),
    )
    return EvaluationResponse(decision=decision.granted, context=context)


def _answer(content: msgspec.Struct) -> Response[bytes]:
    return Response(encode(content), status_code=200, media_type=JSON, headers=_NO_STORE)
