"""Which value holds: held against the naive resolver, and replayed from its own explanation."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.canonical import canonical, plain
from app.domain.combination import MergeStrategy, combine
from app.domain.resolution import Contribution, State, Step, explain, hidden, resolve
from app.domain.scope import GLOBAL, Chain, Context, Level, Scope, chain_of
from tests.builders import FALSY, VALUES_FOR, chain, contribution, rule, scope_at
from tests.domain.naive_resolver import PARAMETER, naive_resolve, spelled

TENANT = scope_at(Level.TENANT)
TERRITORY = scope_at(Level.TERRITORY, "DE")
USER = scope_at(Level.USER, "alice")
IDS = ("x", "y")  # ids that two levels may share, so that mixing them up shows


@st.composite
def contexts(draw: st.DrawFn) -> dict[str, str]:
    """Any of the seven levels may be missing; below TENANT only with a tenant."""
    tenant = draw(st.sampled_from([None, "x", "y"]))
    if tenant is None:
        return {}
    below = {parameter: draw(st.sampled_from([None, *IDS])) for parameter in list(PARAMETER.values())[1:]}
    return {"tenantId": tenant, **{name: text for name, text in below.items() if text is not None}}


PLACES = [
    {"scope": "GLOBAL"},
    *({"scope": "TENANT", "scopeId": tenant, "tenantId": tenant} for tenant in IDS),
    *(
        {"scope": level, "scopeId": scope_id, "tenantId": tenant}
        for level in list(PARAMETER)[1:]
        for scope_id in IDS
        for tenant in IDS
    ),
]


class Case:
    """One question, in the words of the wire and in those of the domain."""

    def __init__(self, strategy: MergeStrategy, default: Any, values: list[dict[str, Any]], context: dict[str, str]):
        self.definition = {"default": default, "mergeStrategy": strategy.value}
        self.wire_values = values
        self.context = context
        self.rule = rule(strategy, default=default)
        self.values: dict[Scope, Contribution] = {scope_named(value): contribution(value["value"]) for value in values}
        self.chain: Chain = chain_of(
            Context(
                tenant_id=context.get("tenantId"),
                territory=context.get("territory"),
                account_id=context.get("accountId"),
                contact_role=context.get("contactRole"),
                contact_id=context.get("contactId"),
                user_id=context.get("userId"),
            )
        )

    def __repr__(self) -> str:
        return f"Case({self.definition}, {self.wire_values}, {self.context})"


def scope_named(value: dict[str, Any]) -> Scope:
    level = Level(value["scope"])
    return GLOBAL if level is Level.GLOBAL else scope_at(level, value["scopeId"], tenant=value["tenantId"])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    strategy = draw(st.sampled_from(MergeStrategy))
    kinds = VALUES_FOR[strategy]
    context = draw(contexts())
    places = draw(st.lists(st.sampled_from(PLACES), unique_by=str, max_size=12))
    values = [{**place, "value": draw(kinds)} for place in places]
    return Case(strategy, draw(kinds), values, context)


@settings(max_examples=300)
@given(cases())
def test_it_agrees_with_the_naive_resolver(case: Case) -> None:
    expected = naive_resolve(case.definition, case.wire_values, case.context)

    effective = resolve(case.rule, case.values, case.chain)

    assert spelled(plain(effective.value)) == spelled(expected["value"])
    assert (effective.origin.level if effective.origin else "DEFAULT") == expected["scope"]
    assert (effective.origin.scope_id or None if effective.origin else None) == expected["scopeId"]
    assert effective.key == "ui.theme"


@given(cases())
def test_replaying_the_explanation_gives_the_same_bytes(case: Case) -> None:
    effective = resolve(case.rule, case.values, case.chain)

    steps = explain(case.rule, case.values, case.chain)

    took_part = [plain(step.value) for step in steps if step.state in (State.WON, State.MERGED) and step.value]
    assert canonical(combine(case.rule.merge_strategy, took_part)) == effective.value


@given(cases())
def test_the_explanation_has_one_step_for_the_default_and_one_for_each_scope(case: Case) -> None:
    steps = explain(case.rule, case.values, case.chain)

    assert [step.scope for step in steps] == [None, *case.chain]
    assert [step.contribution for step in steps[1:]] == [case.values.get(scope) for scope in case.chain]
    assert [step.state is State.UNSET for step in steps[1:]] == [scope not in case.values for scope in case.chain]


@given(cases(), st.integers())
def test_the_order_of_the_mapping_does_not_matter(case: Case, seed: int) -> None:
    shuffled = list(case.values.items())
    random.Random(seed).shuffle(shuffled)

    assert resolve(case.rule, dict(shuffled), case.chain) == resolve(case.rule, case.values, case.chain)
    assert explain(case.rule, dict(shuffled), case.chain) == explain(case.rule, case.values, case.chain)


@given(cases())
def test_what_is_set_outside_of_the_chain_changes_nothing(case: Case) -> None:
    inside = {scope: said for scope, said in case.values.items() if scope in case.chain}

    assert resolve(case.rule, case.values, case.chain) == resolve(case.rule, inside, case.chain)


@given(st.sets(st.sampled_from(chain()), min_size=1))
def test_the_most_specific_scope_of_all_seven_levels_wins(spoken: set[Scope]) -> None:
    values = {scope: contribution(scope.path) for scope in spoken}

    effective = resolve(rule(), values, chain())

    winner = max(spoken, key=lambda scope: scope.level.rank)
    assert effective.origin == winner
    assert plain(effective.value) == winner.path


def test_a_territory_value_hides_the_one_of_its_tenant() -> None:
    values = {TENANT: contribution("dark"), TERRITORY: contribution("light")}

    steps = explain(rule(), values, chain())

    assert resolve(rule(), values, chain()).value == b'"light"'
    assert resolve(rule(), values, chain()).origin == TERRITORY
    assert {step.scope: step.state for step in steps if step.value is not None} == {
        None: State.SKIPPED,
        TENANT: State.SKIPPED,
        TERRITORY: State.WON,
    }


def test_nothing_set_gives_the_default_and_no_origin() -> None:
    effective = resolve(rule(default="blue"), {}, chain())

    assert effective.value == b'"blue"'
    assert effective.origin is None
    assert explain(rule(default="blue"), {}, chain())[0] == Step(scope=None, state=State.WON, value=canonical("blue"))


@pytest.mark.parametrize("falsy", FALSY, ids=repr)
def test_a_falsy_value_is_a_value(falsy: Any) -> None:
    values = {TENANT: contribution("set"), USER: contribution(falsy)}

    effective = resolve(rule(default="default"), values, chain())

    assert effective.value == canonical(falsy)
    assert effective.origin == USER


@pytest.mark.parametrize("falsy", FALSY, ids=repr)
def test_a_falsy_default_holds_when_nothing_is_set(falsy: Any) -> None:
    assert resolve(rule(default=falsy), {}, chain()).value == canonical(falsy)


def test_levels_between_may_be_missing() -> None:
    short = chain_of(Context(tenant_id="acme", user_id="alice"))
    values = {GLOBAL: contribution({"a": 1}), TERRITORY: contribution({"a": 2}), USER: contribution({"b": 3})}

    effective = resolve(rule(MergeStrategy.MERGE, default={"c": 4}), values, short)

    assert plain(effective.value) == {"a": 1, "b": 3, "c": 4}
    assert effective.origin == USER


def test_merging_lets_a_null_member_remove_what_is_more_general() -> None:
    values = {GLOBAL: contribution({"a": 1, "b": 2}), USER: contribution({"a": None})}

    effective = resolve(rule(MergeStrategy.MERGE, default={}), values, chain())

    assert plain(effective.value) == {"b": 2}


def test_appending_keeps_order_and_drops_duplicates() -> None:
    values = {USER: contribution(["c", "a"]), TENANT: contribution(["b", "a", 1, True])}

    effective = resolve(rule(MergeStrategy.APPEND, default=["a"]), values, chain())

    assert effective.value == b'["a","b",1,true,"c"]'
    assert effective.origin == USER


def test_duplicates_of_a_default_list_are_dropped_although_nothing_is_set() -> None:
    effective = resolve(rule(MergeStrategy.APPEND, default=["a", "b", "a"]), {}, chain())

    assert effective.value == b'["a","b"]'


def test_every_set_scope_of_a_merged_setting_is_shown_as_merged() -> None:
    values = {TENANT: contribution({"a": 1}), USER: contribution({"b": 2})}

    steps = explain(rule(MergeStrategy.MERGE, default={}), values, chain())

    assert {step.scope for step in steps if step.state is State.MERGED} == {None, TENANT, USER}


def test_hiding_a_step_leaves_only_where_it_stands() -> None:
    won, unset = explain(rule(), {GLOBAL: contribution("secret")}, chain())[1:3]

    assert hidden(won) == Step(scope=GLOBAL, state=State.HIDDEN)
    assert hidden(unset) == unset
