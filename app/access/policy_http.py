"""`GET /api/security/policy`: the rules that decide here, as they were compiled."""

from __future__ import annotations

from datetime import datetime
from typing import cast

import msgspec
from litestar import Response

from app.access.caller import caller_of
from app.access.gate import Gate
from app.access.policy import Policy, ResourceType
from app.access.policy_keeper import PolicyKeeper
from app.domain.access import Action, PolicyResource
from app.kit.http import CACHING, JSON, ApiRequest, Operation, api, encode


class SelfTestView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the compiled rules were held against Oso's VM when they were loaded. A mismatch refuses a policy."""

    cases: int
    mismatches: int


class RuleView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is said of one action on one type of resource: in how many ways it is allowed, and the Python it became."""

    type: str
    action: str
    ways: int
    allow: str
    forbid: str | None


class PolicyView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The policy that decides; `lastError` says why the files that are there now do not."""

    version: str
    digest: str
    files: tuple[str, ...]
    loaded_at: datetime
    last_error: str | None
    self_test: SelfTestView
    rules: tuple[RuleView, ...]


@api(
    "GET",
    "/api/security/policy",
    Operation(id="getPolicy", tag="Security", summary="The rules that decide here", answer=PolicyView, errors=(404,)),
)
async def get_policy(request: ApiRequest) -> Response[bytes]:
    """Version, files, and every rule as the Python function it was compiled to."""
    gate = cast(Gate, request.app.state.gate)
    gate.require(caller_of(request), Action.READ, PolicyResource())
    keeper = cast(PolicyKeeper, request.app.state.policy_keeper)
    policy = gate.policy
    shown = PolicyView(
        version=policy.version,
        digest=policy.digest,
        files=policy.files,
        loaded_at=keeper.loaded_at,
        last_error=keeper.last_error,
        self_test=SelfTestView(cases=policy.self_test_cases, mismatches=0),
        rules=tuple(_rule(policy, type_, action) for type_ in policy.types for action in type_.actions),
    )
    return Response(encode(shown), media_type=JSON, headers=CACHING)


HANDLERS = [get_policy]


def _rule(policy: Policy, type_: ResourceType, action: str) -> RuleView:
    rule = policy.rules[action, type_.class_]
    return RuleView(
        type=type_.name,
        action=str(action),
        ways=len(rule.allow.alternatives),
        allow=rule.allow.source,
        forbid=None if rule.forbid is None else rule.forbid.source,
    )
