"""Searches: what is found is what an evaluation grants, page by page, and a token tells nothing."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from app.access.authzen import search
from app.domain.access import ACTIONS
from app.settings.decisions.ground import _RESOURCES
from tests.access.authzen.conftest import PEP
from tests.access.authzen.test_certification import ACTIONS as ACTION_SEARCH
from tests.access.authzen.test_certification import (
    ALICE,
    EVALUATIONS,
    READ,
    RECORDS,
    RESOURCES,
    SUBJECTS,
    WHO,
    body_of,
    decisions_of,
    record,
    subject,
)
from tests.world import CREATE, DEFINITIONS, PRINCIPALS, SCOPES, Api, make, pointers, problem

pytestmark = pytest.mark.anyio

PEOPLE = {
    "user": {"type": "user", "id": "alice"},
    "manager": subject("maria", roles=["manager"], territories=["CH"], clearance="confidential"),
    "admin": subject("anna", roles=["admin"], clearance="secret"),
    "auditor": subject("otto", roles=["auditor"]),
    "service": {"type": "service", "id": "shop", "properties": {"roles": ["service"]}},
}
SET = (("GLOBAL", None), ("TENANT", None), ("TERRITORY", "CH"), ("ACCOUNT", "adler"), ("ACCOUNT", "with/a slash"))


async def settle(pdp: Api) -> None:
    """Settings of two tenants, and for everybody."""
    for scope, scope_id in SET:
        await make(pdp.root, "ui.theme", "dark", scope, scope_id)
        await make(pdp.root, "limit.secret", 1, scope, scope_id)
    await make(pdp.globex, "ui.theme", "dark", "ACCOUNT", "initech")


def candidates(type_: str) -> list[str]:
    """All ids of a type that acme can name, in order."""
    entries = [f"{level}/{tenant}/{scope_id}" for tenant, level, scope_id, _ in SCOPES if tenant == "acme"]
    entries += ["ACCOUNT/acme/record-1", "ACCOUNT/acme/record-2"]
    paths = ["GLOBAL", "TENANT/acme", "TERRITORY/acme/CH", "ACCOUNT/acme/adler", "ACCOUNT/acme/with/a slash"]
    ids = {
        "scope": entries,
        "setting": [f"{path}/{key}" for path in paths for key in ("limit.secret", "ui.theme")],
        "definition": list(DEFINITIONS),
        "tenant": ["acme"],
        "policy": ["current"],
        "record": [path.removeprefix("ACCOUNT/acme/") for path in entries if path.startswith("ACCOUNT/")],
    }
    return sorted(ids.get(type_, ["acme"]))


async def all_of(client: httpx.AsyncClient, path: str, request: dict[str, Any], limit: int = 2) -> list[str]:
    """The ids of all pages, in the order found."""
    found: list[str] = []
    page: dict[str, Any] = {"limit": limit}
    for _ in range(200):
        body = body_of(await client.post(path, json={**request, "page": page}))
        assert body["page"]["count"] == len(body["results"]) <= limit
        found += [one["id"] for one in body["results"]]
        if not body["page"]["next_token"]:
            return found
        page = {"limit": limit, "token": body["page"]["next_token"]}
    raise AssertionError("the pages have no end")


# ---- What is found is what is granted ----

TYPES = [*_RESOURCES, "setting", "record"]


@pytest.mark.parametrize("who", list(PEOPLE))
async def test_the_resources_found_are_those_that_an_evaluation_grants(pdp: Api, who: str) -> None:
    await settle(pdp)
    pep = pdp.of(PEP)
    for type_ in TYPES:
        for verb in ("read", "write"):
            asked = {"subject": PEOPLE[who], "action": {"name": verb}}
            items = [{"resource": {"type": type_, "id": one}} for one in candidates(type_)]

            granted = decisions_of(await pep.post(EVALUATIONS, json={**asked, "evaluations": items}))
            found = await all_of(pep, RESOURCES, {**asked, "resource": {"type": type_}})

            expected = [one for one, yes in zip(candidates(type_), granted, strict=True) if yes]
            assert [one for one in found if one in candidates(type_)] == expected, (type_, verb)
            assert set(found) <= {*expected, *({"globex"} if type_ == "tenant" else ())}, (type_, verb)


async def test_some_of_each_type_are_found_and_some_are_not(pdp: Api) -> None:
    """Equal lists that are all empty would prove little."""
    await settle(pdp)
    pep = pdp.of(PEP)
    found = {
        type_: set(await all_of(pep, RESOURCES, {"subject": ALICE, "action": READ, "resource": {"type": type_}}))
        for type_ in ("setting", "definition", "scope", "record")
    }
    everything = {type_: set(candidates(type_)) for type_ in found}

    assert found["record"] == {"record-1", "record-2"}  # the others have no status
    # Known as an editor, she has no role of ours.
    assert found["setting"] == found["scope"] == found["definition"] == set()
    user = {"subject": subject("alice", roles=["user"], territories=["DE"]), "action": READ}
    for type_ in ("setting", "definition", "scope"):
        seen = set(await all_of(pep, RESOURCES, {**user, "resource": {"type": type_}}))
        assert set() < seen < everything[type_], type_


async def test_the_subjects_found_are_those_that_an_evaluation_grants(pdp: Api) -> None:
    for name, attributes in {"dora": {"role": "admin"}, "emil": {"kind": "service", "role": "editor"}}.items():
        await pdp.admin.put(f"/api/scopes/USER/{name}", json={"attributes": attributes}, headers=CREATE)
    everybody = ["alice", "bob", "carl", "dora", "emil"]
    pep = pdp.of(PEP)
    for kind in ("user", "service"):
        for verb in ("read", "write", "fly"):
            asked = {"action": {"name": verb}, "resource": record(1)}
            items = [{"subject": {"type": kind, "id": one}} for one in everybody]

            granted = decisions_of(await pep.post(EVALUATIONS, json={**asked, "evaluations": items}))
            found = await all_of(pep, SUBJECTS, {**asked, "subject": {"type": kind}})

            assert found == [one for one, yes in zip(everybody, granted, strict=True) if yes], (kind, verb)
    assert await all_of(pep, SUBJECTS, {**WHO, "subject": {"type": "service"}}) == ["emil"]


async def test_the_actions_found_are_those_that_an_evaluation_grants(pdp: Api) -> None:
    pep = pdp.of(PEP)
    resource = {"type": "setting", "id": "ACCOUNT/acme/adler/ui.theme"}
    for person in PEOPLE.values():
        names = sorted(map(str, ACTIONS[next(one for one in ACTIONS if one.__name__ == "SettingResource")]))
        items = [{"action": {"name": name}} for name in names]
        asked = {"subject": person, "resource": resource}

        granted = decisions_of(await pep.post(EVALUATIONS, json={**asked, "evaluations": items}))
        body = body_of(await pep.post(ACTION_SEARCH, json=asked))

        assert [one["name"] for one in body["results"]] == [n for n, yes in zip(names, granted, strict=True) if yes]


async def test_the_actions_of_a_page_are_followed_by_the_rest(pdp: Api) -> None:
    pep = pdp.of(PEP)
    asked: dict[str, Any] = {"subject": ALICE, "resource": record(1)}

    first = body_of(await pep.post(ACTION_SEARCH, json={**asked, "page": {"limit": 1}}))
    token = first["page"]["next_token"]
    second = body_of(await pep.post(ACTION_SEARCH, json={**asked, "page": {"limit": 1, "token": token}}))

    assert [one["name"] for one in first["results"] + second["results"]] == ["read", "write"]
    assert second["page"]["next_token"] == ""


# ---- Tokens ----

OTHERS = {
    "another action": {"action": {"name": "write"}},
    "another resource": {"resource": record(2)},
    "more context": {"context": {"x": 1}},
    "another property": {"resource": record(1, status="active")},
    "another kind": {"subject": {"type": "service"}},
}


@pytest.mark.parametrize("what", list(OTHERS))
async def test_a_token_belongs_to_its_question(pep: httpx.AsyncClient, what: str) -> None:
    body = body_of(await pep.post(SUBJECTS, json={**WHO, "page": {"limit": 1}}))
    page = {"token": body["page"]["next_token"]}

    assert pointers(await pep.post(SUBJECTS, json={**WHO, **OTHERS[what], "page": page}), 400) == ["#/page/token"]


async def test_a_token_belongs_to_who_got_it(pdp: Api, pep: httpx.AsyncClient) -> None:
    body = body_of(await pep.post(SUBJECTS, json={**WHO, "page": {"limit": 1}}))
    page = {"token": body["page"]["next_token"]}

    assert body_of(await pep.post(SUBJECTS, json={**WHO, "page": page}))["results"]
    assert pointers(await pdp.admin.post(SUBJECTS, json={**WHO, "page": page}), 400) == ["#/page/token"]


@pytest.mark.parametrize("token", ["", "x", "AAAA", "é", "/" * 40])
async def test_what_is_no_token_is_refused(pep: httpx.AsyncClient, token: str) -> None:
    assert pointers(await pep.post(SUBJECTS, json={**WHO, "page": {"token": token}}), 400) == ["#/page/token"]


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1", None])
async def test_a_limit_is_a_positive_number(pep: httpx.AsyncClient, limit: Any) -> None:
    assert pointers(await pep.post(SUBJECTS, json={**WHO, "page": {"limit": limit}}), 400) == ["#/page/limit"]


async def test_a_limit_above_ours_is_ours(pep: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_PAGE", 1)

    body = body_of(await pep.post(SUBJECTS, json={**WHO, "page": {"limit": 10**9}}))

    assert len(body["results"]) == 1
    assert body["page"]["next_token"]


# ---- A request looks through so much and no more ----


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "CHUNK", 2)
    monkeypatch.setattr(search, "MAX_CANDIDATES", 4)


@pytest.fixture
async def crowd(pdp: Api) -> list[str]:
    """A dozen accounts, of which the first, the second and the last are alice's."""
    names = [f"b{number:02}" for number in range(12)]
    for name in names:
        owner = "alice" if name in ("b00", "b01", "b11") else "carl"
        response = await pdp.admin.put(f"/api/scopes/ACCOUNT/{name}", json={"owner": owner}, headers=CREATE)
        assert response.is_success
    return [name for name in names if name not in ("b00", "b01", "b11")]


MINE = {"subject": {"type": "user", "id": "alice"}, "action": READ, "resource": {"type": "scope"}}
HERS = {**MINE, "subject": subject("alice", roles=["user"], territories=[])}
OWNED = [f"ACCOUNT/acme/{name}" for name in ("adler", "b00", "b01", "b11")] + ["USER/acme/alice"]


@pytest.mark.usefixtures("narrow", "crowd")
async def test_whoever_may_ask_about_anybody_goes_on_where_the_request_stopped(pdp: Api) -> None:
    pep = pdp.of(PEP)
    first = body_of(await pep.post(RESOURCES, json={**HERS, "page": {"limit": 100}}))

    assert 0 < len(first["results"]) < len(OWNED)
    assert first["page"]["next_token"]
    assert await all_of(pep, RESOURCES, HERS, limit=100) == OWNED


@pytest.mark.usefixtures("narrow")
async def test_a_token_names_nothing_that_its_bearer_may_not_see(pdp: Api, crowd: list[str]) -> None:
    lonely = PRINCIPALS["alice"]
    client = pdp.of(lonely)
    page: dict[str, Any] = {"limit": 100}
    tokens = []
    for _ in range(20):
        response = await client.post(RESOURCES, json={**MINE, "page": page})
        if response.status_code != 200 or not response.json()["page"]["next_token"]:
            break
        tokens.append(response.json()["page"]["next_token"])
        page = {"limit": 100, "token": tokens[-1]}

    problem(response, 422, "search-too-wide")  # behind b01 there are more than it may see without seeing any
    assert tokens
    for token in tokens:
        shown = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[8:].decode()
        assert shown in OWNED
        assert not any(name in shown for name in crowd)


async def test_a_small_tenant_is_looked_through_at_once(pdp: Api, crowd: list[str]) -> None:
    del crowd

    found = set(await all_of(pdp.alice, RESOURCES, MINE, limit=100))

    assert set(OWNED) <= found


async def test_nothing_of_another_tenant_is_a_candidate(pdp: Api) -> None:
    """Not even for who may see everything."""
    await settle(pdp)
    rita = PRINCIPALS["root"]
    asked = {"subject": {"type": "user", "id": rita.id}, "action": READ}
    for type_ in ("setting", "scope", "record"):
        own = await all_of(pdp.root, RESOURCES, {**asked, "resource": {"type": type_}}, limit=100)
        assert own or type_ == "record"
        assert "initech" not in str(own)
    assert await all_of(pdp.root, RESOURCES, {**asked, "resource": {"type": "tenant"}}) == ["acme"]
    response = await pdp.platform.post(
        RESOURCES,
        params={"tenantId": "globex"},
        json={"subject": subject("x"), "action": READ, "resource": RECORDS},
    )
    assert body_of(response)["results"] == []
