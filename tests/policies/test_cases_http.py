"""
Real requests are answered as the tables say: 2xx exactly when it is allowed, and else as docs/policies.md says.

What each cell is about is seeded as rows; each principal comes with a credential of its own, its reason to override as
a header, and at its time by the clock of the server. Changes of settings and definitions are dry runs, which are judged
by the very code of real ones; entries and tenants are changed to what they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from app.access.gate import Gate
from app.domain.access import (
    ACTIONS,
    Action,
    ApiKeyResource,
    AuditResource,
    DecisionPointResource,
    DefinitionResource,
    EventResource,
    OperationsResource,
    PolicyResource,
    Principal,
    ScopeResource,
    SettingResource,
    TenantResource,
)
from app.domain.definition import Sensitivity
from app.domain.scope import Level
from app.kit.database import Connection
from tests.fixtures import running
from tests.policies.seeds import cases_in, id_of, key_of, seed, seed_definitions, stages_of
from tests.policies.tables import SHIPPED_TABLES, TABLES, Case, Table
from tests.policies.test_cases import gate_of
from tests.world import LEVELS, Api

pytestmark = pytest.mark.anyio

# What there is no operation for yet, by the beginning of the paths that it will have.
WITHOUT_OPERATION = {
    EventResource: "/api/events",
    OperationsResource: "/api/operations",
}
ANY = {"If-Match": "*"}
CONTEXT = {
    Level.TERRITORY: "territory",
    Level.ACCOUNT: "accountId",
    Level.CONTACT_ROLE: "contactRole",
    Level.CONTACT: "contactId",
    Level.USER: "userId",
}


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request by which a cell is tried."""

    method: str
    path: str
    params: dict[str, str] = {}
    headers: dict[str, str] = {}
    json: Any = None
    shows: Callable[[httpx.Response], bool] = lambda _: True  # what else has to hold of a success


# ---- Requests ----


def ask_setting(resource: SettingResource, action: Action) -> Ask:
    key = key_of(resource.sensitivity)
    tenant = {} if resource.tenant is None else {"tenantId": resource.tenant}
    place = {"scope": resource.level, **({} if resource.level == Level.GLOBAL else {"scopeId": resource.scope_id})}
    match action:
        case Action.READ:
            return Ask(method="GET", path="/api/settings", params={**place, **tenant, "key": key})
        case Action.RESOLVE:
            name = CONTEXT.get(Level(resource.level))
            context = {} if name is None else {name: resource.scope_id}
            return Ask(method="GET", path=f"/api/settings/resolve/{key}", params={**context, **tenant})
        case _:
            operation = {"op": "set", **place, **tenant, "key": key, "value": 2, "ifMatch": "*"}
            return Ask(method="POST", path="/api/settings/batch", json={"operations": [operation], "dryRun": True})


def ask_definition(resource: DefinitionResource, action: Action) -> Ask:
    path = f"/api/definitions/{key_of(resource.sensitivity)}"
    if action is Action.READ:
        return Ask(method="GET", path=path)
    same = {"schema": True, "default": None, "levels": LEVELS, "sensitivity": list(Sensitivity)[resource.sensitivity]}
    return Ask(method="PUT", path=path, params={"dryRun": "true"}, headers=ANY, json=same)


def ask_entry(resource: ScopeResource, action: Action) -> Ask:
    path = f"/api/scopes/{resource.level}/{resource.scope_id}"
    if action is Action.READ:
        return Ask(method="GET", path=path, params={"tenantId": resource.tenant})
    facts = {"territory": resource.territory, "owner": resource.owner}
    return Ask(method="PUT", path=path, params={"tenantId": resource.tenant}, headers=ANY, json=facts)


def ask_tenant(resource: TenantResource, action: Action) -> Ask:
    if action is Action.READ:
        return Ask(method="GET", path="/api/tenants", shows=lambda answer: resource.tenant in _tenants(answer))
    return Ask(method="PUT", path=f"/api/tenants/{resource.tenant}", headers=ANY, json={})


def _tenants(answer: httpx.Response) -> set[str]:
    return {item["tenantId"] for item in answer.json()["items"]}


def ask_audit(resource: AuditResource, _action: Action) -> Ask:
    named = {"tenantId": resource.tenant} if resource.tenant else {}
    return Ask(method="GET", path="/api/security/audit", params={**named, "limit": "1"})


def ask_key(resource: ApiKeyResource, action: Action) -> Ask:
    """Revoked twice is revoked, so that everybody may try."""
    return Ask(method="GET" if action is Action.READ else "DELETE", path=f"/api/security/api-keys/{id_of(resource)}")


def ask_policy(_resource: PolicyResource, _action: Action) -> Ask:
    return Ask(method="GET", path="/api/security/policy")


def ask_decision_point(resource: DecisionPointResource, action: Action) -> Ask:
    """About somebody unknown, who would be an admin if the asker were believed."""
    question = {
        "subject": {"type": "user", "id": "unheard-of", "properties": {"roles": ["admin"]}},
        "action": {"name": "read"},
        "resource": {"type": "policy", "id": "current"},
    }
    return Ask(
        method="POST",
        path="/access/v1/evaluation",
        params={"tenantId": resource.tenant},
        json=question,
        shows=lambda answer: action is Action.READ or answer.json()["decision"],
    )


ASKS: dict[type, Callable[[Any, Action], Ask]] = {
    SettingResource: ask_setting,
    DefinitionResource: ask_definition,
    ScopeResource: ask_entry,
    TenantResource: ask_tenant,
    AuditResource: ask_audit,
    ApiKeyResource: ask_key,
    PolicyResource: ask_policy,
    DecisionPointResource: ask_decision_point,
}


# ---- Answers ----


def expected(case: Case, action: Action, gate: Gate) -> int:
    """The status that a cell is answered with; 200 exactly when the table says so."""
    if action in case.allowed and (action is not Action.WRITE or _also_reads(case)):
        return 200
    if isinstance(case.resource, DecisionPointResource):  # that it is there is no secret; AuthZEN wants 403
        own = case.principal.tenant == case.resource.tenant or "platform_admin" in case.principal.roles
        return 403 if own else 404
    if action is not Action.WRITE:
        return 404
    if not isinstance(case.resource, SettingResource):
        return 403 if Action.READ in case.allowed else 404
    # At a scope where it may set what is public, a key above the caller's clearance is one that is not defined.
    public = msgspec.structs.replace(case.resource, sensitivity=0)
    may = {one: gate.decides(case.principal, one, public, case.circumstances) for one in (Action.READ, Action.WRITE)}
    if not may[Action.WRITE]:
        return 403 if may[Action.READ] else 404
    return 403 if Action.READ in case.allowed else 422


def _also_reads(case: Case) -> bool:
    """A change of a setting is answered with the setting, so it takes a reader."""
    return not isinstance(case.resource, SettingResource) or Action.READ in case.allowed


def can_be_asked(case: Case) -> bool:
    """Only who belongs to no tenant, or to none in particular, can ask for what is the platform's."""
    return case.resource != AuditResource(tenant="") or case.principal.tenant is None


def token_of(api: Api, principal: Principal, known: dict[Any, str]) -> str:
    """A token of today's; a role without a name can stand in none."""
    today = (principal, api.clock().date())
    if today not in known:
        known[today] = api.token(msgspec.structs.replace(principal, roles=tuple(filter(None, principal.roles))))
    return known[today]


@asynccontextmanager
async def serving(api: Api, table: Table) -> AsyncIterator[Api]:
    """The application with the policy of a table."""
    if table.policies_dir == SHIPPED_TABLES[0].policies_dir:
        yield api
        return
    config = msgspec.structs.replace(api.config, policies_dir=table.policies_dir)
    async with running(config, clock=api.clock) as other:
        yield other


def cells(cases: Iterable[Case]) -> Iterator[tuple[Case, Action, Ask]]:
    for case in cases:
        ask = ASKS.get(type(case.resource))
        if ask is not None and can_be_asked(case):
            for action in ACTIONS[type(case.resource)]:
                yield case, action, ask(case.resource, action)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_requests_are_answered_as_the_table_says(api: Api, db: Connection, table: Table) -> None:
    gate = gate_of(table.policies_dir)
    wrong = []
    await seed_definitions(db)
    async with serving(api, table) as served:
        tokens: dict[Any, str] = {}
        for stage in stages_of(table):
            await seed(db, stage)
            for case, action, ask in cells(cases_in(stage, table)):
                api.clock.now = case.at
                response = await answer(served, case, ask, token=token_of(served, case.principal, tokens))
                status = expected(case, action, gate)
                fits = ask.shows(response) if status == 200 and response.is_success else response.status_code == status
                if not fits and not (status != 200 and shows_nothing(response, ask)):
                    wrong.append(f"{case.who} {action} {case.what}: {response.status_code} for {status}")

    assert wrong == []


def shows_nothing(response: httpx.Response, ask: Ask) -> bool:
    """What may not be seen may be missing from a list of other things, and who is not believed still gets an answer."""
    return response.status_code == 200 and not ask.shows(response)


async def answer(api: Api, case: Case, ask: Ask, *, token: str) -> httpx.Response:
    reason = {} if case.reason is None else {"Setpoint-Override-Reason": case.reason}
    return await api.anonymous.request(
        ask.method,
        ask.path,
        params=ask.params or None,
        headers={**ask.headers, **reason, "Authorization": f"Bearer {token}"},
        json=ask.json,
    )


def test_every_class_and_action_is_asked_for_with_both_answers() -> None:
    """A table whose cells are all refused would hold nothing against anybody."""
    found = {
        (type(case.resource), action, action in case.allowed)
        for table in SHIPPED_TABLES
        for case, action, _ in cells(table.cases)
    }

    assert found == {
        (class_, action, answer) for class_ in ASKS for action in ACTIONS[class_] for answer in (True, False)
    }


async def test_what_there_is_an_operation_for_is_asked_for(openapi: dict[str, Any]) -> None:
    assert {*ASKS, *WITHOUT_OPERATION} == set(ACTIONS)
    for class_, path in WITHOUT_OPERATION.items():
        assert not [one for one in openapi["paths"] if one.startswith(path)], f"{class_.__name__} needs a place in ASKS"
