"""`POST /api/security/evaluate`: a question about oneself, in the words of the rest of the interface."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from app.access.authzen.wire import ActionReference, EntityReference, EvaluationRequest
from app.access.caller import MAX_REASON_CHARACTERS, REASON_PATTERN
from app.access.explanation import Explanation
from app.domain.access import Principal
from app.domain.definition import KEY_PATTERN, MAX_KEY_CHARACTERS
from app.domain.errors import Malformed, Violation
from app.domain.scope import Level, ScopeId, TenantId, scope_of

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_REASON_CHARACTERS, pattern=REASON_PATTERN)]
Key = Annotated[str, msgspec.Meta(max_length=MAX_KEY_CHARACTERS, pattern=KEY_PATTERN)]


class AskedResource(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A thing by its `id`, or by the members that name it elsewhere."""

    type: str
    id: str | None = None
    scope: Level | None = None
    scope_id: ScopeId | None = None
    key: Key | None = None
    tenant_id: TenantId | None = None
    properties: dict[str, Any] = {}


class AskedContext(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Why you reach into another territory, if your role may. Nothing else in it is looked at."""

    override_reason: Reason | None = None


class EvaluateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What you want to do."""

    resource: AskedResource
    action: str | ActionReference
    context: AskedContext = AskedContext()
    explain: bool = False


class EvaluateResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    Whether you may. `forbidden`: you may see it, but not do that; `incomplete`: `detail` says what was missing.

    `explanation` is there when it was asked for by somebody who may read the policy, of what they may see.
    """

    decision: bool
    decision_id: str
    policy_version: str
    reason: Literal["forbidden", "not-found", "incomplete"] | msgspec.UnsetType = msgspec.UNSET
    detail: str | msgspec.UnsetType = msgspec.UNSET
    explanation: tuple[Explanation, ...] | msgspec.UnsetType = msgspec.UNSET


def question_about_oneself(asked: EvaluateRequest, principal: Principal) -> EvaluationRequest:
    """The same question as AuthZEN puts it. Raises Malformed for a resource that is named in two ways, or in none."""
    action = ActionReference(name=asked.action) if isinstance(asked.action, str) else asked.action
    reason = asked.context.override_reason
    resource = asked.resource
    return EvaluationRequest(
        subject=EntityReference(type=principal.kind, id=principal.id),
        action=action,
        resource=EntityReference(type=resource.type, id=_id(resource, principal), properties=resource.properties),
        context={} if reason is None else {"overrideReason": reason},
    )


def _id(resource: AskedResource, principal: Principal) -> str:
    members = (resource.scope, resource.scope_id, resource.key, resource.tenant_id)
    if resource.id is not None:
        if any(member is not None for member in members):
            raise _ambiguous("Name the resource by its id or by its scope and key, not by both.")
        return resource.id
    tenant = principal.tenant if resource.tenant_id is None else resource.tenant_id
    match resource:
        case AskedResource(type="setting", scope=Level() as level, key=str(key)):
            return f"{scope_of(level, tenant=tenant, scope_id=resource.scope_id).path}/{key}"
        case AskedResource(type="scope", scope=Level() as level, key=None):
            return scope_of(level, tenant=tenant, scope_id=resource.scope_id).path
        case AskedResource(type="definition", scope=None, key=str(key)):
            return key
        case _:
            raise _ambiguous("A resource needs an id; a setting may be named by scope and key instead.")


def _ambiguous(detail: str) -> Malformed:
    return Malformed(detail, errors=[Violation(pointer="#/resource", code="resource", detail=detail)])
