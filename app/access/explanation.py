"""
Why a decision came out as it did: every way in which a rule could hold, condition by condition.

Made of the very conditions that the predicates are compiled from, each asked alone. For people and tests, not for the
hot path.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from app.access.compiler.conditions import Condition, Conjunction, shown
from app.access.compiler.predicate import alone
from app.access.policy import Policy
from app.domain.access import Circumstances, Principal


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One condition and whether it holds; what cannot be asked of these attributes does not."""

    condition: str
    holds: bool


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a rule could hold: all of its conditions together."""

    holds: bool
    conditions: tuple[Judged, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A decision with its reasons. Of each kind, ways that hold stand first, then those that lack least."""

    decision: bool
    policy_version: str
    allow: tuple[Way, ...]
    forbid: tuple[Way, ...]


def explain(
    policy: Policy, principal: Principal, action: str, resource: Any, circumstances: Circumstances
) -> Explanation:
    """Decide, and say why. Raises KeyError for an action that the resource does not know."""
    rule = policy.rules[action, type(resource)]
    asked = (principal, resource, circumstances)
    allow = _ways(rule.allow.alternatives, asked)
    forbid = _ways(rule.forbid.alternatives, asked) if rule.forbid is not None else ()
    return Explanation(
        decision=any(way.holds for way in allow) and not any(way.holds for way in forbid),
        policy_version=policy.version,
        allow=allow,
        forbid=forbid,
    )


def reason_of(explanation: Explanation) -> str:
    """The shortest true sentence about a decision: what granted it, forbade it, or was missing."""
    forbidding = next((way for way in explanation.forbid if way.holds), None)
    if forbidding is not None:
        return f"forbidden: {_sentence(forbidding, holds=True)}"
    if not explanation.allow:
        return "no rule allows this to anybody"
    nearest = explanation.allow[0]
    if nearest.holds:
        return f"allowed: {_sentence(nearest, holds=True)}"
    return f"not allowed: it lacks {_sentence(nearest, holds=False)}"


def _sentence(way: Way, *, holds: bool) -> str:
    return " and ".join(one.condition for one in way.conditions if one.holds is holds) or "nothing more"


def _ways(alternatives: Iterable[Conjunction], asked: tuple[Any, ...]) -> tuple[Way, ...]:
    ways = [_way(one, asked) for one in alternatives]
    return tuple(sorted(ways, key=_lacking))


def _way(conjunction: Conjunction, asked: tuple[Any, ...]) -> Way:
    judged = tuple(Judged(condition=shown(one), holds=_holds(one, asked)) for one in sorted(conjunction, key=shown))
    return Way(holds=all(one.holds for one in judged), conditions=judged)


def _lacking(way: Way) -> tuple[int, int, int, list[str]]:
    """Least first; of two that lack as much, the one whose role the principal has says more."""
    lacking = [one.condition for one in way.conditions if not one.holds]
    roles = sum("p.roles" in one for one in lacking)
    return len(lacking), roles, len(way.conditions), [one.condition for one in way.conditions]


def _holds(condition: Condition, asked: tuple[Any, ...]) -> bool:
    try:
        return alone(condition)(*asked) is True
    except Exception:  # noqa: BLE001 - the gate takes any error for a no
        return False
