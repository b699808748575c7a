"""Lists: what is set at one scope, in pages."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.world import DEFINITIONS, Api, make, match, place, pointers, position, problem

pytestmark = pytest.mark.anyio

KEYS = sorted(DEFINITIONS)


async def fill(api: Api) -> None:
    """Set every key for the tenant."""
    values = {"notify.channels": {}, "notify.followups": [], "feature.enabled": False, "ui.theme": "dark"}
    for key in KEYS:
        await make(api.admin, key, values.get(key, "x" if key == "tenant.only" else 1))


async def pages(client: httpx.AsyncClient, path: str, **params: Any) -> list[list[dict[str, Any]]]:
    """All pages of a list, by following its links."""
    found = []
    response = await client.get(path, params=params)
    while True:
        assert response.status_code == 200, response.text
        page = response.json()
        assert set(page) == {"items", "next"}
        found.append(page["items"])
        if page["next"] is None:
            assert "Link" not in response.headers
            return found
        link = response.headers["Link"]
        assert link.startswith(f"<{path}?")
        assert link.endswith(f'cursor={page["next"]}>; rel="next"')
        response = await client.get(link[1:].partition(">")[0])


async def test_a_list_has_every_value_of_its_scope_in_order_of_keys(api: Api) -> None:
    await fill(api)
    await make(api.admin, "ui.theme", "auto", "USER", "alice")

    [items] = await pages(api.admin, "/api/settings/list", scope="TENANT")

    assert [item["key"] for item in items] == KEYS
    assert {item["scope"] for item in items} == {"TENANT"}


@pytest.mark.parametrize("limit", [1, 2, 4, len(KEYS), 1000])
async def test_pages_of_any_size_hold_everything_once(api: Api, limit: int) -> None:
    await fill(api)

    found = await pages(api.admin, "/api/settings/list", scope="TENANT", limit=limit)

    assert [item["key"] for page in found for item in page] == KEYS
    assert all(len(page) == limit for page in found[:-1])
    assert 0 < len(found[-1]) <= limit


async def test_a_page_goes_on_where_the_last_one_ended_whatever_changed_before(api: Api) -> None:
    await fill(api)
    first = (await api.admin.get("/api/settings/list", params={"scope": "TENANT", "limit": 4})).json()
    await api.admin.delete(f"/api/settings/{first['items'][0]['id']}", headers=match(first["items"][0]))

    query = {"scope": "TENANT", "limit": 100, "cursor": first["next"]}
    rest = (await api.admin.get("/api/settings/list", params=query)).json()

    assert [item["key"] for item in rest["items"]] == KEYS[4:]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", KEYS),
        ("ui.", ["ui.density", "ui.theme"]),
        ("ui.theme", ["ui.theme"]),
        ("ui.themes", []),
        ("%", []),
        ("u_", []),
        ("ui.*", []),
        ("' OR 1=1 --", []),
        ("\\", []),
        ("UI.", []),
        ("𝄞", []),
    ],
)
async def test_a_prefix_is_taken_literally(api: Api, prefix: str, expected: list[str]) -> None:
    await fill(api)

    [items] = await pages(api.admin, "/api/settings/list", scope="TENANT", prefix=prefix)

    assert [item["key"] for item in items] == expected


async def test_a_list_holds_only_what_the_caller_is_cleared_for(api: Api) -> None:
    await fill(api)

    found = await pages(api.clerk, "/api/settings/list", scope="TENANT", limit=3)

    assert [item["key"] for page in found for item in page] == [key for key in KEYS if key != "limit.secret"]


async def test_a_scope_where_nothing_is_set_has_an_empty_list(api: Api) -> None:
    response = await api.admin.get("/api/settings/list", params=place("USER", "unheard-of"))

    assert response.json() == {"items": [], "next": None}
    assert position(response) > 0


@pytest.mark.parametrize(
    ("who", "where"),
    [
        ("alice", place("USER", "carl")),
        ("alice", place("TERRITORY", "CH")),
        ("alice", place("USER", "unheard-of")),
        ("globex", place("TENANT", tenant="acme")),
        ("admin", place("TENANT", tenant="globex")),
        ("admin", place("TENANT", tenant="initrode")),
        ("service", place("TENANT")),
        ("nobody", place("GLOBAL")),
    ],
)
async def test_a_scope_that_may_not_be_seen_has_no_list(api: Api, who: str, where: dict[str, str]) -> None:
    await make(api.admin, "ui.theme", "dark", "USER", "carl")

    problem(await getattr(api, who).get("/api/settings/list", params=where), 404)


async def test_a_colleagues_values_may_be_read(api: Api) -> None:
    await make(api.admin, "ui.theme", "dark", "USER", "bob")

    [items] = await pages(api.alice, "/api/settings/list", **place("USER", "bob"))

    assert [item["value"] for item in items] == ["dark"]


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "1.0", "ten", "", "1e2", "9" * 30])
async def test_a_limit_is_a_number_from_1_to_1000(api: Api, limit: str) -> None:
    response = await api.admin.get("/api/settings/list", params={"scope": "TENANT", "limit": limit})

    assert pointers(response, 400) == ["/query/limit"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("", "/query/scope"),
        ("scope=TENANT&scope=TENANT", "/query/scope"),
        ("scope=TENANT&scopeID=x", "/query/scopeID"),
        ("scope=tenant", "/query/scope"),
        ("scope=USER", "/query/scopeId"),
        ("scope=TENANT&prefix=%00", "/query/prefix"),
        ("scope=TENANT&tenantId=acme&tenantId=globex", "/query/tenantId"),
    ],
)
async def test_a_wrong_query_is_malformed_and_says_where(api: Api, query: str, pointer: str) -> None:
    assert pointers(await api.admin.get(f"/api/settings/list?{query}"), 400) == [pointer]


async def test_a_list_has_a_tag_that_is_about_what_it_holds(api: Api) -> None:
    await fill(api)
    before = await api.admin.get("/api/settings/list", params={"scope": "TENANT"})
    await make(api.admin, "ui.theme", "auto", "USER", "alice")

    unchanged = await api.admin.get(
        "/api/settings/list", params={"scope": "TENANT"}, headers={"If-None-Match": before.headers["ETag"]}
    )

    assert unchanged.status_code == 304
    assert position(unchanged) > position(before)
