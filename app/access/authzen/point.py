"""The decision point: questions in, decisions out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from app.access.authzen.errors import CannotDecide
from app.access.authzen.resources import instance_of, scope_of_resource
from app.access.authzen.source import AttributeSource, Ground, Reference
from app.access.authzen.subjects import Asker, principal_of, scope_of_subject
from app.access.authzen.wire import ActionReference, EvaluationRequest
from app.access.caller import Caller, is_reason
from app.access.gate import Gate
from app.access.policy_types import OUR_NAMES, DeclaredType
from app.domain.access import Action, Circumstances, DecisionPointResource, Principal, Resource
from app.domain.scope import Scope
from app.kit.clock import new_id
from app.kit.logs import get_logger

Semantic: TypeAlias = Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"]
Reason: TypeAlias = Literal["forbidden", "not-found"]

BREATH = 100  # questions decided before others get their turn; about 4 ms

_log = get_logger()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided. A denial has a reason, or the error that kept it from being decided."""

    id: str
    policy_version: str
    granted: bool
    reason: Reason | None = None
    error: CannotDecide | None = None


class DecisionPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What deciding for others takes, joined in app/main.py."""

    gate: Gate
    source: AttributeSource

    def asker(self, caller: Caller, tenant: str | None) -> Asker:
        """The caller with what the policy lets it ask about a tenant, and believes of it."""
        point = DecisionPointResource(tenant=tenant or "")
        asserts = self.gate.allows(caller, Action.ASSERT, point)
        return Asker(
            caller=caller,
            tenant=tenant,
            asks_about_others=self.gate.allows(caller, Action.READ, point),
            asserts=asserts,
        )

    def declared(self, type_: str) -> DeclaredType | None:
        """The type of this name that a policy file declares."""
        found = (one for one in self.gate.policy.types if one.name == type_)
        return next((one for one in found if isinstance(one, DeclaredType)), None)

    async def decide(
        self, questions: Sequence[EvaluationRequest | CannotDecide], asker: Asker, *, semantic: Semantic = "execute_all"
    ) -> list[Decision]:
        """Decisions in the order of the questions, as far as the semantic goes; all by what is stored at one moment."""
        ground = await self._ground([one for one in questions if not isinstance(one, CannotDecide)], asker)
        decisions: list[Decision] = []
        for question in questions:
            decision = self._decision(question, asker, ground)
            decisions.append(decision)
            if (semantic, decision.granted) in _LAST:
                break
            if len(decisions) % BREATH == 0:
                await asyncio.sleep(0)
        return decisions

    async def _ground(self, questions: Iterable[EvaluationRequest], asker: Asker) -> Ground:
        scopes: set[Scope] = set()
        references: set[Reference] = set()
        for question in questions:
            scope = scope_of_subject(question.subject, asker)
            scopes |= {scope} if scope is not None and not asker.is_subject(question.subject) else set()
            declared = self.declared(question.resource.type)
            if question.resource.type in OUR_NAMES:
                references.add(Reference(question.resource.type, question.resource.id))
            elif declared is not None and (scope := scope_of_resource(question.resource, declared, asker)) is not None:
                scopes.add(scope)
        return await self.source.ground(scopes=scopes, references=references, reach=asker.caller.reach)

    def _decision(self, question: EvaluationRequest | CannotDecide, asker: Asker, ground: Ground) -> Decision:
        """One decision. Nothing is awaited here: the policy that made the instance is the one that judges it."""
        denied = Decision(id=str(new_id()), policy_version=self.gate.policy.version, granted=False)
        if isinstance(question, CannotDecide):
            return msgspec.structs.replace(denied, error=question)
        try:
            granted = self._grants(question, asker, ground)
            reason = None if granted else self._reason(question, asker, ground)
        except CannotDecide as error:
            return msgspec.structs.replace(denied, error=error)
        _log.debug(
            "decision",
            id=denied.id,
            subject=f"{question.subject.type}/{question.subject.id}",
            action=question.action.name,
            resource=f"{question.resource.type}/{question.resource.id}",
            granted=granted,
        )
        return msgspec.structs.replace(denied, granted=granted, reason=reason)

    def _grants(self, question: EvaluationRequest, asker: Asker, ground: Ground) -> bool:
        circumstances = _circumstances(question, asker)
        principal = principal_of(question.subject, asker, ground)
        if principal is None:
            return False
        if question.resource.type in OUR_NAMES:
            return self._grants_ours(question, principal, circumstances, asker=asker, ground=ground)
        declared = self.declared(question.resource.type)
        if declared is None or question.action.name not in declared.actions:
            return False
        resource = instance_of(declared, question.resource, question.action, asker, ground)
        return resource is not None and self.gate.decides(principal, question.action.name, resource, circumstances)

    def _grants_ours(
        self,
        question: EvaluationRequest,
        principal: Principal,
        circumstances: Circumstances,
        *,
        asker: Asker,
        ground: Ground,
    ) -> bool:
        """Whether the gate grants all that HTTP would demand. What is ours is as it is stored, whoever says else."""
        demands = ground.demands(Reference(question.resource.type, question.resource.id), question.action.name)
        if demands is None or any(_is_foreign(demand.resource, asker.caller) for demand in demands):
            return False
        return all(self.gate.decides(principal, action, resource, circumstances) for action, resource in demands)

    def _reason(self, question: EvaluationRequest, asker: Asker, ground: Ground) -> Reason:
        """What our own interface would say: only who may see a thing hears that it is there."""
        if question.action.name == Action.READ:
            return "not-found"
        read = ActionReference(name=Action.READ)
        try:
            seen = self._grants(msgspec.structs.replace(question, action=read), asker, ground)
        except CannotDecide:
            return "not-found"
        return "forbidden" if seen else "not-found"


# The decisions that are the last ones.
_LAST = {("deny_on_first_deny", False), ("permit_on_first_permit", True)}


def _is_foreign(resource: Resource | Any, caller: Caller) -> bool:
    """
    Whether it is of a tenant that the caller may not name.

    The third lock, as ApiRequest.tenant_of is elsewhere: made of nothing that a policy file could get wrong.
    """
    tenant = getattr(resource, "tenant", None)
    return tenant not in (None, caller.principal.tenant) and "platform_admin" not in caller.principal.roles


def _circumstances(question: EvaluationRequest, asker: Asker) -> Circumstances:
    """
    Those of this moment, by our clock, whatever time the question claims.

    A reason to override is the subject's: the one in the question, else of who asks about itself the one it sent along.
    """
    circumstances = asker.caller.circumstances
    reason = question.context.get("overrideReason")
    if reason is None:
        reason = circumstances.override_reason if asker.is_subject(question.subject) else None
    elif not isinstance(reason, str) or not is_reason(reason):
        raise CannotDecide(400, "overrideReason is one line of text.")
    return msgspec.structs.replace(circumstances, override_reason=reason)
