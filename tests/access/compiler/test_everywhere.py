"""Deciding about several resources at once says what deciding about each of them says."""

from __future__ import annotations

import random
from typing import Any

import pytest

from app.access.compiler.self_test import cases, constants_of
from app.access.polar import load_policy
from app.config import Config
from app.domain.access import Circumstances, Principal

POLICY = load_policy(*Config().policies_paths)
SEED = 20261124


def outcome(decide: Any, *asked: Any) -> bool:
    """As the gate takes it: an error is a no."""
    try:
        return decide(*asked) is True
    except Exception:  # noqa: BLE001 - whatever it was
        return False


@pytest.mark.parametrize("asked", list(POLICY.rules), ids=str)
def test_several_are_allowed_when_each_of_them_is(asked: tuple[str, type]) -> None:
    action, class_ = asked
    chance = random.Random(SEED)
    constants = constants_of(list(POLICY.rules[asked].allow.alternatives))
    made = cases((Principal, class_, Circumstances), constants, count=600, seed=SEED)
    granted = 0
    for principal, _, circumstances in made:
        resources = [chance.choice(made)[1] for _ in range(chance.randint(1, 4))]
        each = [outcome(POLICY.allows, principal, action, one, circumstances) for one in resources]
        together = outcome(POLICY.allows_all, principal, action, resources, circumstances)
        assert together is all(each), (principal, resources, circumstances)
        granted += together
    print(f"{action} {class_.__name__}: {granted} of {len(made)} granted")
