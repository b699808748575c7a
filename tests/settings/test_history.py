"""The history of a value: every version, and its removal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.settings.test_listing import pages
from tests.world import Api, make, match, problem

pytestmark = pytest.mark.anyio


async def live(api: Api) -> dict[str, Any]:
    """A value that was set, replaced, patched and unset."""
    made = await make(api.admin, "ui.density", 0, metadata={"why": "first"})
    path = f"/api/settings/{made['id']}"
    api.clock.step(1)
    second = await api.root.put(path, json={"value": None, "metadata": {}}, headers=match(made))
    assert second.status_code == 422
    second = await api.root.put(path, json={"value": 5, "metadata": {}}, headers=match(made))
    third = await api.admin.patch(
        path, json={"value": 6}, headers=match(second) | {"Content-Type": "application/merge-patch+json"}
    )
    api.clock.step(1)
    gone = await api.root.delete(path, headers=match(third))
    assert gone.status_code == 204
    return made


async def test_history_tells_everything_newest_first(api: Api) -> None:
    made = await live(api)

    [items] = await pages(api.admin, f"/api/settings/{made['id']}/history")

    assert [(item["operation"], item["version"], item["by"]) for item in items] == [
        ("unset", 4, "rita"),
        ("set", 3, "anna"),
        ("set", 2, "rita"),
        ("set", 1, "anna"),
    ]
    assert [item.get("value", "none") for item in items] == ["none", 6, 5, 0]
    assert [item.get("metadata", "none") for item in items] == ["none", {}, {}, {"why": "first"}]
    assert [item["at"] for item in items] == [f"2026-03-04T12:00:0{second}Z" for second in (2, 1, 1, 0)]
    assert items[-1]["etag"] == made["etag"]
    positions = [item["position"] for item in items]
    assert positions == sorted(positions, reverse=True)
    assert {item["settingId"] for item in items} == {made["id"]}
    assert {(item["scope"], item["scopeId"], item["tenantId"]) for item in items} == {("TENANT", "acme", "acme")}


async def test_history_comes_in_pages(api: Api) -> None:
    made = await live(api)

    found = await pages(api.admin, f"/api/settings/{made['id']}/history", limit=3)

    assert [[item["version"] for item in page] for page in found] == [[4, 3, 2], [1]]


async def test_history_outlives_the_definition_for_who_is_cleared_for_everything(api: Api) -> None:
    made = await live(api)
    definition = await api.platform.get("/api/definitions/ui.density")
    await api.platform.delete("/api/definitions/ui.density", headers=match(definition))

    path = f"/api/settings/{made['id']}/history"

    assert len((await api.admin.get(path)).json()["items"]) == 4
    problem(await api.clerk.get(path), 404)


async def test_a_history_that_may_not_be_seen_is_one_that_is_not_there(api: Api) -> None:
    made = await make(api.admin, "ui.density", 1, "USER", "carl")
    secret = await make(api.admin, "limit.secret", 1, "USER", "alice")

    for client in (api.alice, api.globex, api.service, api.nobody):
        problem(await client.get(f"/api/settings/{made['id']}/history"), 404)
    problem(await api.alice.get(f"/api/settings/{secret['id']}/history"), 404)
    problem(await api.admin.get("/api/settings/00000000-0000-7000-8000-000000000000/history"), 404)


async def test_moving_a_scope_moves_who_may_read_its_history(api: Api) -> None:
    made = await make(api.admin, "ui.density", 1, "USER", "bob")
    path = f"/api/settings/{made['id']}/history"
    assert (await api.alice.get(path)).status_code == 200

    entry = await api.admin.get("/api/scopes/USER/bob")
    await api.admin.put("/api/scopes/USER/bob", json={"territory": "CH"}, headers=match(entry))

    problem(await api.alice.get(path), 404)
    assert (await api.carl.get(path)).status_code == 200
