"""A batch: several changes, all or none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.world import Api, make, match, place, position, problem

pytestmark = pytest.mark.anyio

BATCH = "/api/settings/batch"


def sets(key: str, value: Any, scope: str = "TENANT", scope_id: str | None = None, **more: Any) -> dict[str, Any]:
    return {"op": "set", "key": key, "value": value, **place(scope, scope_id), **more}


def unsets(key: str, scope: str = "TENANT", scope_id: str | None = None, **more: Any) -> dict[str, Any]:
    return {"op": "unset", "key": key, **place(scope, scope_id), **more}


async def values(api: Api) -> dict[str, Any]:
    """Everything that is set in acme and globally, by scope and key."""
    found = {}
    for where in (place("GLOBAL"), place("TENANT"), place("TERRITORY", "DE"), place("USER", "alice")):
        response = await api.root.get("/api/settings/list", params=where)
        found |= {(where["scope"], item["key"]): item["value"] for item in response.json()["items"]}
    return found


async def test_a_batch_sets_and_unsets_over_keys_and_scopes(api: Api) -> None:
    old = await make(api.admin, "ui.theme", "dark")
    doomed = await make(api.admin, "ui.density", 1)
    operations = [
        sets("limit.shown", 0, "GLOBAL"),
        sets("ui.theme", "auto", ifMatch=old["etag"]),
        unsets("ui.density", ifMatch=doomed["etag"]),
        sets("feature.enabled", False, "TERRITORY", "DE", metadata={"why": "trial"}),
        sets("any.thing", None, "USER", "alice"),
    ]

    response = await api.root.post(BATCH, json={"operations": operations})

    assert response.status_code == 200, response.text
    results = response.json()["results"]
    assert response.json()["dryRun"] is False
    assert [one["index"] for one in results] == [0, 1, 2, 3, 4]
    assert [one["op"] for one in results] == ["set", "set", "unset", "set", "set"]
    assert [one["version"] for one in results] == [1, 2, 2, 1, 1]
    assert results[1]["id"] == old["id"]
    assert results[2]["etag"] is None
    assert await values(api) == {
        ("GLOBAL", "limit.shown"): 0,
        ("TENANT", "ui.theme"): "auto",
        ("TERRITORY", "feature.enabled"): False,
        ("USER", "any.thing"): None,
    }
    assert position(response) == doomed["position"] + 5
    stored = await api.root.get(f"/api/settings/{results[3]['id']}")
    assert stored.headers["ETag"] == results[3]["etag"]
    assert stored.json()["metadata"] == {"why": "trial"}


async def test_a_tag_from_a_batch_serves_for_the_next_change(api: Api) -> None:
    [first] = (await api.admin.post(BATCH, json={"operations": [sets("ui.theme", "dark")]})).json()["results"]

    response = await api.admin.put(f"/api/settings/{first['id']}", json={"value": "auto"}, headers=match(first))

    assert response.status_code == 200


@pytest.mark.parametrize("tag", ["{tag}", "*", "{bare}", '"old", {tag}'])
async def test_if_match_of_an_operation_may_be_written_in_each_usual_way(api: Api, tag: str) -> None:
    old = await make(api.admin, "ui.theme", "dark")
    tag = tag.format(tag=old["etag"], bare=old["etag"].strip('"'))

    response = await api.admin.post(BATCH, json={"operations": [sets("ui.theme", "auto", ifMatch=tag)]})

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("operation", "status", "code", "pointer"),
    [
        (sets("ui.theme", "pink"), 422, "refused", "#/operations/1/value"),
        (sets("ui.unknown", 1), 422, "refused", "#/operations/1/key"),
        (sets("tenant.only", "x", "USER", "alice"), 422, "refused", "#/operations/1/scope"),
        (sets("ui.density", 2), 409, "already-exists", "#/operations/1"),
        (sets("ui.density", 2, ifMatch='"v1"'), 412, "precondition-failed", "#/operations/1"),
        (sets("ui.theme", "dark", ifMatch="*"), 412, "precondition-failed", "#/operations/1"),
        (unsets("ui.density"), 412, "precondition-failed", "#/operations/1"),
        (unsets("ui.density", ifMatch='"v1"'), 412, "precondition-failed", "#/operations/1"),
        (unsets("ui.theme", ifMatch="*"), 412, "precondition-failed", "#/operations/1"),
        (sets("feature.enabled", False), 422, "refused", "#/operations/1"),
        (sets("ui.density", 2, ifMatch='"broken'), 400, "malformed", "#/operations/1"),
        ({"op": "set", "scope": "TENANT", "key": "ui.theme"}, 400, "malformed", "#/operations/1/value"),
        (unsets("ui.density", ifMatch="*", value=1), 400, "malformed", "#/operations/1/value"),
    ],
)
async def test_one_bad_operation_undoes_the_good_ones_and_says_which_it_was(
    api: Api, operation: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    await make(api.admin, "ui.density", 1)
    before = await values(api)

    response = await api.admin.post(BATCH, json={"operations": [sets("feature.enabled", True), operation]})

    document = problem(response, status, code)
    [error] = document["errors"]
    assert error["index"] == 1
    assert error["pointer"].startswith(pointer)
    assert await values(api) == before


async def test_every_bad_operation_is_listed_with_its_index(api: Api) -> None:
    operations = [
        sets("ui.theme", "pink"),
        sets("ui.density", 1),
        sets("limit.shown", -1),
        sets("notify.channels", {"sms": 1, "email": 2}),
    ]

    response = await api.admin.post(BATCH, json={"operations": operations})

    errors = problem(response, 422)["errors"]
    assert sorted((error["index"], error["pointer"]) for error in errors) == [
        (0, "#/operations/0/value"),
        (2, "#/operations/2/value"),
        (3, "#/operations/3/value/email"),
        (3, "#/operations/3/value/sms"),
    ]


async def test_an_operation_without_rights_refuses_the_batch_whole(api: Api) -> None:
    mine, others = sets("ui.theme", "dark", "USER", "alice"), sets("ui.theme", "dark", "USER", "bob")
    hidden = sets("ui.theme", "dark", "USER", "carl")

    problem(await api.alice.post(BATCH, json={"operations": [mine, others]}), 403)
    problem(await api.alice.post(BATCH, json={"operations": [mine, hidden]}), 404)
    foreign = {**mine, "tenantId": "globex"}
    problem(await api.alice.post(BATCH, json={"operations": [mine, foreign]}), 404)
    assert await values(api) == {}


async def test_the_same_place_twice_in_a_batch_is_refused(api: Api) -> None:
    operations = [sets("ui.theme", "dark"), sets("ui.density", 1), sets("ui.theme", "auto", ifMatch="*")]

    response = await api.admin.post(BATCH, json={"operations": operations})

    [error] = problem(response, 422)["errors"]
    assert error["index"] == 2
    assert error["code"] == "duplicate"


async def test_a_dry_run_says_what_would_be_and_changes_nothing(api: Api) -> None:
    old = await make(api.admin, "ui.theme", "dark")
    operations = [sets("ui.theme", "auto", ifMatch=old["etag"]), sets("ui.density", 3)]

    response = await api.admin.post(BATCH, json={"operations": operations, "dryRun": True})

    assert response.json()["dryRun"] is True
    assert [(one["version"], one["etag"]) for one in response.json()["results"]] == [(2, None), (1, None)]
    assert position(response) == old["position"]
    assert await values(api) == {("TENANT", "ui.theme"): "dark"}
    assert (await api.admin.get(f"/api/settings/{old['id']}/history")).json()["items"][0]["version"] == 1


async def test_a_dry_run_refuses_what_would_be_refused(api: Api) -> None:
    response = await api.admin.post(BATCH, json={"operations": [sets("ui.theme", "pink")], "dryRun": True})

    assert problem(response, 422)["errors"][0]["index"] == 0


async def test_a_batch_has_at_least_one_and_at_most_a_thousand_operations(api: Api) -> None:
    many = [sets("ui.density", 1, "USER", f"u{number}") for number in range(1001)]

    problem(await api.admin.post(BATCH, json={"operations": []}), 400)
    problem(await api.admin.post(BATCH, json={"operations": many}), 400)
    response = await api.admin.post(BATCH, json={"operations": many[:1000]})
    assert len(response.json()["results"]) == 1000


async def test_a_batch_gives_each_change_its_own_position_and_history(api: Api) -> None:
    operations = [sets("ui.density", number, "USER", f"u{number}") for number in range(5)]

    response = await api.admin.post(BATCH, json={"operations": operations})

    tags = [one["etag"] for one in response.json()["results"]]
    last = position(response)
    assert tags == [f'"v{place}"' for place in range(last - 4, last + 1)]
    for one in response.json()["results"]:
        [item] = (await api.admin.get(f"/api/settings/{one['id']}/history")).json()["items"]
        assert item["etag"] == one["etag"]
