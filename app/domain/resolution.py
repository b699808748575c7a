"""
Which value holds for one setting in one context, and why.

Theory of operation. A chain lists scopes from general to specific. The definition's default stands before all of
them. The values set at scopes of the chain are folded over it by the merge strategy: `replace` lets the last one win,
`merge` patches objects, `append` joins lists. The origin is the most specific scope that took part; DEFAULT when none
did. An explanation is the same walk written down, so that replaying its steps gives the same bytes:
tests/domain/test_resolution.py does so, and holds this file against a second, naive resolver.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime

import msgspec

from app.domain.canonical import CanonicalJson, canonical, plain
from app.domain.combination import MergeStrategy, combine
from app.domain.definition import ResolutionRule
from app.domain.scope import Chain, Scope


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """What one scope has to say about one key."""

    value: CanonicalJson
    version: int
    updated_at: datetime
    updated_by: str


class EffectiveValue(msgspec.Struct, frozen=True, kw_only=True):
    """What holds. `origin` is the most specific scope it came from, None when it is the definition's default."""

    key: str
    value: CanonicalJson
    origin: Scope | None


class State(enum.StrEnum):
    """What became of one scope's say."""

    WON = "won"  # this value, alone, is the effective one
    MERGED = "merged"  # it is one of several that make up the effective one
    SKIPPED = "skipped"  # set, but something more specific replaced it
    HIDDEN = "hidden"  # it took part, and the caller may not know how
    UNSET = "unset"  # nothing is set here


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an explanation. `scope` is None for the definition's default; hidden steps carry no contribution."""

    scope: Scope | None
    state: State
    value: CanonicalJson | None = None
    contribution: Contribution | None = None


def resolve(rule: ResolutionRule, values: Mapping[Scope, Contribution], chain: Chain) -> EffectiveValue:
    """
    Decide which value holds for one setting in one context.

    Cost: one pass over at most seven scopes; JSON is decoded only when several values combine, or lists are joined.
    """
    spoken = [scope for scope in chain if scope in values]
    return EffectiveValue(
        key=rule.key,
        value=_combined(rule, [rule.default, *(values[scope].value for scope in spoken)]),
        origin=spoken[-1] if spoken else None,
    )


def explain(rule: ResolutionRule, values: Mapping[Scope, Contribution], chain: Chain) -> tuple[Step, ...]:
    """
    Every scope of the chain with what became of its say, general to specific, the default first.

    Folding the values of the `won` and `merged` steps by the merge strategy gives the effective value, byte for byte.
    """
    origin = resolve(rule, values, chain).origin
    default = Step(scope=None, state=_state(rule, None, origin), value=rule.default)
    return (default, *(_step(rule, values, scope, origin) for scope in chain))


def hidden(step: Step) -> Step:
    """The step as shown to a caller who may know the effect but not the details."""
    if step.state is State.UNSET:
        return step
    return Step(scope=step.scope, state=State.HIDDEN)


def _combined(rule: ResolutionRule, values: list[CanonicalJson]) -> CanonicalJson:
    if rule.merge_strategy is MergeStrategy.REPLACE:
        return values[-1]
    if len(values) == 1 and rule.merge_strategy is MergeStrategy.MERGE:
        return values[0]
    return canonical(combine(rule.merge_strategy, [plain(value) for value in values]))


def _step(rule: ResolutionRule, values: Mapping[Scope, Contribution], scope: Scope, origin: Scope | None) -> Step:
    said = values.get(scope)
    if said is None:
        return Step(scope=scope, state=State.UNSET)
    return Step(scope=scope, state=_state(rule, scope, origin), value=said.value, contribution=said)


def _state(rule: ResolutionRule, scope: Scope | None, origin: Scope | None) -> State:
    if scope is None and origin is None:
        return State.WON
    if rule.merge_strategy is not MergeStrategy.REPLACE:
        return State.MERGED
    return State.WON if scope == origin else State.SKIPPED
