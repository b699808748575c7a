"""
What the decision point says is what HTTP does.

A matrix of principals and settings operations. Each is tried over HTTP, and asked three ways: by the principal itself
in our own words and in AuthZEN's, and by a service that is believed about others. All four agree, cell by cell.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from app.domain.access import Principal
from app.domain.definition import Sensitivity
from tests.world import PRINCIPALS, Api, place

pytestmark = pytest.mark.anyio

PEP = Principal(id="pep", kind="service", tenant="acme", roles=("service",), scopes=("pdp:assert",), scoped=True)
KEYS = ("ui.theme", "limit.secret", "no.such")
PLACES = (
    ("GLOBAL", None, None),
    ("TENANT", None, "acme"),
    ("TERRITORY", "DE", "acme"),
    ("TERRITORY", "CH", "acme"),
    ("ACCOUNT", "adler", "acme"),
    ("ACCOUNT", "bern", "acme"),
    ("ACCOUNT", "not/in the directory", "acme"),
    ("CONTACT_ROLE", "BUYER", "acme"),
    ("CONTACT", "kern", "acme"),
    ("USER", "alice", "acme"),
    ("USER", "carl", "acme"),
    ("TENANT", None, "globex"),
    ("ACCOUNT", "initech", "globex"),
    ("TENANT", None, "nobodys"),
)
ACTIONS = ("resolve", "read", "write")
PEOPLE = PRINCIPALS | {
    "cleared alice": msgspec.structs.replace(PRINCIPALS["alice"], clearance=Sensitivity.SECRET.rank),
    "uncleared": msgspec.structs.replace(PRINCIPALS["manager"], clearance=Sensitivity.PUBLIC.rank),
    "scoped": msgspec.structs.replace(PRINCIPALS["admin"], scopes=("settings:read",), scoped=True),
}
CONTEXT = {
    "TERRITORY": "territory",
    "ACCOUNT": "accountId",
    "CONTACT_ROLE": "contactRole",
    "CONTACT": "contactId",
    "USER": "userId",
}


class Cell(NamedTuple):
    """One operation at one place."""

    action: str
    scope: str
    scope_id: str | None
    tenant: str | None
    key: str

    @property
    def members(self) -> dict[str, str]:
        return {"key": self.key, **place(self.scope, self.scope_id, tenant=self.tenant)}

    @property
    def id(self) -> str:
        parts = (self.scope, self.tenant, self.scope_id, self.key)
        return "/".join(part for part in parts if part is not None)


CELLS = [Cell(action, *where, key) for action in ACTIONS for where in PLACES for key in KEYS]


@pytest.fixture
async def settled(api: Api) -> Api:
    """Something is set wherever anything can be."""
    values = {"ui.theme": "dark", "limit.secret": 7}
    for scope, scope_id, tenant in PLACES:
        if tenant == "nobodys":
            continue
        operations = [
            {"op": "set", "key": key, "value": value, **place(scope, scope_id, tenant=tenant)}
            for key, value in values.items()
        ]
        response = await api.platform.post("/api/settings/batch", json={"operations": operations})
        assert response.status_code == 200, response.text
    return api


async def done(client: httpx.AsyncClient, cell: Cell) -> bool:
    """Whether HTTP does it."""
    if cell.action == "read":
        response = await client.get("/api/settings", params=cell.members)
    elif cell.action == "resolve":
        where = {} if cell.tenant is None else {"tenantId": cell.tenant}
        where |= {CONTEXT[cell.scope]: str(cell.scope_id)} if cell.scope in CONTEXT else {}
        response = await client.get(f"/api/settings/resolve/{cell.key}", params=where)
    else:
        operation = {"op": "unset", "ifMatch": "*", **cell.members}
        response = await client.post("/api/settings/batch", json={"operations": [operation], "dryRun": True})
    assert response.status_code in (200, 403, 404, 422), response.text
    return response.status_code == 200


def said(response: httpx.Response) -> list[bool]:
    assert response.status_code == 200, response.text
    return [one["decision"] for one in response.json()["evaluations"]]


def evaluations(subject: dict[str, Any]) -> dict[str, Any]:
    items = [{"action": {"name": cell.action}, "resource": {"type": "setting", "id": cell.id}} for cell in CELLS]
    return {"subject": subject, "evaluations": items}


def described(principal: Principal) -> dict[str, Any]:
    """A principal as its own service would assert it."""
    properties = {
        "roles": principal.roles,
        "territories": principal.territories,
        "clearance": list(Sensitivity)[principal.clearance],
    }
    return {"type": principal.kind, "id": principal.id, "properties": properties}


def differing(expected: list[bool], decided: list[bool]) -> list[Cell]:
    return [cell for cell, one, other in zip(CELLS, expected, decided, strict=True) if one is not other]


@pytest.mark.parametrize("who", list(PEOPLE))
async def test_what_is_decided_is_what_is_done(settled: Api, who: str) -> None:
    principal = PEOPLE[who]
    client = settled.of(principal)
    expected = [await done(client, cell) for cell in CELLS]

    asked = [
        (await client.post("/api/security/evaluate", json={"action": cell.action, "resource": resource})).json()
        for cell in CELLS
        for resource in [{"type": "setting", **cell.members}]
    ]
    itself = await client.post("/access/v1/evaluations", json=evaluations({"type": principal.kind, "id": principal.id}))

    assert differing(expected, [one["decision"] for one in asked]) == []
    assert differing(expected, said(itself)) == []
    if principal.tenant == "acme" and "platform_admin" not in principal.roles and not principal.scoped:
        of_it = await settled.of(PEP).post("/access/v1/evaluations", json=evaluations(described(principal)))
        assert differing(expected, said(of_it)) == []


async def test_the_matrix_holds_both_answers_for_every_action(settled: Api) -> None:
    """Equal answers that are all one and the same would prove little."""
    found = {(cell.action, await done(settled.of(PEOPLE[who]), cell)) for who in ("alice", "manager") for cell in CELLS}

    assert found == {(action, granted) for action in ACTIONS for granted in (True, False)}


async def test_an_override_is_decided_as_it_is_done(settled: Api) -> None:
    cell = Cell("read", "ACCOUNT", "bern", "acme", "ui.theme")
    because = {"Setpoint-Override-Reason": "covering for a colleague"}
    question = {"action": "read", "resource": {"type": "setting", **cell.members}}
    manager = settled.manager

    with_it = await manager.get("/api/settings", params=cell.members, headers=because)
    without = await manager.get("/api/settings", params=cell.members)
    asked = [
        await manager.post("/api/security/evaluate", json=question, headers=because),
        await manager.post("/api/security/evaluate", json={**question, "context": {"overrideReason": "a colleague"}}),
        await manager.post("/api/security/evaluate", json=question),
    ]

    assert (with_it.status_code, without.status_code) == (200, 404)
    assert [one.json()["decision"] for one in asked] == [True, True, False]
