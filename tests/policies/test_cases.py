"""
The shipped policy, held against tables of who may do what (tests/policies/cases/*.yaml).

What a table does not name is refused. Each rule of the policy is there for some case: without it a case fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from oso import OsoError

from app.access.gate import Gate
from app.access.polar import Interpreter, load_policy
from app.config import Config
from app.domain.access import (
    ACTIONS,
    Action,
    ApiKeyResource,
    AuditResource,
    Circumstances,
    DecisionPointResource,
    DefinitionResource,
    EventResource,
    OperationsResource,
    PolicyResource,
    Principal,
    Resource,
    ScopeFacts,
    ScopeResource,
    SettingResource,
    TenantResource,
    circumstances_at,
    facts_of,
    setting_at,
)
from app.domain.definition import Sensitivity
from app.domain.scope import Level, scope_of

TABLES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
SOURCE = "\n".join(path.read_text("utf-8") for path in sorted(Config().policies_path.glob("*.polar")))
EVERYTHING = "everything"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One cell: what one principal may do with one resource."""

    table: str
    who: str
    what: str
    principal: Principal
    circumstances: Circumstances
    resource: Resource
    allowed: frozenset[str]


def cases_of(path: Path) -> list[Case]:
    table = yaml.safe_load(path.read_text("utf-8"))
    principals = {name: principal_of(attributes) for name, attributes in table["principals"].items()}
    circumstances = {name: circumstances_of(attributes) for name, attributes in table["principals"].items()}
    resources = {name: resource_of(attributes) for name, attributes in table["resources"].items()}
    allowed = {who: row_of(row, set(resources)) for who, row in table["allowed"].items()}
    assert allowed.keys() <= principals.keys(), f"{path.name} allows something to somebody unknown"
    return [
        Case(
            table=path.stem,
            who=who,
            what=what,
            principal=principal,
            circumstances=circumstances[who],
            resource=resource,
            allowed=frozenset(allowed.get(who, {}).get(what, "").split()),
        )
        for who, principal in principals.items()
        for what, resource in resources.items()
    ]


def principal_of(attributes: dict[str, Any]) -> Principal:
    """Of acme and cleared for internal, unless said otherwise."""
    clearance = Sensitivity(attributes.get("clearance", "internal")).rank
    scoped = "scopes" in attributes
    return msgspec.convert({"tenant": "acme", **attributes, "clearance": clearance, "scoped": scoped}, Principal)


def circumstances_of(attributes: dict[str, Any]) -> Circumstances:
    """Wednesday noon without a reason to override, unless said otherwise (`at`, `reason`)."""
    at = attributes.get("at", datetime(2026, 3, 4, 12, tzinfo=UTC))
    return circumstances_at(at, override_reason=attributes.get("reason"))


def resource_of(attributes: dict[str, Any]) -> Resource:
    """A setting (`scope`), an entry of the directory (`entry`), or what `_OTHERS` names."""
    for name, made in _OTHERS.items():
        if name in attributes:
            return made(attributes[name])
    level = Level(attributes["scope"] if "scope" in attributes else attributes["entry"])
    scope = scope_of(level, tenant=attributes.get("tenant", "acme"), scope_id=attributes.get("scopeId"))
    facts = facts_of(scope, ScopeFacts(territory=attributes.get("territory"), owner=attributes.get("owner")))
    if "scope" in attributes:
        return setting_at(scope, facts, Sensitivity(attributes.get("sensitivity", "internal")))
    return ScopeResource(
        tenant=str(scope.tenant),
        level=level.value,
        scope_id=scope.scope_id,
        territory=facts.territory,
        owner=facts.owner,
    )


_OTHERS: dict[str, Callable[[Any], Resource]] = {
    "definition": lambda sensitivity: DefinitionResource(sensitivity=Sensitivity(sensitivity).rank),
    "audit": lambda tenant: AuditResource(tenant=tenant),
    "tenantEntry": lambda tenant: TenantResource(tenant=tenant),
    "apiKey": lambda tenant: ApiKeyResource(tenant=tenant, owner="ada"),
    "event": lambda tenant: EventResource(tenant=tenant, type="order.paid", aggregate_type="order"),
    "policy": lambda _: PolicyResource(),
    "operations": lambda tenant: OperationsResource(tenant=tenant),
    "decisionPoint": lambda tenant: DecisionPointResource(tenant=tenant),
}


def row_of(row: dict[str, str], resources: set[str]) -> dict[str, str]:
    """The actions by resource; several resources may be named with commas, `everything` is all of the table."""
    actions: dict[str, str] = {}
    for names, words in row.items():
        for name in resources if names == EVERYTHING else names.split(", "):
            assert name in resources, f"there is no resource {name!r} in this table"
            assert name not in actions, f"{name!r} stands twice in a row"
            assert set(words.split()) <= {action.value for action in Action}, f"{words!r} are not all actions"
            actions[name] = words
    return actions


CASES = [case for path in TABLES for case in cases_of(path)]


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(load_policy(Config().policies_path))


@pytest.mark.parametrize("who", dict.fromkeys((case.table, case.who) for case in CASES), ids=" - ".join)
def test_everybody_may_do_what_the_table_says_and_nothing_else(gate: Gate, who: tuple[str, str]) -> None:
    mine = [case for case in CASES if (case.table, case.who) == who]

    granted = {
        case.what: {
            action.value
            for action in ACTIONS[type(case.resource)]
            if gate.decides(case.principal, action, case.resource, case.circumstances)
        }
        for case in mine
    }

    assert granted == {case.what: case.allowed for case in mine}
    assert gate.errors == 0


def test_the_tables_speak_of_every_role_level_and_class_of_resource() -> None:
    roles = {role for case in CASES for role in case.principal.roles}
    levels = {case.resource.level for case in CASES if isinstance(case.resource, SettingResource)}

    named = set(re.findall(r'"(\w+)" in p\.roles', SOURCE))
    for several in re.findall(r"role in \[(.*?)\]", SOURCE):
        named.update(re.findall(r'"(\w+)"', several))
    assert named == {"platform_admin", "admin", "manager", "user", "auditor", "service"}
    assert named <= roles
    assert levels == {level.value for level in Level}
    assert {type(case.resource) for case in CASES} == set(ACTIONS)


# ---- Every rule is there for a case ----


def rules_of(source: str) -> list[str]:
    """The rules of a policy, without its comments."""
    text = re.sub(r"#.*", "", source)
    return [rule.strip() for rule in re.findall(r"[^;]*\bif\b[^;]*;", text)]


RULES = rules_of(SOURCE)


def breaks_a_case(rules: list[str]) -> bool:
    """Whether some case comes out otherwise by these rules."""
    try:
        vm = Interpreter("\n".join(rules))
    except OsoError:
        return True
    return any(
        vm.allows(case.principal, action, case.resource, case.circumstances) is not (action in case.allowed)
        for case in CASES
        for action in ACTIONS[type(case.resource)]
    )


def test_all_rules_together_break_no_case() -> None:
    assert len(RULES) == len(re.findall(r"^\w+\(", SOURCE, re.MULTILINE))
    assert not breaks_a_case(RULES)


@pytest.mark.parametrize("number", range(len(RULES)), ids=lambda number: " ".join(RULES[number].split())[:60])
def test_no_rule_can_be_left_out(number: int) -> None:
    assert breaks_a_case(RULES[:number] + RULES[number + 1 :])
