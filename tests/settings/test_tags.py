"""Entity tags of views and conditional reads."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.world import DE_CONTEXT, Api, make, match, position

pytestmark = pytest.mark.anyio

SAME_ON_304 = ("etag", "cache-control", "vary", "setpoint-position", "link")
VIEWS = [
    ("alice", "/api/settings/effective", DE_CONTEXT),
    ("alice", "/api/settings/effective", DE_CONTEXT | {"explain": "true"}),
    ("alice", "/api/settings/resolve/ui.theme", DE_CONTEXT),
    ("alice", "/api/settings/resolve/ui.theme", DE_CONTEXT | {"explain": "true"}),
    ("alice", "/api/settings", {"scope": "USER", "scopeId": "alice", "key": "ui.theme"}),
    ("alice", "/api/settings/{id}", {}),
    ("alice", "/api/settings/{id}/history", {}),
    ("alice", "/api/settings/list", {"scope": "USER", "scopeId": "alice", "limit": "1"}),
    ("alice", "/api/definitions", {"limit": "2"}),
    ("alice", "/api/definitions/ui.theme", {}),
    ("alice", "/api/scopes", {"limit": "2"}),
    ("alice", "/api/scopes/USER/alice", {}),
    ("platform", "/api/tenants", {"limit": "1"}),
]
FORMS = [
    ("{tag}", 304),
    ("W/{tag}", 304),
    ('"other", {tag}', 304),
    ('"a,b",W/"c" ,{tag}, "d"', 304),
    ("*", 304),
    ('"other"', 200),
    ('W/"other", "another"', 200),
    ("{bare}", 200),
    ("not a tag", 200),
    ("", 200),
]


async def asked(api: Api, who: str, path: str, query: dict[str, str], **more: Any) -> httpx.Response:
    """Ask for a view; `{id}` is that of the value that alice set for herself."""
    where = {"scope": "USER", "scopeId": "alice", "key": "ui.theme"}
    found = await api.admin.get("/api/settings", params=where)
    made = found.json() if found.status_code == 200 else await make(api.admin, "ui.theme", "dark", "USER", "alice")
    client = getattr(api, who)
    response: httpx.Response = await client.request(
        more.pop("method", "GET"), path.format(id=made["id"]), params=query, **more
    )
    return response


@pytest.mark.parametrize(("who", "path", "query"), VIEWS)
async def test_if_none_match_is_judged_as_the_rfc_says(api: Api, who: str, path: str, query: dict[str, str]) -> None:
    full = await asked(api, who, path, query)
    tag = full.headers["ETag"]
    assert tag.startswith('"')

    for form, expected in FORMS:
        sent = {"If-None-Match": form.format(tag=tag, bare=tag.strip('"'))}
        response = await asked(api, who, path, query, headers=sent)
        assert response.status_code == expected, form
        assert [response.headers.get(name) for name in SAME_ON_304] == [full.headers.get(name) for name in SAME_ON_304]
        assert response.content == (b"" if expected == 304 else full.content)
        if expected == 304:
            assert "content-type" not in response.headers
            assert response.headers.get("content-length") in (None, full.headers["content-length"])


@pytest.mark.parametrize(("who", "path", "query"), VIEWS)
async def test_head_mirrors_get(api: Api, who: str, path: str, query: dict[str, str]) -> None:
    def shown(response: httpx.Response) -> dict[str, str]:
        return {name: value for name, value in response.headers.items() if name != "x-request-id"}

    full = await asked(api, who, path, query)
    head = await asked(api, who, path, query, method="HEAD")
    tag = {"If-None-Match": full.headers["ETag"]}
    not_modified = await asked(api, who, path, query, headers=tag)
    head_not_modified = await asked(api, who, path, query, method="HEAD", headers=tag)

    assert (head.status_code, head.content) == (200, b"")
    assert shown(head) == shown(full)
    assert head_not_modified.status_code == not_modified.status_code == 304
    assert shown(head_not_modified) == shown(not_modified)


async def test_a_view_that_is_as_it_was_has_the_tag_that_it_had(api: Api) -> None:
    async def tags() -> list[str]:
        paths = ("/api/settings/effective", "/api/settings/resolve/ui.density")
        return [(await api.alice.get(path, params=DE_CONTEXT)).headers["ETag"] for path in paths]

    nothing = await tags()
    made = await make(api.admin, "ui.density", 7, "TERRITORY", "DE")
    first = await tags()
    changed = await api.admin.put(f"/api/settings/{made['id']}", json={"value": 8}, headers=match(made))
    second = await tags()
    back = await api.admin.put(f"/api/settings/{made['id']}", json={"value": 7}, headers=match(changed))
    third = await tags()
    await api.admin.delete(f"/api/settings/{made['id']}", headers=match(back))
    last = await tags()

    assert third == first
    assert last == nothing
    assert not {*nothing} & {*first}
    assert not {*first} & {*second}


async def test_a_change_that_does_not_show_changes_no_tag(api: Api) -> None:
    await make(api.admin, "ui.density", 7, "USER", "alice")
    before = await api.alice.get("/api/settings/effective", params=DE_CONTEXT)

    await make(api.admin, "ui.density", 9, "TENANT")  # overridden by alice's own
    await make(api.admin, "limit.secret", 9, "TENANT")  # above her clearance
    await make(api.admin, "ui.density", 9, "USER", "bob")  # not in her context

    after = await api.alice.get(
        "/api/settings/effective", params=DE_CONTEXT, headers={"If-None-Match": before.headers["ETag"]}
    )
    assert after.status_code == 304
    assert position(after) == position(before) + 3


async def test_no_change_in_one_tenant_changes_a_tag_of_another(api: Api) -> None:
    async def tags() -> list[str]:
        of_globex = [
            ("/api/settings/effective", {}),
            ("/api/settings/effective", {"territory": "US", "accountId": "initech"}),
            ("/api/settings/list", {"scope": "TENANT"}),
            ("/api/scopes", {}),
        ]
        return [(await api.globex.get(path, params=query)).headers["ETag"] for path, query in of_globex]

    before = await tags()
    await make(api.admin, "ui.theme", "dark")
    await make(api.admin, "ui.theme", "dark", "TERRITORY", "US")
    await make(api.admin, "ui.theme", "dark", "ACCOUNT", "initech")
    await api.admin.put("/api/scopes/ACCOUNT/initech", json={"territory": "DE"}, headers={"If-None-Match": "*"})

    assert await tags() == before


async def test_equal_views_of_two_tenants_have_different_tags(api: Api) -> None:
    """A tag of one tenant must tell nothing about another."""
    ours = await api.admin.get("/api/settings/effective")
    theirs = await api.globex.get("/api/settings/effective")

    assert ours.content == theirs.content
    assert ours.headers["ETag"] != theirs.headers["ETag"]
    foreign = await api.globex.get("/api/settings/effective", headers={"If-None-Match": ours.headers["ETag"]})
    assert foreign.status_code == 200


async def test_the_tag_in_the_body_of_a_resolved_setting_is_that_of_its_header(api: Api) -> None:
    response = await api.alice.get("/api/settings/resolve/ui.theme")

    assert response.json()["etag"] == response.headers["ETag"]
