"""
The shipped policy decides alike in all three of its forms: Oso's VM, the compiled predicate, the condition of SQL.

Random principals, circumstances and resources, drawn from the constants of the policy and their neighbours, where a
rule changes its mind. The number of decisions stands at the end of what pytest prints (tests/conftest.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import msgspec
import pytest

from app.access.compiler.conditions import Attribute, Comparison, Conjunction
from app.access.compiler.factor import factor
from app.access.compiler.predicate import predicate_of
from app.access.compiler.self_test import cases, constants_of
from app.access.polar import OUR_TYPES, Interpreter, load_policy
from app.access.policy import Policy, ResourceType
from app.access.policy_files import joined, read_files
from app.config import Config
from app.domain.access import Action, Circumstances, Principal, ScopeResource
from app.kit.database import Connection
from tests.policies.rows import rows_of

pytestmark = pytest.mark.anyio

DECISIONS, MISMATCHES = "policy-decisions", "policy-mismatches"  # what tests/conftest.py adds up
SEED = 20261124
ASKERS = 33  # principals, each in circumstances of its own, for every action on every class …
RESOURCES = 32  # … and what each of them asks about
MIN_DECISIONS = 20_000
ROLES = ("platform_admin", "admin", "manager", "user", "auditor", "service")
Asker: TypeAlias = tuple[Principal, Circumstances]
ASKED = [(one, action) for one in OUR_TYPES for action in one.actions]


class Forms(NamedTuple):
    """A policy in the forms that have to agree."""

    policy: Policy
    vm: Interpreter


class Disagreement(NamedTuple):
    """A decision on which they do not."""

    principal: Principal
    circumstances: Circumstances
    resource: Any
    vm: bool
    predicate: bool
    sql: bool


@pytest.fixture(scope="module")
def shipped() -> Forms:
    folders = Config().policies_paths
    return Forms(load_policy(*folders), Interpreter(joined(read_files(folders))))


@pytest.mark.parametrize(("about", "action"), ASKED, ids=lambda one: getattr(one, "name", one))
async def test_vm_predicate_and_sql_decide_alike(
    db: Connection, shipped: Forms, about: ResourceType, action: str, record_property: Callable[[str, object], None]
) -> None:
    granted, wrong = await compared(db, shipped, about, action, askers=ASKERS, resources=RESOURCES)

    record_property(DECISIONS, ASKERS * RESOURCES)
    record_property(MISMATCHES, len(wrong))
    assert wrong == []
    assert 0.01 < granted / (ASKERS * RESOURCES) < 0.99, "decisions that all end alike would find nothing"


def test_enough_is_decided() -> None:
    assert len(ASKED) * ASKERS * RESOURCES >= MIN_DECISIONS


@pytest.mark.parametrize("where", ["the VM", "the predicate", "SQL"])
@pytest.mark.parametrize("how", ["a condition is missing", "an operator is another", "an alternative is missing"])
async def test_a_form_that_differs_is_found(db: Connection, shipped: Forms, where: str, how: str) -> None:
    about = next(one for one in OUR_TYPES if one.class_ is ScopeResource)
    mutant = changed(shipped, about, where=where, how=how)

    _, wrong = await compared(db, mutant, about, Action.READ, askers=24, resources=20)

    assert wrong != []
    odd = {"the VM": "vm", "the predicate": "predicate", "SQL": "sql"}[where]
    for one in wrong:
        others = {getattr(one, name) for name in ("vm", "predicate", "sql") if name != odd}
        assert others == {not getattr(one, odd)}


async def compared(
    db: Connection, forms: Forms, about: ResourceType, action: str, *, askers: int, resources: int
) -> tuple[int, list[Disagreement]]:
    """How many decisions were grants, and those on which the forms differ."""
    rule = forms.policy.rules[action, about.class_]
    said = [*rule.allow.alternatives, *(rule.forbid.alternatives if rule.forbid is not None else ())]
    drawn = [
        lifelike(*one)
        for one in cases((Principal, about.class_, Circumstances), constants_of(said), count=max(askers, resources))
    ]
    things = [thing for _, thing, _ in drawn[:resources]]
    await db.execute(rows_of("things", about.class_, things))
    granted, wrong = 0, []
    for principal, _, circumstances in drawn[:askers]:
        passing = await passing_rows(db, forms, action, about.class_, (principal, circumstances))
        for number, thing in enumerate(things):
            asked = (principal, action, thing, circumstances)
            answers = (forms.vm.allows(*asked), forms.policy.allows(*asked), number in passing)
            granted += answers[0]
            if len(set(answers)) > 1:
                wrong.append(Disagreement(principal, circumstances, thing, *answers))
    return granted, wrong


def lifelike(principal: Principal, thing: Any, circumstances: Circumstances) -> tuple[Principal, Any, Circumstances]:
    """Three times of four somebody with a role in acme and a thing of acme: who shares nothing is refused anyway."""
    source = random.Random(repr((SEED, principal, thing)))
    if source.random() < 0.75:
        roles = {source.choice(ROLES), *principal.roles}
        scoped = principal.scoped and source.random() < 0.25
        principal = msgspec.structs.replace(principal, tenant="acme", roles=tuple(sorted(roles)), scoped=scoped)
    if hasattr(thing, "tenant") and source.random() < 0.75:
        thing = msgspec.structs.replace(thing, tenant="acme")
    return principal, thing, circumstances


async def passing_rows(db: Connection, forms: Forms, action: str, class_: Any, asker: Asker) -> set[int]:
    columns = {name: f"t.{name}" for name in class_.__struct_fields__}
    principal, circumstances = asker
    condition = forms.policy.condition(principal, action, class_, circumstances, columns=columns)
    rows = await db.fetch(f"SELECT t.number FROM things t WHERE {condition.text}", *condition.arguments)
    return {row["number"] for row in rows}


def changed(forms: Forms, about: ResourceType, *, where: str, how: str) -> Forms:
    """The same policy with a fault in what one of its forms says of reading."""
    if where == "the VM":
        source = joined(read_files(Config().policies_paths))
        before, after = {
            "a condition is missing": ("e.tenant = p.tenant and\n    e.territory", "e.territory"),
            "an operator is another": ("e.owner = p.id", "e.owner != p.id"),
            "an alternative is missing": ("e.territory in p.territories", "false"),
        }[how]
        assert before in source
        return forms._replace(vm=Interpreter(source.replace(before, after)))
    rule = forms.policy.rules[Action.READ, about.class_]
    tree = factor(_FAULTS[how](set(rule.allow.alternatives)))
    change = {"tree": tree} if where == "SQL" else {"decide": predicate_of(tree, name="mutant").decide}
    mutant = msgspec.structs.replace(rule, allow=msgspec.structs.replace(rule.allow, **change))
    rules = {**forms.policy.rules, (Action.READ, about.class_): mutant}
    return forms._replace(policy=msgspec.structs.replace(forms.policy, rules=rules))


def without_a_condition(alternatives: set[Conjunction]) -> set[Conjunction]:
    return {frozenset(one for one in conjunction if one != _OF_THE_TENANT) for conjunction in alternatives}


def with_another_operator(alternatives: set[Conjunction]) -> set[Conjunction]:
    other = msgspec.structs.replace(_OF_THE_TENANT, operator="!=")
    return {frozenset(other if one == _OF_THE_TENANT else one for one in conjunction) for conjunction in alternatives}


def without_an_alternative(alternatives: set[Conjunction]) -> set[Conjunction]:
    return {one for one in alternatives if "territories" not in str(one)}


_OF_THE_TENANT = Comparison("==", Attribute("p", "tenant"), Attribute("r", "tenant"))
_FAULTS = {
    "a condition is missing": without_a_condition,
    "an operator is another": with_another_operator,
    "an alternative is missing": without_an_alternative,
}
