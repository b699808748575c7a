"""How questions and decisions look on the wire. Members that AuthZEN does not know are let pass, as it wants."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

MAX_PAGE = 1_000


class EntityReference(msgspec.Struct, frozen=True, kw_only=True):
    """A subject or a resource."""

    type: str
    id: str
    properties: dict[str, Any] = {}


class EntityType(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of subject or resource is looked for. An `id` is not looked at."""

    type: str


class ActionReference(msgspec.Struct, frozen=True, kw_only=True):
    """An action."""

    name: str
    properties: dict[str, Any] = {}


class EvaluationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One question."""

    subject: EntityReference
    action: ActionReference
    resource: EntityReference
    context: dict[str, Any] = {}


class EvaluationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How several questions are answered."""

    evaluations_semantic: Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"] = "execute_all"


class EvaluationsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Several questions; members beside `evaluations` stand for what a question leaves out. Without any: one."""

    subject: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    action: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    resource: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    context: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    evaluations: list[Any] = []
    options: EvaluationOptions = EvaluationOptions()


class EvaluationError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a question could not be answered, in the terms of HTTP."""

    status: int
    message: str


class DecisionContext(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What else there is to say of a decision. `reason` is what our own interface would say of the refusal."""

    decision_id: str
    policy_version: str
    reason: Literal["forbidden", "not-found"] | msgspec.UnsetType = msgspec.UNSET
    error: EvaluationError | msgspec.UnsetType = msgspec.UNSET


class EvaluationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A decision."""

    decision: bool
    context: DecisionContext


class EvaluationsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions in the order of the questions; without `evaluations` in the request, one."""

    evaluations: tuple[EvaluationResponse, ...] | msgspec.UnsetType = msgspec.UNSET
    decision: bool | msgspec.UnsetType = msgspec.UNSET
    context: DecisionContext | msgspec.UnsetType = msgspec.UNSET


class SearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the results."""

    token: str | None = None
    limit: Annotated[float, msgspec.Meta(ge=1, multiple_of=1)] = 100  # to JSON Schema, 10.0 is an integer


class SubjectSearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who may do this?"""

    subject: EntityType
    action: ActionReference
    resource: EntityReference
    context: dict[str, Any] = {}
    page: SearchPage = SearchPage()


class ResourceSearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """With what may the subject do this?"""

    subject: EntityReference
    action: ActionReference
    resource: EntityType
    context: dict[str, Any] = {}
    page: SearchPage = SearchPage()


class ActionSearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What may the subject do with it?"""

    subject: EntityReference
    resource: EntityReference
    context: dict[str, Any] = {}
    page: SearchPage = SearchPage()


class FoundPage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the next part of the results begins; the empty token is the end."""

    next_token: str
    count: int


class FoundEntity(msgspec.Struct, frozen=True, kw_only=True):
    """A subject or resource that was found."""

    type: str
    id: str


class FoundAction(msgspec.Struct, frozen=True, kw_only=True):
    """An action that was found."""

    name: str


class EntitySearchResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    results: tuple[FoundEntity, ...]
    page: FoundPage


class ActionSearchResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    results: tuple[FoundAction, ...]
    page: FoundPage


class DecisionPointMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """Where the decision point answers what."""

    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str
    search_subject_endpoint: str
    search_resource_endpoint: str
    search_action_endpoint: str
