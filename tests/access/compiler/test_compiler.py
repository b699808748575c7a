"""A compiled policy decides as Oso's VM does, and what has no exact translation is refused."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from oso import Oso, OsoError, Variable
from polar.expression import Expression, Pattern

from app.access.compiler.attributes import check_attributes
from app.access.compiler.conditions import PRINCIPAL, RESOURCE, CannotCompile
from app.access.compiler.factor import factor
from app.access.compiler.partial import Oracle
from app.access.compiler.predicate import predicate_of
from app.access.compiler.self_test import cases, constants_of, differences
from app.access.polar import Interpreter, load_policy
from app.access.policy import PolicyError
from app.access.policy_files import joined, read_files
from app.domain.access import Action, Circumstances, Principal, SettingResource
from tests.builders import NOW

POLICIES = Path(__file__).parents[3] / "policies"
CASES = 150
ASKED = (Principal, SettingResource, Circumstances)


def rule(body: str) -> str:
    """A rule with this body; Oso refuses variables that are named and not used."""
    principal, resource = (name if re.search(rf"\b{name}\b", body) else f"_{name}" for name in "pr")
    return f'allow({principal}: Principal, "read", {resource}: Setting) if {body}'


# Each is one way of saying something that policies may say.
CONSTRUCTS = {
    "equality of attributes": "p.tenant = r.tenant;",
    "inequality of attributes": "p.tenant != r.tenant;",
    "equality with a constant": 'r.level = "GLOBAL";',
    "inequality with a constant": 'r.level != "GLOBAL";',
    "nil": "r.territory = nil;",
    "not nil": "r.territory != nil;",
    "less": "r.sensitivity < p.clearance;",
    "at most": "r.sensitivity <= p.clearance;",
    "more than a constant": "r.sensitivity > 1;",
    "at least a constant": "p.clearance >= 2;",
    "a constant in a list of the principal": '"admin" in p.roles;',
    "an attribute in a list of the principal": "r.territory in p.territories;",
    "an attribute in a list of constants": 'r.level in ["GLOBAL", "TENANT"];',
    "one of several roles": 'role in ["admin", "user"] and role in p.roles;',
    "an element of a list": "x in p.territories and x = r.territory;",
    "an element that differs": "x in p.territories and x != r.territory;",
    "or": '(r.level = "GLOBAL" or r.owner = p.id);',
    "or in two rules": 'p.tenant = r.tenant; allow(p: Principal, "read", r: Setting) if r.owner = p.id;',
    "not in": "not (r.territory in p.territories);",
    "not equal": 'not r.level = "GLOBAL";',
    "not and": 'not (r.level = "GLOBAL" and r.owner = p.id);',
    "a helper rule": 'helps(p, r); helps(p: Principal, r: Setting) if p.tenant = r.tenant and "user" in p.roles;',
    "only the principal": '"admin" in p.roles;',
    "only the resource": 'r.level = "GLOBAL";',
    "always": "true;",
    "never": "false;",
}

REFUSED = {
    "a method": 'r.level.startswith("G");',
    "a calculation": "r.sensitivity + 1 <= p.clearance;",
    "an attribute that does not exist": 'p.tenantt = "acme";',
    "a misspelt attribute under not": 'not p.suspended = "yes";',
    "an attribute of an attribute": "p.tenant.name = r.tenant;",
    "types that are never equal": 'r.sensitivity = "secret";',
    "a truth value for a number": "r.sensitivity = true;",
    "an order of texts": 'r.level < "TENANT";',
    "an order against nothing": "r.territory < p.clearance;",
    "a negated class": "not r matches Setting;",
}


def loaded(source: str) -> Oso:
    oso = Oso()
    oso.register_class(Principal, name="Principal")
    oso.register_class(SettingResource, name="Setting")
    oso.load_str(source)
    return oso


def alternatives_of(oso: Oso):
    oracle = Oracle(oso, variable=Variable, expression=Expression, pattern=Pattern)
    alternatives = list(oracle.alternatives("allow", "read", {PRINCIPAL: "Principal", RESOURCE: "Setting"}))
    check_attributes(alternatives, {PRINCIPAL: Principal, RESOURCE: SettingResource})
    return alternatives


def vm_of(oso: Oso):
    return lambda principal, resource, _circumstances: (
        next(oso.query_rule("allow", principal, "read", resource), None) is not None
    )


@pytest.mark.parametrize("body", CONSTRUCTS.values(), ids=CONSTRUCTS.keys())
def test_a_construct_means_the_same_compiled(body):
    oso = loaded(rule(body))
    alternatives = alternatives_of(oso)
    compiled = predicate_of(factor(alternatives), name="test")

    pairs = cases(ASKED, constants_of(alternatives), count=CASES)

    assert differences(pairs, compiled=compiled.decide, vm=vm_of(oso)) == []


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_exact_translation_is_refused(body):
    with pytest.raises((CannotCompile, OsoError)):
        alternatives_of(loaded(rule(body)))


def test_a_rule_about_the_principal_alone_does_not_become_a_grant_for_all():
    compiled = predicate_of(factor(alternatives_of(loaded(rule('"admin" in p.roles;')))), name="test")
    resource = SettingResource(tenant="a", level="TENANT", scope_id="a", territory=None, owner=None, sensitivity=0)

    assert compiled.decide(Principal(id="x", roles=("admin",)), resource, NOW) is True
    assert compiled.decide(Principal(id="x", roles=("user",)), resource, NOW) is False


def test_the_same_policy_compiles_to_the_same_source():
    sources = {
        predicate_of(factor(alternatives_of(loaded(rule(CONSTRUCTS["one of several roles"])))), name="t").source
        for _ in range(5)
    }

    assert len(sources) == 1


def test_the_self_test_finds_a_wrong_translation():
    oso = loaded(rule('p.tenant = r.tenant and "admin" in p.roles;'))
    pairs = cases(ASKED, constants_of(alternatives_of(oso)), count=CASES)

    wrong = differences(pairs, compiled=lambda p, r, _c: p.tenant == r.tenant, vm=vm_of(oso))

    assert wrong


def test_the_self_test_meets_both_answers():
    """A self-test whose cases all end alike would find nothing."""
    oso = loaded((POLICIES / "settings.polar").read_text().split("# manager, with a reason")[0])
    alternatives = alternatives_of(oso)
    compiled = predicate_of(factor(alternatives), name="test")

    answers = [compiled.decide(*pair) for pair in cases(ASKED, constants_of(alternatives), count=CASES)]

    assert 0.05 < sum(answers) / len(answers) < 0.95


def test_the_shipped_policy_decides_as_the_vm_does():
    policy = load_policy(POLICIES)
    vm = Interpreter(joined(read_files([POLICIES])))
    asked = 0
    for one in policy.types:
        for action in one.actions:
            rule = policy.rules[action, one.class_]
            known = constants_of([*rule.allow.alternatives, *(rule.forbid.alternatives if rule.forbid else ())])
            triples = cases((Principal, one.class_, Circumstances), known, count=200, seed=7)
            asked += len(triples)

            wrong = differences(
                triples,
                compiled=lambda p, r, c, action=action: policy.allows(p, action, r, c),
                vm=lambda p, r, c, action=action: vm.allows(p, action, r, c),
            )

            assert wrong == [], (one.name, action)
    print(f"{asked} random decisions, 0 mismatches")


def test_forbid_beats_allow(tmp_path):
    (tmp_path / "p.polar").write_text(
        'allow(_p: Principal, "read", _r: Setting);\n'
        'allow(_p: Principal, "read", _r: Definition);\n'
        'forbid(p: Principal, "read", r: Setting) if r.level = "USER" and r.owner != p.id;\n'
    )
    policy = load_policy(tmp_path)
    own = SettingResource(tenant="a", level="USER", scope_id="u", territory=None, owner="u", sensitivity=0)
    foreign = msgspec.structs.replace(own, owner="v")

    assert policy.allows(Principal(id="u"), Action.READ, own, NOW) is True
    assert policy.allows(Principal(id="u"), Action.READ, foreign, NOW) is False


def test_a_policy_that_cannot_be_compiled_is_refused_whole(tmp_path):
    (tmp_path / "p.polar").write_text(rule('r.level.startswith("G");'))

    with pytest.raises(PolicyError, match="cannot be compiled"):
        load_policy(tmp_path)
