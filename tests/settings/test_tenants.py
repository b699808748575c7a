"""Tenants over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from tests.settings.test_listing import pages
from tests.world import CREATE, Api, make, match, position, problem

pytestmark = pytest.mark.anyio

PATH = "/api/tenants/initech"


async def test_a_tenant_is_created_renamed_and_removed(api: Api) -> None:
    made = await api.platform.put(PATH, json={"name": "Initech"}, headers=CREATE)
    renamed = await api.platform.put(PATH, json={"name": "Initrode"}, headers=match(made))
    gone = await api.platform.delete(PATH, headers=match(renamed))

    assert (made.status_code, renamed.status_code, gone.status_code) == (201, 200, 204)
    assert made.headers["Location"] == PATH
    assert made.json()["tenantId"] == "initech"
    assert renamed.json()["name"] == "Initrode"
    assert (made.json()["version"], renamed.json()["version"]) == (1, 2)
    assert position(made) < position(renamed) < position(gone)
    [items] = await pages(api.platform, "/api/tenants")
    assert [item["tenantId"] for item in items] == ["acme", "globex"]


async def test_a_tenant_without_a_name_is_called_by_its_id(api: Api) -> None:
    assert (await api.platform.put(PATH, json={}, headers=CREATE)).json()["name"] == "initech"


async def test_tenants_come_in_pages_in_order_of_their_ids(api: Api) -> None:
    for name in ("a", "Z", "b"):
        await api.platform.put(f"/api/tenants/{name}", json={}, headers=CREATE)

    found = await pages(api.platform, "/api/tenants", limit=2)

    assert [[item["tenantId"] for item in page] for page in found] == [["Z", "a"], ["acme", "b"], ["globex"]]


async def test_twenty_who_create_one_tenant_at_once_make_it_once(api: Api) -> None:
    answers = await asyncio.gather(
        *(api.platform.put(PATH, json={"name": f"n{number}"}, headers=CREATE) for number in range(20))
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [412] * 19
    [winner] = [answer.json() for answer in answers if answer.status_code == 201]
    [items] = await pages(api.platform, "/api/tenants")
    assert winner in items


async def test_changes_say_what_they_are_based_on(api: Api) -> None:
    made = await api.platform.put(PATH, json={}, headers=CREATE)

    problem(await api.platform.put(PATH, json={}), 428)
    problem(await api.platform.put(PATH, json={}, headers=CREATE), 412)
    problem(await api.platform.put(PATH, json={}, headers={"If-Match": '"v1"'}), 412)
    problem(await api.platform.delete(PATH), 428)
    response = await api.platform.delete(PATH, headers={"If-Match": '"v1"'})
    problem(response, 412)
    assert response.headers["ETag"] == made.headers["ETag"]
    problem(await api.platform.put("/api/tenants/absent", json={}, headers={"If-Match": "*"}), 412)
    problem(await api.platform.delete("/api/tenants/absent", headers={"If-Match": "*"}), 404)


async def test_a_tenant_with_values_or_scopes_is_kept_and_they_are_counted(api: Api) -> None:
    made = await api.platform.put(PATH, json={}, headers=CREATE)
    of_it = {"tenantId": "initech"}
    await make(api.platform, "ui.theme", "dark", **of_it)
    await api.platform.put("/api/scopes/USER/peter", params=of_it, json={}, headers=CREATE)

    assert problem(await api.platform.delete(PATH, headers=match(made)), 409, "in-use")["count"] == 2


@pytest.mark.parametrize("tenant", ["a%2Fb", "a b", "-a", "ünï", "x" * 201, "a%00b", "a%0A", "%E2%80%AEx"])
async def test_what_is_no_tenant_id_names_no_tenant(api: Api, tenant: str) -> None:
    path = f"/api/tenants/{tenant}"
    expected = 404 if "%2F" in tenant else 400

    problem(await api.platform.put(path, json={}, headers=CREATE), expected)
    problem(await api.platform.delete(path, headers={"If-Match": "*"}), expected)


@pytest.mark.parametrize("who", ["admin", "alice", "manager", "auditor", "service", "nobody", "globex"])
async def test_for_everybody_but_platform_admins_there_are_no_tenants(api: Api, who: str) -> None:
    client = getattr(api, who)

    problem(await client.get("/api/tenants"), 404)
    problem(await client.put("/api/tenants/acme", json={}, headers={"If-Match": "*"}), 404)
    problem(await client.put(PATH, json={}, headers=CREATE), 404)
    problem(await client.delete("/api/tenants/acme", headers={"If-Match": "*"}), 404)


async def test_a_tenant_is_not_removed_while_a_value_is_set_in_it(api: Api) -> None:
    made = await api.platform.put(PATH, json={}, headers=CREATE)
    body = {"scope": "TENANT", "tenantId": "initech", "key": "ui.theme", "value": "dark"}

    removed, created = await asyncio.gather(
        api.platform.delete(PATH, headers=match(made)), api.platform.post("/api/settings", json=body)
    )

    assert (removed.status_code, created.status_code) in ((204, 404), (409, 201))
