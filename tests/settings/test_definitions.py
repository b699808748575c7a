"""Definitions over HTTP: what a key is, and how that changes without breaking what is stored."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.settings.test_listing import pages
from tests.world import CREATE, DEFINITIONS, LEVELS, Api, make, match, place, pointers, position, problem

pytestmark = pytest.mark.anyio


def body(**changes: Any) -> dict[str, Any]:
    """A valid definition."""
    return {"schema": {"type": "integer"}, "default": 0, "levels": LEVELS, **changes}


def path(key: str = "new.key") -> str:
    return f"/api/definitions/{key}"


async def define(api: Api, key: str = "new.key", **changes: Any) -> dict[str, Any]:
    response = await api.platform.put(path(key), json=body(**changes), headers=CREATE)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


# ---- create and read ----


async def test_a_new_definition_says_all_there_is_to_say(api: Api) -> None:
    draft = {
        "title": "New",
        "description": "A new key.",
        "schema": {"type": "object", "properties": {"a": {"type": "integer"}}},
        "default": {"b": None, "a": 1},
        "mergeStrategy": "merge",
        "levels": ["USER", "GLOBAL"],
        "sensitivity": "confidential",
        "owner": "team",
        "tags": ["x", "a"],
        "deprecated": True,
    }

    response = await api.platform.put(path(), json=draft, headers=CREATE)

    made = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == path()
    assert response.headers["ETag"] == made["etag"]
    assert {name: made[name] for name in draft} == {**draft, "levels": ["GLOBAL", "USER"]}
    assert (made["key"], made["version"], made["createdBy"]) == ("new.key", 1, "paula")
    found = await api.platform.get(path())
    assert found.content == response.content
    assert found.headers["ETag"] == made["etag"]
    assert position(found) == position(response)


async def test_what_is_left_out_is_replace_internal_and_not_deprecated(api: Api) -> None:
    made = await define(api)

    assert (made["mergeStrategy"], made["sensitivity"], made["deprecated"]) == ("replace", "internal", False)
    assert (made["title"], made["description"], made["owner"], made["tags"]) == (None, None, None, [])


async def test_creating_twice_is_412_with_the_tag_of_what_is_there(api: Api) -> None:
    made = await define(api)

    response = await api.platform.put(path(), json=body(default=7), headers=CREATE)

    problem(response, 412)
    assert response.headers["ETag"] == made["etag"]
    assert (await api.platform.get(path())).json() == made


async def test_twenty_who_create_one_key_at_once_make_it_once(api: Api) -> None:
    answers = await asyncio.gather(
        *(api.platform.put(path(), json=body(default=number), headers=CREATE) for number in range(20))
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [412] * 19
    [winner] = [answer for answer in answers if answer.status_code == 201]
    assert (await api.platform.get(path())).json() == winner.json()


async def test_a_put_must_say_whether_it_creates_or_changes(api: Api) -> None:
    problem(await api.platform.put(path(), json=body()), 428)
    problem(await api.platform.put(path(), json=body(), headers={"If-Match": "*"}), 412)
    problem(await api.platform.put(path(), json=body(), headers={"If-None-Match": '"v1"'}), 400)
    await define(api)
    problem(await api.platform.put(path(), json=body()), 428)
    problem(await api.platform.put(path(), json=body(), headers={"If-Match": '"v1"'}), 412)


@pytest.mark.parametrize(
    "key", ["Upper", "1x", "a..b", "a.", ".a", "a b", "ключ", "k" * 201, "a%00b", "billіng", "a%0A"]
)
async def test_what_is_no_key_can_be_neither_defined_nor_found(api: Api, key: str) -> None:
    problem(await api.platform.put(path(key), json=body(), headers=CREATE), 400)
    problem(await api.platform.get(path(key)), 404)
    problem(await api.platform.delete(path(key), headers={"If-Match": "*"}), 404)
    problem(await api.platform.get(f"/api/settings/resolve/{key}"), 404)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schema": {"type": "integre"}}, ["#/schema/type"]),
        ({"schema": {"$schema": "http://json-schema.org/draft-07/schema#"}}, ["#/schema/$schema"]),
        ({"schema": {"$ref": "https://example.com/schema.json"}}, ["#/schema"]),
        ({"schema": {"pattern": "(?=a)"}, "default": "a"}, ["#/schema/pattern"]),
        ({"default": "zero"}, ["#/default"]),
        ({"mergeStrategy": "merge"}, ["#/mergeStrategy"]),
        ({"mergeStrategy": "append"}, ["#/mergeStrategy"]),
        ({"mergeStrategy": "append", "schema": {"type": "array"}}, ["#/default"]),
        ({"schema": {"type": ["object", "null"]}, "default": {}, "mergeStrategy": "merge"}, ["#/mergeStrategy"]),
        ({"levels": ["USER", "USER"]}, ["#/levels"]),
    ],
)
async def test_a_definition_that_contradicts_itself_is_refused_with_pointers(
    api: Api, changes: dict[str, Any], expected: list[str]
) -> None:
    response = await api.platform.put(path(), json=body(**changes), headers=CREATE)

    found = pointers(response)
    assert len(found) == len(expected)
    assert all(one.startswith(start) for one, start in zip(found, expected, strict=True)), found
    problem(await api.platform.get(path()), 404)


@pytest.mark.parametrize(
    ("draft", "pointer"),
    [
        ({"default": 0, "levels": LEVELS}, "#"),
        (body(schema=[]), "#/schema"),
        (body(levels=[]), "#/levels"),
        (body(levels=["PLANET"]), "#/levels/0"),
        (body(mergeStrategy="deep"), "#/mergeStrategy"),
        (body(sensitivity="high"), "#/sensitivity"),
        (body(tags=["x"] * 51), "#/tags"),
        (body(title="x" * 201), "#/title"),
        (body(version=3), "#"),
        (body(key="other.key"), "#"),
    ],
)
async def test_a_body_of_the_wrong_form_is_malformed_and_says_where(
    api: Api, draft: dict[str, Any], pointer: str
) -> None:
    assert pointers(await api.platform.put(path(), json=draft, headers=CREATE), 400) == [pointer]


async def test_a_list_holds_definitions_by_prefix_in_order_of_keys(api: Api) -> None:
    assert [item["key"] for [item] in await pages(api.admin, "/api/definitions", limit=1)] == sorted(DEFINITIONS)
    [items] = await pages(api.admin, "/api/definitions", prefix="notify.")
    assert [item["key"] for item in items] == ["notify.channels", "notify.followups"]
    [items] = await pages(api.admin, "/api/definitions", prefix="n_t")
    assert items == []


@pytest.mark.parametrize("who", ["clerk", "alice", "manager", "service"])
async def test_definitions_above_the_callers_clearance_are_absent(api: Api, who: str) -> None:
    client = getattr(api, who)

    [items] = await pages(client, "/api/definitions")

    assert {item["key"] for item in items} == set(DEFINITIONS) - {"limit.secret"}
    problem(await client.get(path("limit.secret")), 404)


async def test_who_has_no_role_sees_no_definitions(api: Api) -> None:
    [items] = await pages(api.nobody, "/api/definitions")

    assert items == []
    problem(await api.nobody.get(path("ui.theme")), 404)


@pytest.mark.parametrize("who", ["admin", "alice", "auditor", "service"])
async def test_only_platform_admins_change_definitions(api: Api, who: str) -> None:
    client = getattr(api, who)
    current = await client.get(path("ui.theme"))

    problem(await client.put(path("ui.theme"), json=body(), headers=match(current)), 403)
    problem(await client.put(path(), json=body(), headers=CREATE), 403)
    problem(await client.delete(path("ui.theme"), headers=match(current)), 403)


async def test_putting_a_hidden_definition_is_answered_like_putting_an_absent_one(api: Api) -> None:
    for headers in (CREATE, {"If-Match": "*"}, {}):
        hidden = await api.clerk.put(path("limit.secret"), json=body(), headers=headers)
        absent = await api.clerk.put(path("limit.absent"), json=body(), headers=headers)
        assert hidden.status_code == absent.status_code
        assert hidden.content == absent.content.replace(b"limit.absent", b"limit.secret")


# ---- change ----


async def test_a_change_has_a_new_version_and_tag_and_keeps_its_birth(api: Api) -> None:
    made = await define(api)
    api.clock.step(60)

    response = await api.root.put(path(), json=body(default=7), headers=match(made))

    now = response.json()
    assert response.status_code == 200
    assert {name for name in made if made[name] != now[name]} == {
        *("default", "version", "etag", "updatedAt", "updatedBy")
    }
    assert (now["version"], now["createdBy"], now["updatedBy"]) == (2, "paula", "rita")


async def test_a_new_default_holds_at_once_where_nothing_is_set(api: Api) -> None:
    made = await define(api)
    before = await api.alice.get("/api/settings/resolve/new.key")

    await api.platform.put(path(), json=body(default=7), headers=match(made))

    after = await api.alice.get("/api/settings/resolve/new.key", headers={"If-None-Match": before.headers["ETag"]})
    assert (before.json()["value"], after.json()["value"]) == (0, 7)


async def test_a_schema_change_that_breaks_stored_values_is_refused_with_each_of_them(api: Api) -> None:
    made = await define(api, schema={"type": "object"}, default={}, mergeStrategy="merge")
    await make(api.platform, "new.key", {"port": "x", "host": 1}, "TENANT", tenantId="globex")
    await make(api.admin, "new.key", {"port": 1}, "TERRITORY", "DE")
    await make(api.admin, "new.key", {"port": "y"}, "USER", "alice")

    strict = {"type": "object", "properties": {"port": {"type": "integer"}, "host": {"type": "string"}}}
    draft = body(schema=strict, default={}, mergeStrategy="merge")
    response = await api.platform.put(path(), json=draft, headers=match(made))

    document = problem(response, 422)
    assert {(error["scope"], error["pointer"]) for error in document["errors"]} == {
        ("TENANT/globex", "#/value/port"),
        ("TENANT/globex", "#/value/host"),
        ("USER/acme/alice", "#/value/port"),
    }
    assert document["detail"].startswith("2 stored values")
    assert (await api.platform.get(path())).json() == made


async def test_a_change_of_levels_that_strands_values_is_refused_with_each_of_them(api: Api) -> None:
    made = await define(api)
    await make(api.root, "new.key", 1, "GLOBAL")
    await make(api.admin, "new.key", 1, "USER", "alice")

    response = await api.platform.put(path(), json=body(levels=["GLOBAL", "TENANT"]), headers=match(made))

    [error] = problem(response, 422)["errors"]
    assert (error["scope"], error["pointer"], error["code"]) == ("USER/acme/alice", "#/scope", "level-not-allowed")


async def test_a_change_of_strategy_that_stored_values_do_not_fit_is_refused(api: Api) -> None:
    made = await define(api, schema=True, default=None)
    await make(api.admin, "new.key", [1], "USER", "alice")

    draft = body(schema={"type": "object"}, default={}, mergeStrategy="merge")
    response = await api.platform.put(path(), json=draft, headers=match(made))

    [error] = problem(response, 422)["errors"]
    assert (error["scope"], error["pointer"]) == ("USER/acme/alice", "#/value")


async def test_a_change_that_stored_values_fit_is_made(api: Api) -> None:
    made = await define(api)
    await make(api.admin, "new.key", 5, "USER", "alice")

    response = await api.platform.put(
        path(), json=body(schema={"type": "integer", "maximum": 5}, levels=["USER"]), headers=match(made)
    )

    assert response.status_code == 200


async def test_more_than_a_page_of_values_is_looked_at(api: Api) -> None:
    made = await define(api)
    operations = [
        {"op": "set", "key": "new.key", "value": int(number == 999), "scope": "USER", "scopeId": f"u{number:04}"}
        for number in range(1000)
    ]
    for tenant in ("acme", "globex"):
        body_ = {"operations": [{**one, "tenantId": tenant} for one in operations]}
        assert (await api.platform.post("/api/settings/batch", json=body_)).status_code == 200

    response = await api.platform.put(path(), json=body(schema={"type": "integer", "maximum": 0}), headers=match(made))

    assert [error["scope"] for error in problem(response, 422)["errors"]] == ["USER/acme/u0999", "USER/globex/u0999"]


async def test_a_dry_run_judges_and_changes_nothing(api: Api) -> None:
    made = await define(api)
    await make(api.admin, "new.key", 5, "USER", "alice")
    dry = {"dryRun": "true"}

    fits = await api.platform.put(path(), params=dry, json=body(default=7), headers=match(made))
    breaks = await api.platform.put(path(), params=dry, json=body(levels=["GLOBAL"]), headers=match(made))
    creates = await api.platform.put(path("other.key"), params=dry, json=body(), headers=CREATE)

    assert fits.status_code == creates.status_code == 200
    assert fits.json()["default"] == 7
    problem(breaks, 422)
    assert (await api.platform.get(path())).json() == made
    problem(await api.platform.get(path("other.key")), 404)


# ---- delete ----


async def test_a_definition_in_use_is_kept_and_the_uses_are_counted(api: Api) -> None:
    made = await define(api)
    await make(api.admin, "new.key", 1)
    last = await make(api.admin, "new.key", 1, "USER", "alice")

    document = problem(await api.platform.delete(path(), headers=match(made)), 409, "in-use")

    assert document["count"] == 2
    assert (await api.admin.get(f"/api/settings/{last['id']}")).status_code == 200


async def test_a_deleted_definition_is_gone_with_its_key(api: Api) -> None:
    made = await define(api)
    value = await make(api.admin, "new.key", 1)
    await api.admin.delete(f"/api/settings/{value['id']}", headers=match(value))

    response = await api.platform.delete(path(), headers=match(made))

    assert response.status_code == 204
    assert position(response) == value["position"] + 2
    problem(await api.platform.get(path()), 404)
    problem(await api.alice.get("/api/settings/resolve/new.key"), 404)
    assert "new.key" not in (await api.alice.get("/api/settings/effective")).json()["values"]
    again = {**place("TENANT"), "key": "new.key", "value": 1}
    problem(await api.admin.post("/api/settings", json=again), 422)


async def test_a_delete_says_what_it_is_based_on(api: Api) -> None:
    made = await define(api)

    problem(await api.platform.delete(path()), 428)
    response = await api.platform.delete(path(), headers={"If-Match": '"v1"'})
    problem(response, 412)
    assert response.headers["ETag"] == made["etag"]
    problem(await api.platform.delete(path("no.such"), headers={"If-Match": "*"}), 404)
