"""An explanation says what the policy says, and what was missing."""

from __future__ import annotations

import pytest

from app.access.compiler.self_test import cases
from app.access.explanation import explain, reason_of
from app.access.polar import load_policy
from app.access.policy import Policy
from app.config import Config
from app.domain.access import Action, Circumstances, Principal, ScopeFacts
from app.domain.definition import Sensitivity
from app.domain.scope import Level
from tests.builders import NOW, principal, setting_resource


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(*Config().policies_paths)


def test_an_explanation_decides_as_the_policy_does(policy: Policy) -> None:
    for one in policy.types:
        for action in one.actions:
            for asked in cases((Principal, one.class_, Circumstances), {}, count=40):
                somebody, thing, circumstances = asked
                told = explain(policy, somebody, action, thing, circumstances)
                assert told.decision is policy.allows(somebody, action, thing, circumstances)
                assert reason_of(told)


IN_CH = ScopeFacts(territory="CH", owner="bob")


@pytest.mark.parametrize(
    ("somebody", "reason"),
    [
        (principal(), "not allowed: it lacks 'platform_admin' in p.roles"),
        (principal(roles=("manager",), territories=("CH",)), "allowed: 'manager' in p.roles"),
        (principal(roles=("admin",), clearance=0), "not allowed: it lacks r.sensitivity <= p.clearance"),
        (principal(roles=("user",)), "not allowed: it lacks p.id == r.owner"),
        (principal(roles=("admin",), scoped=True), "forbidden: 'settings:write' not in p.scopes"),
    ],
    ids=str,
)
def test_the_reason_names_what_decided(policy: Policy, somebody: Principal, reason: str) -> None:
    thing = setting_resource(Level.ACCOUNT, "a-1", facts=IN_CH, sensitivity=Sensitivity.INTERNAL)

    assert reason_of(explain(policy, somebody, Action.WRITE, thing, NOW)).startswith(reason)
