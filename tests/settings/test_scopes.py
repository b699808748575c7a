"""The scope directory over HTTP: where scopes lie, who owns them, and what follows from it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import pytest

from app.domain.access import Principal
from tests.fixtures import running
from tests.settings.test_listing import pages
from tests.world import CREATE, SCOPES, Api, make, match, place, pointers, position, problem

pytestmark = pytest.mark.anyio

MANAGERS_WRITE_ENTRIES = """
allow(p: Principal, action: String, e: ScopeEntry) if
    action in ["read", "write"] and
    "manager" in p.roles and
    e.tenant = p.tenant and
    e.territory in p.territories;
"""


async def describe(api: Api, level: str, scope_id: str, **body: Any) -> dict[str, Any]:
    response = await api.admin.put(f"/api/scopes/{level}/{scope_id}", json=body, headers=CREATE)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def test_an_entry_is_created_changed_and_removed(api: Api) -> None:
    path = "/api/scopes/ACCOUNT/lindner"
    body = {"territory": "DE", "owner": "alice", "attributes": {"size": 0, "tags": [None]}}

    made = await api.admin.put(path, json=body, headers=CREATE)
    changed = await api.admin.put(path, json={"territory": "CH"}, headers=match(made))
    found = await api.admin.get(path)
    gone = await api.admin.delete(path, headers=match(changed))

    assert (made.status_code, changed.status_code, gone.status_code) == (201, 200, 204)
    assert made.headers["Location"] == path
    assert {name: made.json()[name] for name in body} == body
    assert (made.json()["scope"], made.json()["scopeId"], made.json()["tenantId"]) == ("ACCOUNT", "lindner", "acme")
    assert (changed.json()["owner"], changed.json()["attributes"], changed.json()["version"]) == (None, {}, 2)
    assert found.content == changed.content
    assert found.headers["ETag"] == changed.headers["ETag"]
    assert position(made) < position(changed) < position(gone)
    problem(await api.admin.get(path), 404)


@pytest.mark.parametrize("scope_id", ["50%", "a b", "Zoë & Söhne", "what?", "#1", "a+b", "x%2520y", "%C3%A4"])
async def test_location_names_the_entry_whatever_its_id(api: Api, scope_id: str) -> None:
    response = await api.admin.put(f"/api/scopes/ACCOUNT/{quote(scope_id, safe='')}", json={}, headers=CREATE)

    assert response.status_code == 201, response.text
    assert response.json()["scopeId"] == scope_id
    location = response.headers["Location"]
    assert unquote(location) == f"/api/scopes/ACCOUNT/{scope_id}"
    assert (await api.admin.get(location)).json() == response.json()


async def test_changes_say_what_they_are_based_on(api: Api) -> None:
    path = "/api/scopes/ACCOUNT/adler"
    current = await api.admin.get(path)

    problem(await api.admin.put(path, json={}), 428)
    problem(await api.admin.put(path, json={}, headers=CREATE), 412)
    problem(await api.admin.put(path, json={}, headers={"If-Match": '"v1"'}), 412)
    problem(await api.admin.delete(path), 428)
    response = await api.admin.delete(path, headers={"If-Match": '"v1"'})
    problem(response, 412)
    assert response.headers["ETag"] == current.headers["ETag"]
    problem(await api.admin.delete("/api/scopes/ACCOUNT/absent", headers={"If-Match": "*"}), 404)
    problem(await api.admin.put("/api/scopes/ACCOUNT/absent", json={}, headers={"If-Match": "*"}), 412)


async def test_twenty_who_create_one_entry_at_once_make_it_once(api: Api) -> None:
    answers = await asyncio.gather(
        *(
            api.admin.put("/api/scopes/ACCOUNT/lindner", json={"owner": f"u{number}"}, headers=CREATE)
            for number in range(20)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [412] * 19
    [winner] = [answer.json() for answer in answers if answer.status_code == 201]
    assert (await api.admin.get("/api/scopes/ACCOUNT/lindner")).json() == winner


async def test_lists_are_filtered_by_level_and_territory(api: Api) -> None:
    mine = sorted(f"{level}/{scope_id}" for tenant, level, scope_id, _ in SCOPES if tenant == "acme")

    async def listed(**query: str) -> list[str]:
        found = await pages(api.admin, "/api/scopes", limit=2, **query)
        return [f"{item['scope']}/{item['scopeId']}" for page in found for item in page]

    assert await listed() == mine
    assert await listed(scope="USER") == ["USER/alice", "USER/bob", "USER/carl"]
    assert await listed(territory="CH") == ["ACCOUNT/bern", "TERRITORY/CH", "USER/carl"]
    assert await listed(territory="CH", scope="ACCOUNT") == ["ACCOUNT/bern"]
    assert await listed(territory="C%") == []


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("TERRITORY/DE", {"territory": "CH"}, "#/territory"),
        ("USER/alice", {"owner": "bob"}, "#/owner"),
    ],
)
async def test_what_a_level_implies_cannot_be_said_otherwise(
    api: Api, path: str, body: dict[str, str], pointer: str
) -> None:
    assert pointers(await api.admin.put(f"/api/scopes/{path}", json=body, headers={"If-Match": "*"})) == [pointer]


async def test_a_territory_lies_in_itself_and_a_user_owns_what_is_theirs(api: Api) -> None:
    await describe(api, "USER", "dora")
    dora = api.of(Principal(id="dora", tenant="acme", roles=("user",)))

    assert (await api.alice.get("/api/scopes/TERRITORY/DE")).status_code == 200
    problem(await api.alice.get("/api/scopes/TERRITORY/CH"), 404)
    assert (await dora.get("/api/scopes/USER/dora")).status_code == 200
    [items] = await pages(dora, "/api/scopes")
    assert [item["scopeId"] for item in items] == ["dora"]


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("GLOBAL/x", {}, "/path/level"),
        ("PLANET/x", {}, "/path/level"),
        ("user/x", {}, "/path/level"),
        ("USER/%20x", {}, "#/scopeId"),
        ("USER/a%00b", {}, "#/scopeId"),
        ("USER/%E2%80%AEx", {}, "#/scopeId"),
        ("TENANT/globex", {}, "#/scopeId"),
        ("ACCOUNT/x", {"attributes": []}, "#/attributes"),
        ("ACCOUNT/x", {"owner": ""}, "#/owner"),
        ("ACCOUNT/x", {"territory": "a\tb"}, "#/territory"),
        ("ACCOUNT/x", {"version": 1}, "#"),
    ],
)
async def test_what_is_of_the_wrong_form_is_malformed_and_says_where(
    api: Api, path: str, body: dict[str, Any], pointer: str
) -> None:
    assert pointers(await api.admin.put(f"/api/scopes/{path}", json=body, headers=CREATE), 400) == [pointer]


async def test_users_see_their_territory_and_what_they_own_and_change_nothing(api: Api) -> None:
    await describe(api, "ACCOUNT", "far", territory="CH", owner="alice")

    [items] = await pages(api.alice, "/api/scopes")

    assert [f"{item['scope']}/{item['scopeId']}" for item in items] == [
        *("ACCOUNT/adler", "ACCOUNT/far", "CONTACT/kern", "CONTACT_ROLE/BUYER", "TERRITORY/DE"),
        *("USER/alice", "USER/bob"),
    ]
    seen = await api.alice.get("/api/scopes/ACCOUNT/adler")
    problem(await api.alice.put("/api/scopes/ACCOUNT/adler", json={}, headers=match(seen)), 404)
    mine = {"territory": "DE", "owner": "alice"}
    problem(await api.alice.put("/api/scopes/ACCOUNT/adler", json=mine, headers=match(seen)), 403)
    problem(await api.alice.delete("/api/scopes/ACCOUNT/adler", headers=match(seen)), 403)
    problem(await api.alice.get("/api/scopes/ACCOUNT/bern"), 404)
    problem(await api.alice.delete("/api/scopes/ACCOUNT/bern", headers={"If-Match": "*"}), 404)


async def test_a_move_needs_rights_at_both_ends(api: Api, tmp_path: Path) -> None:
    (tmp_path / "managers.polar").write_text(MANAGERS_WRITE_ENTRIES)
    config = msgspec.structs.replace(api.config, policies_dir=f"shipped,{tmp_path}")
    async with running(config, clock=api.clock) as other:
        inside, outside = {"territory": "DE", "owner": "alice"}, {"territory": "CH", "owner": "carl"}
        mine = await other.manager.get("/api/scopes/ACCOUNT/adler")
        theirs = await other.admin.get("/api/scopes/ACCOUNT/bern")

        # Out of her territory, into it, and within it.
        out = await other.manager.put("/api/scopes/ACCOUNT/adler", json=outside, headers=match(mine))
        into = await other.manager.put("/api/scopes/ACCOUNT/bern", json=inside, headers=match(theirs))
        within = await other.manager.put("/api/scopes/ACCOUNT/adler", json=inside, headers=match(mine))

        assert (out.status_code, into.status_code, within.status_code) == (404, 404, 200)
        assert (await other.admin.get("/api/scopes/ACCOUNT/bern")).content == theirs.content


async def test_moving_an_account_moves_who_may_read_its_settings(api: Api) -> None:
    await make(api.admin, "ui.theme", "dark", "ACCOUNT", "bern")
    where = {"key": "ui.theme", **place("ACCOUNT", "bern")}
    problem(await api.alice.get("/api/settings", params=where), 404)

    entry = await api.admin.get("/api/scopes/ACCOUNT/bern")
    await api.admin.put("/api/scopes/ACCOUNT/bern", json={"territory": "DE"}, headers=match(entry))

    assert (await api.alice.get("/api/settings", params=where)).status_code == 200
    problem(await api.carl.get("/api/settings", params=where), 404)


async def test_what_is_set_at_a_scope_stays_when_its_entry_goes(api: Api) -> None:
    made = await make(api.admin, "ui.theme", "dark", "ACCOUNT", "adler")
    entry = await api.admin.get("/api/scopes/ACCOUNT/adler")

    await api.admin.delete("/api/scopes/ACCOUNT/adler", headers=match(entry))

    assert (await api.admin.get(f"/api/settings/{made['id']}")).json() == made
    problem(await api.alice.get(f"/api/settings/{made['id']}"), 404)


async def test_a_foreign_tenants_directory_is_closed(api: Api) -> None:
    of_acme = {"tenantId": "acme"}

    problem(await api.globex.get("/api/scopes", params=of_acme), 404)
    problem(await api.globex.get("/api/scopes/ACCOUNT/adler", params=of_acme), 404)
    problem(await api.globex.put("/api/scopes/ACCOUNT/adler", params=of_acme, json={}, headers={"If-Match": "*"}), 404)
    problem(await api.platform.put("/api/scopes/USER/x", params={"tenantId": "none"}, json={}, headers=CREATE), 404)
    assert pointers(await api.platform.get("/api/scopes"), 400) == ["/query/tenantId"]


@pytest.mark.parametrize("scope_id", ["a/b", "a//b", "/a", "a/", "a%2Fb", "a b?c#d", "ünï/cödé"])
async def test_an_entry_is_found_under_the_very_id_it_was_given(api: Api, scope_id: str) -> None:
    path = f"/api/scopes/ACCOUNT/{quote(scope_id, safe='')}"

    made = await api.admin.put(path, json={"territory": "DE"}, headers=CREATE)
    found = await api.admin.get(path)
    by_location = await api.admin.get(made.headers["location"])
    gone = await api.admin.delete(path, headers=match(made.json()))

    assert [one.status_code for one in (made, found, by_location, gone)] == [201, 200, 200, 204]
    assert made.json()["scopeId"] == found.json()["scopeId"] == by_location.json()["scopeId"] == scope_id
