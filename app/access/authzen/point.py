"""The decision point: questions in, decisions out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from app.access.authzen.errors import CannotDecide
from app.access.authzen.resources import instance_of, scope_of_resource
from app.access.authzen.source import AttributeSource, Ground, Reference
from app.access.authzen.subjects import Asker, principal_of, scope_of_subject
from app.access.authzen.wire import ActionReference, EvaluationRequest
from app.access.caller import Caller, is_reason
from app.access.explanation import Explanation, explain
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
    explanations: tuple[Explanation, ...] = ()  # one for each demand, on request


class _Demand(NamedTuple):
    """One question to the gate; what a question asks for may take several."""

    principal: Principal
    action: str
    resource: Any
    circumstances: Circumstances


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
        self,
        questions: Sequence[EvaluationRequest | CannotDecide],
        asker: Asker,
        *,
        semantic: Semantic = "execute_all",
        explained: bool = False,
    ) -> list[Decision]:
        """
        Decisions in the order of the questions, as far as the semantic goes; all by what is stored at one moment.

        What is not to be seen is not explained either: the conditions tell what it is like.
        """
        ground = await self._ground([one for one in questions if not isinstance(one, CannotDecide)], asker)
        decisions: list[Decision] = []
        for question in questions:
            decision = self._decision(question, asker, ground, explained=explained)
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

    def _decision(
        self, question: EvaluationRequest | CannotDecide, asker: Asker, ground: Ground, *, explained: bool
    ) -> Decision:
        """One decision. Nothing is awaited here: the policy that made the instance is the one that judges it."""
        denied = Decision(id=str(new_id()), policy_version=self.gate.policy.version, granted=False)
        if isinstance(question, CannotDecide):
            return msgspec.structs.replace(denied, error=question)
        try:
            demands = self._demands(question, asker, ground)
            granted = self._grants(demands)
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
        explanations = self._explanations(demands) if explained and reason != "not-found" else ()
        return msgspec.structs.replace(denied, granted=granted, reason=reason, explanations=explanations)

    def _grants(self, demands: Sequence[_Demand]) -> bool:
        """Whether there is something to be granted, and the gate grants all of it."""
        return bool(demands) and all(self.gate.decides(*demand) for demand in demands)

    def _explanations(self, demands: Sequence[_Demand]) -> tuple[Explanation, ...]:
        return tuple(explain(self.gate.policy, *demand) for demand in demands)

    def _demands(self, question: EvaluationRequest, asker: Asker, ground: Ground) -> list[_Demand]:
        """All that the gate has to grant; nothing when the subject, the resource or the action is not known."""
        circumstances = _circumstances(question, asker)
        principal = principal_of(question.subject, asker, ground)
        action = question.action.name
        if principal is None:
            return []
        if question.resource.type in OUR_NAMES:
            # All that HTTP would demand. What is ours is as it is stored, whoever says else.
            demands = ground.demands(Reference(question.resource.type, question.resource.id), action)
            if demands is None or any(_is_foreign(demand.resource, asker.caller) for demand in demands):
                return []
            return [_Demand(principal, one.action, one.resource, circumstances) for one in demands]
        declared = self.declared(question.resource.type)
        if declared is None or action not in declared.actions:
            return []
        resource = instance_of(declared, question.resource, question.action, asker, ground)
        return [] if resource is None else [_Demand(principal, action, resource, circumstances)]

    def _reason(self, question: EvaluationRequest, asker: Asker, ground: Ground) -> Reason:
        """What our own interface would say: only who may see a thing hears that it is there."""
        if question.action.name == Action.READ:
            return "not-found"
        read = ActionReference(name=Action.READ)
        try:
            seen = self._grants(self._demands(msgspec.structs.replace(question, action=read), asker, ground))
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
