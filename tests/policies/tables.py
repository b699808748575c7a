"""
Tables of who may do what (tests/policies/cases), read. What a table does not name is refused.

The same cells are held against Oso's VM, the predicate and the condition of SQL (test_cases.py), against row-level
security alone (test_cases_rls.py), and against real requests (test_cases_http.py).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from app.config import SHIPPED, Config
from app.domain.access import (
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
    TenantResource,
    circumstances_at,
    facts_of,
    setting_at,
)
from app.domain.definition import Sensitivity
from app.domain.scope import Level, scope_of

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "cases"
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)  # a Wednesday
EVERYTHING = "everything"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One cell: what one principal may do with one resource."""

    who: str
    what: str
    principal: Principal
    at: datetime
    reason: str | None  # to override
    resource: Resource
    allowed: frozenset[str]

    @property
    def circumstances(self) -> Circumstances:
        """Under which it is asked."""
        return circumstances_at(self.at, override_reason=self.reason)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """All cells of one file, and the policy they are about."""

    name: str
    policies_dir: str  # as in SETPOINT_POLICIES_DIR
    cases: list[Case]

    @property
    def folders(self) -> list[Path]:
        """Where its policy is."""
        return Config(policies_dir=self.policies_dir).policies_paths


def table_of(path: Path) -> Table:
    """The table in a file."""
    document = yaml.safe_load(path.read_text("utf-8"))
    policies = _absolute(document.get("policies", SHIPPED))
    return Table(name=path.stem, policies_dir=policies, cases=_cases(document, path))


def _absolute(policies: str) -> str:
    """Folders beside the shipped one are named from the root of the project, wherever the tests run."""
    return ",".join(one if one == SHIPPED else str(ROOT / one) for one in policies.split(","))


def _cases(table: dict[str, Any], path: Path) -> list[Case]:
    principals = {name: _principal_of(attributes) for name, attributes in table["principals"].items()}
    moments = {name: attributes.get("at", NOON) for name, attributes in table["principals"].items()}
    resources = {name: _resource_of(attributes) for name, attributes in table["resources"].items()}
    allowed = {who: _row_of(row, set(resources)) for who, row in table["allowed"].items()}
    assert allowed.keys() <= principals.keys(), f"{path.name} allows something to somebody unknown"
    return [
        Case(
            who=who,
            what=what,
            principal=principal,
            at=moments[who],
            reason=table["principals"][who].get("reason"),
            resource=resource,
            allowed=frozenset(allowed.get(who, {}).get(what, "").split()),
        )
        for who, principal in principals.items()
        for what, resource in resources.items()
    ]


def _principal_of(attributes: dict[str, Any]) -> Principal:
    """Of acme, cleared for internal, and asking on a Wednesday at noon for no reason, unless said otherwise."""
    clearance = Sensitivity(attributes.get("clearance", "internal")).rank
    scoped = "scopes" in attributes
    return msgspec.convert({"tenant": "acme", **attributes, "clearance": clearance, "scoped": scoped}, Principal)


def _resource_of(attributes: dict[str, Any]) -> Resource:
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


def _row_of(row: dict[str, str], resources: set[str]) -> dict[str, str]:
    """The actions by resource; several resources may be named with commas, `everything` is all of the table."""
    actions: dict[str, str] = {}
    for names, words in row.items():
        for name in resources if names == EVERYTHING else names.split(", "):
            assert name in resources, f"there is no resource {name!r} in this table"
            assert name not in actions, f"{name!r} stands twice in a row"
            assert set(words.split()) <= {action.value for action in Action}, f"{words!r} are not all actions"
            actions[name] = words
    return actions


SHIPPED_TABLES = [table_of(path) for path in sorted(FOLDER.glob("*.yaml"))]
TABLES = [*SHIPPED_TABLES, *(table_of(path) for path in sorted(FOLDER.glob("examples/*.yaml")))]
CASES = [case for table in SHIPPED_TABLES for case in table.cases]
