"""
Real requests are answered as the tables say: 2xx exactly when it is allowed, and else as docs/policies.md says.

What each cell is about is seeded as rows; each principal comes with a credential of its own, its reason to override as
a header, and at its time by the clock of the server. Changes of settings and definitions are dry runs, which are judged
by the very code of real ones; entries and tenants are changed to what they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from app.access.gate import Gate
from app.config import Config
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
from app.kit import asgi
from app.kit.database import Connection
from app.main import create_app
from tests.fixtures import started
from tests.policies.seeds import cases_in, id_of, key_of, seed, seed_definitions, stages_of
from tests.policies.tables import SHIPPED_TABLES, TABLES, Case, Table
from tests.policies.test_cases import gate_of
from tests.world import LEVELS, Api, SteppableClock

pytestmark = pytest.mark.anyio

# What there is no operation for yet, by the methods and the beginning of the paths that it will have.
WITHOUT_OPERATION = {
    (EventResource, Action.READ): ("get", "/api/events"),
    (EventResource, Action.WRITE): ("post", "/api/events"),
    (OperationsResource, Action.WRITE): ("post", "/api/operations"),
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


def ask_operations(_resource: OperationsResource, _action: Action) -> Ask:
    return Ask(method="GET", path="/api/operations/cache")


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
    OperationsResource: ask_operations,
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


def can_be_asked(case: Case, action: Action) -> bool:
    """Only who belongs to no tenant can ask for the platform's audit, and only all operations can be asked for."""
    resource = case.resource
    if (type(resource), action) in WITHOUT_OPERATION:
        return False
    if isinstance(resource, OperationsResource):
        return resource.tenant == ""
    return resource != AuditResource(tenant="") or case.principal.tenant is None


def token_of(api: Api, principal: Principal, known: dict[Any, str]) -> str:
    """A token of today's; a role without a name can stand in none."""
    today = (principal, api.clock().date())
    if today not in known:
        known[today] = api.token(msgspec.structs.replace(principal, roles=tuple(filter(None, principal.roles))))
    return known[today]


def cells(cases: Iterable[Case]) -> Iterator[tuple[Case, Action, Ask]]:
    for case in cases:
        for action in ACTIONS[type(case.resource)]:
            if can_be_asked(case, action):
                yield case, action, ASKS[type(case.resource)](case.resource, action)


@pytest.fixture(scope="module")
def applications(config: Config, app_url: str, clock: SteppableClock) -> dict[str, asgi.App]:
    """
    An application for each policy that a table is about, not started.

    Without Redis, and started anew for each stage: a cache cannot know of rows that no request wrote.
    """
    config = msgspec.structs.replace(config, database_url=app_url, redis_url=None)
    return {
        policies: create_app(msgspec.structs.replace(config, policies_dir=policies), clock=clock, ticks=clock.ticks)
        for policies in {table.policies_dir for table in TABLES}
    }


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_requests_are_answered_as_the_table_says(
    db: Connection, applications: dict[str, asgi.App], config: Config, clock: SteppableClock, table: Table
) -> None:
    wrong = []
    application = applications[table.policies_dir]
    await seed_definitions(db)
    for stage in stages_of(table):
        await seed(db, stage)
        async with started(application):
            api = Api(application, config=config, clock=clock)
            wrong += [fault async for fault in faults(api, cells(cases_in(stage, table)), gate_of(table.policies_dir))]

    assert wrong == []


async def faults(api: Api, asked: Iterable[tuple[Case, Action, Ask]], gate: Gate) -> AsyncIterator[str]:
    tokens: dict[Any, str] = {}
    for case, action, ask in asked:
        api.clock.now = case.at
        response = await answer(api, case, ask, token=token_of(api, case.principal, tokens))
        status = expected(case, action, gate)
        fits = ask.shows(response) if status == 200 and response.is_success else response.status_code == status
        if not fits and not (status != 200 and shows_nothing(response, ask)):
            yield f"{case.who} {action} {case.what}: {response.status_code} for {status}"


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
    all_of_them = {(class_, action) for class_, actions in ACTIONS.items() for action in actions}

    assert found == {(*one, answer) for one in all_of_them - set(WITHOUT_OPERATION) for answer in (True, False)}


async def test_what_there_is_an_operation_for_is_asked_for(openapi: dict[str, Any]) -> None:
    operations = [(method, path) for path, methods in openapi["paths"].items() for method in methods]
    for (class_, action), (method, begin) in WITHOUT_OPERATION.items():
        found = [one for one in operations if one[0] == method and one[1].startswith(begin)]
        assert not found, f"{action} of {class_.__name__} needs a place in ASKS"
