"""
G8, the part that stands: a foreign thing is answered like an absent one, byte for byte, and nothing can be done to it.

A matrix of principals and operations. Each cell is one request aimed at things of acme (or of globex, for people of
acme), sent twice: while the things are there, and while they are not but something else is, so that the registry stands
at the same position. Both answers must be equal in status, headers and body, and nothing may have changed. The matrix
fails when an operation of the OpenAPI document is in none of its tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from app.access import caller
from app.access.audit import http as audit_http
from app.access.authzen import point
from app.access.compiler.sql import SqlCondition
from app.access.gate import Gate
from app.domain.access import EVERYWHERE, Principal
from app.domain.errors import Forbidden, NotFound
from app.fast_lane import question
from app.kit.database import Connection
from app.kit.http import ApiRequest
from app.kit.problems import problem_of
from tests.guarantees.state import everything
from tests.world import COUNTING, CREATE, LEVELS, PRINCIPALS, SECRET, Api, make, place

pytestmark = pytest.mark.anyio

ANY = {"If-Match": "*"}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
CANARY = "canary-4711"

# People who may do nothing with what `Target` names. Those of globex call themselves what people of acme are called.
STRANGERS = {
    "globex admin": PRINCIPALS["globex"],
    "globex user": Principal(id="alice", tenant="globex", roles=("user",), territories=("DE",), clearance=SECRET),
    "globex manager": Principal(id="alice", tenant="globex", roles=("manager",), territories=("DE",), clearance=SECRET),
    "globex auditor": Principal(id="otto", tenant="globex", roles=("auditor",), clearance=SECRET),
    "globex service": Principal(id="alice", kind="service", tenant="globex", roles=("service",), clearance=SECRET),
    "no tenant": Principal(id="alice", roles=("user", "manager", "admin"), territories=("DE",), clearance=SECRET),
    "no role": PRINCIPALS["nobody"],
    "another territory": msgspec.structs.replace(PRINCIPALS["carl"], clearance=SECRET),
}
# She may write at the account, which she owns, and is not cleared for the key.
UNCLEARED = Principal(id="alice", tenant="acme", roles=("user",), territories=("DE",), clearance=0)


class Target(NamedTuple):
    """What is there in one world and not in the other: a confidential value of alice's, her account, and a key."""

    setting_id: str
    etag: str
    key_id: str = "0123456789"
    revocation_id: str = "00000000-0000-7000-8000-000000000000"


class Call(NamedTuple):
    """One request aimed at the target."""

    method: str
    path: str
    query: Mapping[str, str] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})
    body: Any = None


OF_ACME = {"tenantId": "acme"}
AT = {"scope": "ACCOUNT", "scopeId": "target", **OF_ACME}
KEY = "target.key"
VALUE = {"value": 1}
NEW_KEY = {**OF_ACME, "name": "new", "roles": ["service"]}
HERE = "ACCOUNT/acme/target"
SUBJECTS = [{"type": kind, "id": name} for kind, name in (("user", "alice"), ("user", "gina"), ("service", "alice"))]
ABOUT_THE_TARGET: list[dict[str, Any]] = [
    {"subject": subject, "resource": {"type": type_, "id": name}}
    for subject in SUBJECTS
    for type_, name in (("setting", f"{HERE}/{KEY}"), ("scope", HERE))
]
DEFINITION = {"schema": True, "default": None, "levels": LEVELS, "sensitivity": "confidential"}

# By operation. What is aimed at by id or path exists in one of the two worlds only.
CALLS: dict[str, Callable[[Target], list[Call]]] = {
    "getSetting": lambda it: [Call("GET", "/api/settings", {**AT, "key": KEY}, headers) for headers in _conditions(it)],
    "getSettingById": lambda it: [
        Call(method, f"/api/settings/{it.setting_id}", {}, headers)
        for method in ("GET", "HEAD")
        for headers in _conditions(it)
    ],
    "getSettingHistory": lambda it: [
        Call("GET", f"/api/settings/{it.setting_id}/history", query) for query in ({}, {"limit": "1"})
    ],
    "listSettings": lambda _: [Call("GET", "/api/settings/list", {**AT, "prefix": prefix}) for prefix in ("", KEY)],
    "createSetting": lambda _: [Call("POST", "/api/settings", body={**AT, "key": KEY, **VALUE})],
    "replaceSetting": lambda it: [
        Call("PUT", f"/api/settings/{it.setting_id}", headers=headers, body=VALUE) for headers in _bases(it)
    ],
    "patchSetting": lambda it: [
        Call("PATCH", f"/api/settings/{it.setting_id}", headers=headers | MERGE_PATCH, body=VALUE)
        for headers in _bases(it)
    ],
    "unsetSetting": lambda it: [
        Call("DELETE", f"/api/settings/{it.setting_id}", headers=headers) for headers in _bases(it)
    ],
    "applyBatch": lambda it: [
        Call("POST", "/api/settings/batch", headers=headers, body={"operations": [one], "dryRun": dry_run})
        for one in (
            {"op": "set", **AT, "key": KEY, **VALUE},
            {"op": "set", **AT, "key": KEY, **VALUE, "ifMatch": it.etag},
            {"op": "unset", **AT, "key": KEY, "ifMatch": "*"},
        )
        for headers in ({}, {"Idempotency-Key": "theirs"})
        for dry_run in (False, True)
    ],
    "resolveSetting": lambda _: [
        Call("GET", f"/api/settings/resolve/{KEY}", {**OF_ACME, "accountId": "target", "explain": explain})
        for explain in ("false", "true")
    ],
    "effectiveSettings": lambda _: [
        Call("GET", "/api/settings/effective", {**OF_ACME, **context})
        for context in ({"accountId": "target"}, {"accountId": "target", "keys": KEY}, {"userId": "alice"})
    ],
    "evaluateAccess": lambda _: [
        Call("POST", "/api/security/evaluate", body={"resource": resource, "action": action})
        for resource in ({"type": "setting", **AT, "key": KEY}, {"type": "scope", **AT}, {"type": "scope", "id": HERE})
        for action in ("resolve", "read", "write")
    ],
    "authzenEvaluation": lambda _: [
        Call("POST", "/access/v1/evaluation", query, body={**about, "action": {"name": "read"}})
        for query in ({}, OF_ACME)
        for about in ABOUT_THE_TARGET
    ],
    "authzenEvaluations": lambda _: [
        Call("POST", "/access/v1/evaluations", query, body={"action": {"name": name}, "evaluations": ABOUT_THE_TARGET})
        for query in ({}, OF_ACME)
        for name in ("read", "write")
    ],
    "authzenSearchSubject": lambda _: [
        Call("POST", "/access/v1/search/subject", query, body={**about, "action": {"name": "read"}})
        for query in ({}, OF_ACME)
        for about in ABOUT_THE_TARGET
    ],
    "authzenSearchResource": lambda _: [
        Call(
            "POST",
            "/access/v1/search/resource",
            query,
            body={"subject": subject, "action": {"name": "read"}, "resource": {"type": type_}, "page": {"limit": 1}},
        )
        for query in ({}, OF_ACME)
        for type_ in ("setting", "scope")
        for subject in SUBJECTS
    ],
    "authzenSearchAction": lambda _: [
        Call("POST", "/access/v1/search/action", query, body=about)
        for query in ({}, OF_ACME)
        for about in ABOUT_THE_TARGET
    ],
    "listAudit": lambda _: [Call("GET", "/api/security/audit", OF_ACME)],
    "verifyAudit": lambda _: [Call("GET", "/api/security/audit/verify", OF_ACME)],
    "listApiKeys": lambda _: [Call("GET", "/api/security/api-keys", OF_ACME)],
    "createApiKey": lambda _: [Call("POST", "/api/security/api-keys", body=NEW_KEY)],
    "getApiKey": lambda it: [Call(method, f"/api/security/api-keys/{it.key_id}") for method in ("GET", "HEAD")],
    "rotateApiKey": lambda it: [
        Call("POST", f"/api/security/api-keys/{it.key_id}/rotate", headers=headers, body={}) for headers in _bases(it)
    ],
    "revokeApiKey": lambda it: [
        Call("DELETE", f"/api/security/api-keys/{it.key_id}", headers=headers) for headers in _bases(it)
    ],
    "listRevocations": lambda _: [Call("GET", "/api/security/revocations", OF_ACME)],
    "addRevocation": lambda _: [Call("POST", "/api/security/revocations", body={**OF_ACME, "subject": CANARY})],
    "liftRevocation": lambda it: [Call("DELETE", f"/api/security/revocations/{it.revocation_id}")],
    "getScope": lambda _: [Call("GET", "/api/scopes/ACCOUNT/target", OF_ACME)],
    "putScope": lambda it: [
        Call("PUT", "/api/scopes/ACCOUNT/target", OF_ACME, headers, {}) for headers in (CREATE, *_bases(it))
    ],
    "deleteScope": lambda it: [
        Call("DELETE", "/api/scopes/ACCOUNT/target", OF_ACME, headers) for headers in _bases(it)
    ],
    "listScopes": lambda _: [Call("GET", "/api/scopes", {**OF_ACME, "scope": "ACCOUNT"})],
    "putTenant": lambda it: [
        Call("PUT", "/api/tenants/target", headers=headers, body={}) for headers in (CREATE, *_bases(it))
    ],
    "deleteTenant": lambda it: [Call("DELETE", "/api/tenants/target", headers=headers) for headers in _bases(it)],
    "listTenants": lambda _: [Call("GET", "/api/tenants")],
    "getDefinition": lambda _: [Call("GET", f"/api/definitions/{KEY}")],
    "putDefinition": lambda it: [
        Call("PUT", f"/api/definitions/{KEY}", query, headers, DEFINITION)
        for headers in (CREATE, *_bases(it))
        for query in ({}, {"dryRun": "true"})
    ],
    "deleteDefinition": lambda it: [
        Call("DELETE", f"/api/definitions/{KEY}", headers=headers) for headers in _bases(it)
    ],
    "listDefinitions": lambda _: [Call("GET", "/api/definitions", {"prefix": KEY})],
}
# Open, or about nobody but the caller.
NOTHING_TO_SEE = {
    "health": "says how the node is",
    "healthLive": "says how the node is",
    "healthReady": "says how the node is",
    "verifyCredential": "says who the caller is",
    "cacheStats": "counts what was read, of no tenant's things",
    "cacheReport": "counts what was read, of no tenant's things",
    "getPolicy": "says by which rules it is decided, of no tenant's things",
    "authzenConfiguration": "says where the decision point is",
}
OPEN = {"health", "healthLive", "healthReady", "authzenConfiguration"}
# Questions: what is hidden and what is absent is denied, and to be denied is an answer like another.
DECISIONS = {
    "evaluateAccess",
    "authzenEvaluation",
    "authzenEvaluations",
    "authzenSearchSubject",
    "authzenSearchResource",
    "authzenSearchAction",
}
_OF_THE_DECISION = re.compile(rb'(?<="decisionId":")[0-9a-f-]{36}(?=")')
# Definitions hold for all tenants: those who are cleared for one may see it, and only platform admins change it.
ABOUT_DEFINITIONS = {"getDefinition", "putDefinition", "deleteDefinition", "listDefinitions"}


def _conditions(it: Target) -> list[dict[str, str]]:
    return [{}, {"If-None-Match": it.etag}, {"If-None-Match": "*"}]


def _bases(it: Target) -> list[dict[str, str]]:
    return [{}, ANY, {"If-Match": it.etag}, {"If-Match": '"other"'}]


async def settle_target(api: Api, *, there: bool) -> Target:
    """Make the target, or as many other things elsewhere."""
    name = "target" if there else "decoy"
    definition = await api.root.put(f"/api/definitions/{name}.key", json=DEFINITION, headers=CREATE)
    entry = await api.root.put(
        f"/api/scopes/ACCOUNT/{name}",
        params={"tenantId": "acme"},
        json={"territory": "DE", "owner": CANARY},
        headers=CREATE,
    )
    tenant = await api.root.put(f"/api/tenants/{name}", json={"name": CANARY}, headers=CREATE)
    key = await api.root.post("/api/security/api-keys", json={**NEW_KEY, "name": CANARY})
    revocation = await api.root.post("/api/security/revocations", json={**OF_ACME, "jti": CANARY})
    assert {one.status_code for one in (definition, entry, tenant, key, revocation)} == {201}
    made = await make(api.root, f"{name}.key", CANARY, "ACCOUNT", name)
    return Target(made["id"], made["etag"], key.json()["id"], revocation.json()["id"])


async def settle_key(api: Api, *, there: bool) -> Target:
    """Make a key and a value of it, or another key and a value of that, at an account that is there in any case."""
    name = "target" if there else "decoy"
    await api.root.put("/api/scopes/ACCOUNT/target", json={"territory": "DE", "owner": "alice"}, headers=CREATE)
    await api.root.put(f"/api/definitions/{name}.key", json=DEFINITION, headers=CREATE)
    made = await make(api.root, f"{name}.key", CANARY, "ACCOUNT", "target")
    return Target(made["id"], made["etag"])


async def answers(client: httpx.AsyncClient, calls: list[Call]) -> list[tuple[Any, ...]]:
    """What can be told apart by a caller."""
    found = []
    for call in calls:
        content = None if call.body is None else msgspec.json.encode(call.body)
        headers = ({"Content-Type": "application/json"} if content else {}) | dict(call.headers)
        response = await client.request(
            call.method, call.path, params=call.query or None, headers=headers, content=content
        )
        shown = {name: value for name, value in response.headers.items() if name not in COUNTING}
        # Every decision has an id of its own, whatever it is about.
        found.append((call, response.status_code, shown, _OF_THE_DECISION.sub(b"?", response.content)))
    return found


async def tell_apart(
    api: Api, db: Connection, principal: Principal, operations: list[str], *, here: Callable[..., Any] = settle_target
) -> list[str]:
    """The operations by which this principal can tell that the target is there, or change it."""
    found: list[str] = []
    target = await here(api, there=True)
    before = await everything(db)
    with_target = {}
    for operation in operations:
        with_target[operation] = await answers(api.of(principal), CALLS[operation](target))
        if await everything(db) != before:
            found.append(f"{operation} changed something")
            before = await everything(db)
    await db.execute("SELECT world.reset()")
    await here(api, there=False)
    for operation in operations:
        without = await answers(api.of(principal), CALLS[operation](target))
        for one, other in zip(with_target[operation], without, strict=True):
            if one != other:
                found.append(f"{operation}: {one} is not {other}")
            if CANARY.encode() in one[3]:
                found.append(f"{operation} shows what is set: {one}")
            if one[1] >= 500:
                found.append(f"{operation} fails: {one}")
    return found


async def test_every_operation_is_in_the_matrix(openapi: dict[str, Any]) -> None:
    operations = {operation["operationId"] for methods in openapi["paths"].values() for operation in methods.values()}

    assert operations == {*CALLS, *NOTHING_TO_SEE}


@pytest.mark.parametrize("who", list(STRANGERS))
async def test_a_stranger_cannot_tell_what_is_there_nor_change_it(api: Api, db: Connection, who: str) -> None:
    principal = STRANGERS[who]
    operations = list(CALLS)
    if principal.clearance >= 2 and principal.roles:  # cleared for the definition, so not a stranger to it
        operations = [one for one in CALLS if one not in ABOUT_DEFINITIONS]

    assert await tell_apart(api, db, principal, operations) == []


async def test_who_is_not_cleared_for_a_key_cannot_tell_that_it_is_there(api: Api, db: Connection) -> None:
    about_the_key = [one for one in CALLS if not one.endswith(("Scope", "Scopes", "Tenant", "Tenants"))]

    assert await tell_apart(api, db, UNCLEARED, about_the_key, here=settle_key) == []


@pytest.mark.parametrize("who", [name for name, one in STRANGERS.items() if one.clearance >= 2])
async def test_who_may_see_a_definition_still_cannot_change_it(api: Api, db: Connection, who: str) -> None:
    target = await settle_target(api, there=True)
    before = await everything(db)
    for operation in ("putDefinition", "deleteDefinition"):
        for _, status, _, _ in await answers(api.of(STRANGERS[who]), CALLS[operation](target)):
            assert status in (403, 404)
    assert await everything(db) == before


async def test_strangers_are_answered_404_wherever_something_is_named(api: Api) -> None:
    """Equal answers could still be wrong ones."""
    target = await settle_target(api, there=True)
    client = api.of(STRANGERS["globex admin"])
    for operation, calls in CALLS.items():
        if operation in ABOUT_DEFINITIONS:
            continue
        for call, status, _, body in await answers(client, calls(target)):
            if operation in DECISIONS and not call.query:
                assert is_a_no(status, body), (call, body)
            else:
                assert status == 404, (call, body)


def is_a_no(status: int, body: bytes) -> bool:
    """Whether a question was answered with nothing but denials, or not at all."""
    if status == 403:
        return True
    answer = msgspec.json.decode(body)
    decisions = [one["decision"] for one in answer.get("evaluations", [answer]) if "decision" in one]
    return status == 200 and not any(decisions) and not any(CANARY in str(one) for one in answer.get("results", ()))


async def test_who_owns_the_target_is_no_stranger(api: Api) -> None:
    """Requests that fail for everybody would make an easy matrix."""
    target = await settle_target(api, there=True)
    seen: dict[str, set[int]] = {}
    for operation, calls in CALLS.items():
        found = await answers(api.admin, calls(target))
        seen[operation] = {status for _, status, _, _ in found}

    for operation in ("getSetting", "getSettingById", "getSettingHistory", "listSettings", "resolveSetting"):
        assert 200 in seen[operation], operation
    assert {200, 304} <= seen["getSettingById"]
    assert {428, 412, 200} <= seen["replaceSetting"]
    assert {428, 204} <= seen["unsetSetting"]
    assert seen["createSetting"] == {409}
    assert {200, 412} <= seen["putScope"]
    assert seen["listApiKeys"] == seen["getApiKey"] == seen["listRevocations"] == {200}
    assert seen["createApiKey"] == seen["addRevocation"] == {201}
    assert {428, 412, 200} <= seen["rotateApiKey"]
    assert {204, 412} <= seen["revokeApiKey"]
    assert seen["liftRevocation"] == {204}


@pytest.mark.parametrize("credential", [None, "garbage", "expired", "foreign"])
async def test_nobody_unknown_gets_past_the_door(api: Api, openapi: dict[str, Any], credential: str | None) -> None:
    target = await settle_target(api, there=True)
    token = api.token(PRINCIPALS["root"])
    headers = {
        None: {},
        "garbage": {"Authorization": "Bearer garbage"},
        "expired": {"Authorization": f"Bearer {token}"},
        "foreign": {"Authorization": f"Bearer {token[:-6]}AAAAAA"},
    }[credential]
    if credential == "expired":
        api.clock.step(2 * 86_400)
    for operation, calls in CALLS.items():
        for call in calls(target):
            [(_, status, shown, body)] = await answers(
                api.anonymous, [call._replace(headers=dict(call.headers) | headers)]
            )
            assert status == 401, operation
            assert shown["www-authenticate"].startswith("Bearer")
            assert CANARY.encode() not in body
    secured = {
        operation["operationId"]: (path, method)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
        if operation.get("security") != []
    }
    assert secured.keys() == {*CALLS, *NOTHING_TO_SEE} - OPEN
    for path, method in [*secured.values(), ("/api/no-such-thing", "get"), ("/api/settings/x/y/z", "post")]:
        response = await api.anonymous.request(method, path.replace("{", "").replace("}", ""), headers=headers)
        assert response.status_code == 401, path


# ---- Each lock holds alone ----


def take_row_level_security_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """From everywhere that it is told of: requests, the audit, and the fast lane, which compares it itself."""
    for module in (caller, audit_http, question):
        monkeypatch.setattr(module, "reach_of", lambda principal: EVERYWHERE)


def take_the_gate_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "allows", lambda *_: True)
    monkeypatch.setattr(Gate, "decides", lambda *_: True)
    monkeypatch.setattr(Gate, "decides_all", lambda *_: True)
    monkeypatch.setattr(Gate, "require", lambda *_: None)
    monkeypatch.setattr(Gate, "require_visible", lambda *_: None)
    monkeypatch.setattr(Gate, "condition", lambda *_, **__: SqlCondition(text="TRUE"))


def take_the_edge_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApiRequest, "tenant_of", lambda it, named: it.user.tenant if named is None else named)
    monkeypatch.setattr(question, "may_name", lambda principal, named: True)
    monkeypatch.setattr(point, "_is_foreign", lambda resource, caller: False)


def naming_a_tenant(openapi: dict[str, Any]) -> list[str]:
    """The operations with a tenantId in query, path or body, as the OpenAPI document tells."""
    schemas = openapi["components"]["schemas"]

    def takes_one(part: Any) -> bool:
        if isinstance(part, list):
            return any(map(takes_one, part))
        if not isinstance(part, dict):
            return False
        if "$ref" in part:
            return takes_one(schemas[part["$ref"].rpartition("/")[2]])
        return "tenantId" in part.get("properties", {}) or any(map(takes_one, part.values()))

    return [
        operation["operationId"]
        for methods in openapi["paths"].values()
        for operation in methods.values()
        if {"tenantId", "tenant_id"} & {one["name"] for one in operation["parameters"]}
        or takes_one(operation.get("requestBody"))
    ]


def absent(call: Call) -> bytes:
    """What is answered for what is not there."""
    return problem_of(NotFound(), path=call.path).body


FOREIGN = [name for name, one in STRANGERS.items() if one.tenant != "acme" and one.roles]


@pytest.mark.parametrize("who", FOREIGN)
async def test_the_gate_alone_keeps_tenants_apart(
    api: Api, db: Connection, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    take_row_level_security_away(monkeypatch)
    take_the_edge_away(monkeypatch)
    operations = [one for one in CALLS if one not in ABOUT_DEFINITIONS]

    assert await tell_apart(api, db, STRANGERS[who], operations) == []


@pytest.mark.parametrize("who", FOREIGN)
async def test_row_level_security_alone_keeps_tenants_apart(
    api: Api, db: Connection, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """With a gate that says yes to everything, nothing of acme's is shown, changed or moved."""
    target = await settle_target(api, there=True)
    before = await everything(db)
    take_the_gate_away(monkeypatch)
    take_the_edge_away(monkeypatch)

    for operation, calls in CALLS.items():
        for call, status, shown, body in await answers(api.of(STRANGERS[who]), calls(target)):
            assert CANARY.encode() not in body, (operation, call)
            assert CANARY not in str(shown), (operation, call)
            assert status < 500, (operation, call, status, body)
    assert await everything(db) == before


@pytest.mark.parametrize("who", FOREIGN)
async def test_the_edge_alone_keeps_tenants_apart_where_one_is_named(
    api: Api, db: Connection, openapi: dict[str, Any], monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """Without the gate and without row-level security: what names a foreign tenant gets the bytes of what is absent."""
    target = await settle_target(api, there=True)
    before = await everything(db)
    take_the_gate_away(monkeypatch)
    take_row_level_security_away(monkeypatch)

    with capture_logs() as logged:
        for operation in naming_a_tenant(openapi):
            for call, status, _, body in await answers(api.of(STRANGERS[who]), CALLS[operation](target)):
                if operation in DECISIONS and not call.query:
                    assert is_a_no(status, body), (operation, call)
                else:
                    assert (status, body) == (404, absent(call)), (operation, call)
    assert await everything(db) == before
    assert CANARY not in str(logged)


async def test_every_way_to_name_a_tenant_is_tried(openapi: dict[str, Any]) -> None:
    named = naming_a_tenant(openapi)

    assert {"getSetting", "createSetting", "applyBatch", "resolveSetting", "listAudit", "createApiKey"} <= set(named)
    for operation in named:
        for call in CALLS[operation](Target("", "")):
            if operation in DECISIONS and not call.query:
                continue  # in ids and by the caller's own tenant; asked the same with acme's name beside it
            body = msgspec.json.encode(call.body).decode()
            assert "acme" in f"{dict(call.query)} {body}" or call.path.startswith("/api/tenants/"), call


async def test_without_the_lock_at_the_edge_the_test_of_it_fails(
    api: Api, db: Connection, openapi: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_the_edge_away(monkeypatch)

    with pytest.raises(AssertionError):
        await test_the_edge_alone_keeps_tenants_apart_where_one_is_named(api, db, openapi, monkeypatch, "globex admin")


async def test_without_all_locks_the_canary_is_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the three above would prove nothing."""
    target = await settle_target(api, there=True)
    take_the_gate_away(monkeypatch)
    take_row_level_security_away(monkeypatch)
    take_the_edge_away(monkeypatch)

    found = {
        operation
        for operation, calls in CALLS.items()
        for _, _, _, body in await answers(api.globex, [call for call in calls(target) if call.method == "GET"])
        if CANARY.encode() in body
    }

    assert {"getSetting", "getSettingById", "getSettingHistory", "listSettings", "resolveSetting"} <= found
    assert {"getScope", "listScopes", "listTenants"} <= found


# ---- The same on the fast lane, which has the three locks under names of its own ----

WARM = [
    Call("GET", "/api/settings/resolve/ui.theme", {**OF_ACME, "territory": "DE"}),
    Call("GET", "/api/settings/effective", {**OF_ACME, "territory": "DE", "keys": "ui.theme"}),
    Call("GET", "/api/settings", {**OF_ACME, "scope": "TERRITORY", "scopeId": "DE", "key": "ui.theme"}),
]
TAKE_AWAY = {"gate": take_the_gate_away, "reach": take_row_level_security_away, "edge": take_the_edge_away}


async def lane_answers(api: Api, monkeypatch: pytest.MonkeyPatch, *, without: set[str]) -> tuple[int, list[bytes]]:
    """How often the lane answers a foreign admin of what it holds for acme, with these locks away, and the bodies."""
    await make(api.root, "ui.theme", "dark", "TERRITORY", "DE")
    for client, calls in ((api.root, WARM), (api.globex, [Call("GET", "/api/auth/verify")])):
        for _ in range(2):
            await answers(client, calls)
    for lock in sorted(without):
        TAKE_AWAY[lock](monkeypatch)
    counters = api.registry.hot.counters
    before = counters.lane
    bodies = [body for _, _, _, body in await answers(api.globex, WARM)]
    return counters.lane - before, bodies


@pytest.mark.parametrize("alone", TAKE_AWAY)
async def test_each_lock_of_the_fast_lane_holds_alone(api: Api, monkeypatch: pytest.MonkeyPatch, alone: str) -> None:
    answered, bodies = await lane_answers(api, monkeypatch, without=set(TAKE_AWAY) - {alone})

    assert answered == 0
    assert not [body for body in bodies if b'"dark"' in body]


async def test_without_all_of_its_locks_the_fast_lane_answers_foreigners(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the three above would prove nothing."""
    answered, bodies = await lane_answers(api, monkeypatch, without=set(TAKE_AWAY))

    assert answered == len(WARM)
    assert all(b'"dark"' in body for body in bodies)


@pytest.mark.parametrize("lie", ["tells", "acts"])
async def test_the_check_finds_a_gate_that_tells_or_lets_pass(
    api: Api, db: Connection, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    """The same matrix, with a gate that says Forbidden where it should say nothing, and with one that says yes."""
    require = Gate.require

    def telling(self: Gate, *arguments: Any) -> None:
        try:
            require(self, *arguments)
        except NotFound:
            if lie == "tells":
                raise Forbidden from None

    monkeypatch.setattr(Gate, "require", telling)
    take_row_level_security_away(monkeypatch)
    operations = ["getSettingById", "replaceSetting", "unsetSetting", "deleteScope"]

    assert await tell_apart(api, db, PRINCIPALS["globex"], operations) != []


@pytest.mark.parametrize("who", ["auditor", "service"])
async def test_who_only_reads_changes_nothing(api: Api, db: Connection, who: str) -> None:
    target = await settle_target(api, there=True)
    before = await everything(db)
    for operation, calls in CALLS.items():
        for call, status, _, _ in await answers(getattr(api, who), calls(target)):
            if call.method not in ("GET", "HEAD") and operation not in DECISIONS:
                assert status in (403, 404, 422), (operation, call, status)
    assert await everything(db) == before


async def test_the_places_of_one_tenant_are_not_those_of_another(api: Api) -> None:
    """Same ids in both tenants: each sees its own."""
    await make(api.admin, "ui.theme", "dark", "USER", "same")
    await make(api.globex, "ui.theme", "auto", "USER", "same")
    where = {"key": "ui.theme", **place("USER", "same")}

    assert (await api.admin.get("/api/settings", params=where)).json()["value"] == "dark"
    assert (await api.globex.get("/api/settings", params=where)).json()["value"] == "auto"
