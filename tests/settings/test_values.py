"""One value at one scope: create, read, replace, patch, unset."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.world import LEVELS, Api, make, match, place, pointers, position, problem

pytestmark = pytest.mark.anyio

PLACES = [
    ("GLOBAL", None),
    ("TENANT", None),
    ("TERRITORY", "DE"),
    ("ACCOUNT", "adler"),
    ("CONTACT_ROLE", "BUYER"),
    ("CONTACT", "kern"),
    ("USER", "alice"),
]
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


# ---- create ----


async def test_a_created_value_says_all_there_is_to_say(api: Api) -> None:
    body = {"scope": "TERRITORY", "scopeId": "DE", "key": "ui.theme", "value": "dark", "metadata": {"why": "night"}}

    response = await api.admin.post("/api/settings", json=body)

    made = response.json()
    assert response.status_code == 201
    assert list(made) == [
        *("id", "scope", "scopeId", "tenantId", "key", "value", "metadata", "version", "etag", "position"),
        *("createdAt", "createdBy", "updatedAt", "updatedBy"),
    ]
    assert {name: made[name] for name in body} == body
    assert made["tenantId"] == "acme"
    assert made["version"] == 1
    assert made["createdBy"] == made["updatedBy"] == "anna"
    assert made["createdAt"] == made["updatedAt"] == "2026-03-04T12:00:00Z"
    assert UUID(made["id"]).version == 7
    assert response.headers["Location"] == f"/api/settings/{made['id']}"
    assert response.headers["ETag"] == made["etag"]
    assert position(response) == made["position"]
    assert response.headers["Cache-Control"] == "private, no-cache"


async def test_what_location_names_is_the_created_value(api: Api) -> None:
    response = await api.admin.post("/api/settings", json={"scope": "TENANT", "key": "ui.theme", "value": "dark"})

    found = await api.admin.get(response.headers["Location"])

    assert found.status_code == 200
    assert found.content == response.content
    assert found.headers["ETag"] == response.headers["ETag"]


@pytest.mark.parametrize(("scope", "scope_id"), PLACES)
async def test_a_value_can_be_set_at_every_level(api: Api, scope: str, scope_id: str | None) -> None:
    made = await make(api.root, "ui.theme", "dark", scope, scope_id)

    by_place = await api.root.get("/api/settings", params={"key": "ui.theme", **place(scope, scope_id)})

    assert by_place.json() == made
    assert made["tenantId"] == (None if scope == "GLOBAL" else "acme")
    assert made["scopeId"] == {"GLOBAL": None, "TENANT": "acme"}.get(scope, scope_id)


@pytest.mark.parametrize("value", [0, False, "", [], {}, None, {"a": None}, 1.5, -0.0, 2**64, "ünï€𝄞"])
async def test_a_falsy_or_odd_value_comes_back_as_it_was_sent(api: Api, value: Any) -> None:
    made = await make(api.admin, "any.thing", value)

    found = (await api.admin.get(f"/api/settings/{made['id']}")).json()["value"]

    assert found == value
    assert repr(found) == repr(value)


async def test_a_second_create_at_one_place_is_a_conflict_and_changes_nothing(api: Api) -> None:
    made = await make(api.admin, "ui.theme", "dark")

    response = await api.admin.post("/api/settings", json={"scope": "TENANT", "key": "ui.theme", "value": "auto"})

    problem(response, 409, "already-exists")
    assert (await api.admin.get(f"/api/settings/{made['id']}")).json() == made


async def test_an_undefined_key_is_refused_with_a_pointer(api: Api) -> None:
    response = await api.admin.post("/api/settings", json={"scope": "TENANT", "key": "ui.unknown", "value": 1})

    assert pointers(response) == ["#/key"]
    assert response.json()["errors"][0]["code"] == "undefined-key"


async def test_a_level_that_the_definition_does_not_allow_is_refused_with_a_pointer(api: Api) -> None:
    response = await api.root.post("/api/settings", json={"scope": "GLOBAL", "key": "tenant.only", "value": "x"})

    assert pointers(response) == ["#/scope"]
    assert response.json()["errors"][0]["code"] == "level-not-allowed"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("ui.theme", "pink", ["#/value"]),
        ("limit.shown", -1, ["#/value"]),
        ("notify.channels", {"email": "yes", "sms": True}, ["#/value/email"]),
        ("notify.channels", {"a/b~c": 1}, ["#/value/a~1b~0c"]),
        ("notify.channels", [], ["#/value"]),
        ("notify.followups", ["P1D", "tomorrow", 7], ["#/value/1", "#/value/2"]),
        ("notify.followups", {}, ["#/value"]),
    ],
)
async def test_a_value_that_breaks_its_schema_is_refused_with_pointers(
    api: Api, key: str, value: Any, expected: list[str]
) -> None:
    response = await api.admin.post("/api/settings", json={"scope": "TENANT", "key": key, "value": value})

    assert sorted(pointers(response)) == expected


async def test_a_value_that_is_too_long_is_refused(api: Api) -> None:
    fits, too_long = "x" * (65_536 - 2), "x" * (65_536 - 1)

    response = await api.admin.post("/api/settings", json={"scope": "TENANT", "key": "any.thing", "value": too_long})

    assert pointers(response) == ["#/value"]
    await make(api.admin, "any.thing", fits)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scope": "TENANT", "key": "ui.theme"}, "#"),
        ({"scope": "TENANT", "value": "dark"}, "#"),
        ({"scope": "PLANET", "key": "ui.theme", "value": "dark"}, "#/scope"),
        ({"scope": "TENANT", "key": "Ui.theme", "value": "dark"}, "#/key"),
        ({"scope": "TENANT", "key": "k" * 201, "value": "dark"}, "#/key"),
        ({"scope": "TENANT", "key": "ui.theme", "value": "dark", "scopeId": "globex"}, "#/scopeId"),
        ({"scope": "GLOBAL", "key": "ui.theme", "value": "dark", "scopeId": "x"}, "#/scopeId"),
        ({"scope": "USER", "key": "ui.theme", "value": "dark"}, "#/scopeId"),
        ({"scope": "USER", "scopeId": " alice", "key": "ui.theme", "value": "dark"}, "#/scopeId"),
        ({"scope": "USER", "scopeId": "a\u200bb", "key": "ui.theme", "value": "dark"}, "#/scopeId"),
        ({"scope": "USER", "scopeId": "x" * 201, "key": "ui.theme", "value": "dark"}, "#/scopeId"),
        ({"scope": "TENANT", "tenantId": "a/b", "key": "ui.theme", "value": "dark"}, "#/tenantId"),
        ({"scope": "TENANT", "key": "ui.theme", "value": "dark", "metadata": []}, "#/metadata"),
        ({"scope": "TENANT", "key": "ui.theme", "value": "dark", "version": 7}, "#"),
        ([], "#"),
    ],
)
async def test_a_body_of_the_wrong_form_is_malformed_and_says_where(api: Api, body: Any, pointer: str) -> None:
    response = await api.admin.post("/api/settings", json=body)

    assert pointers(response, 400) == [pointer]


async def test_only_platform_admins_name_a_tenant_that_is_not_their_own(api: Api) -> None:
    body = {"scope": "TENANT", "tenantId": "globex", "key": "ui.theme", "value": "dark"}

    problem(await api.admin.post("/api/settings", json=body), 404)
    assert (await api.platform.post("/api/settings", json=body)).json()["tenantId"] == "globex"


async def test_a_tenant_that_is_not_there_has_no_settings(api: Api) -> None:
    body = {"scope": "TENANT", "tenantId": "initrode", "key": "ui.theme", "value": "dark"}

    problem(await api.platform.post("/api/settings", json=body), 404)


async def test_who_has_no_tenant_must_name_one(api: Api) -> None:
    body = {"scope": "TENANT", "key": "ui.theme", "value": "dark"}

    assert pointers(await api.platform.post("/api/settings", json=body), 400) == ["#/tenantId"]


# ---- read ----


async def test_a_value_is_found_by_place_and_by_id_alike(api: Api) -> None:
    made = await make(api.admin, "ui.theme", "dark", "USER", "alice")

    by_place = await api.alice.get("/api/settings", params={"key": "ui.theme", **place("USER", "alice")})
    by_id = await api.alice.get(f"/api/settings/{made['id']}")

    assert by_place.content == by_id.content
    assert by_place.headers["ETag"] == by_id.headers["ETag"] == made["etag"]


async def test_what_only_holds_at_a_scope_is_not_set_there(api: Api) -> None:
    await make(api.admin, "ui.theme", "dark")

    problem(await api.admin.get("/api/settings", params={"key": "ui.theme", **place("USER", "alice")}), 404)


@pytest.mark.parametrize(
    "setting_id", ["0", "not-a-uuid", "{%s}", "urn:uuid:%s", "00000000-0000-0000-0000-000000000000"]
)
async def test_what_is_no_id_is_the_id_of_nothing(api: Api, setting_id: str) -> None:
    made = await make(api.admin, "ui.theme", "dark")
    setting_id = setting_id % made["id"] if "%s" in setting_id else setting_id

    problem(await api.admin.get(f"/api/settings/{setting_id}"), 404)


# ---- replace ----


async def test_a_replaced_value_has_a_new_version_and_tag_and_keeps_its_birth(api: Api) -> None:
    made = await make(api.admin, "ui.theme", "dark", metadata={"why": "night"})
    api.clock.step(60)

    response = await api.root.put(f"/api/settings/{made['id']}", json={"value": "auto"}, headers=match(made))

    now = response.json()
    assert response.status_code == 200
    changed = {"value", "version", "etag", "position", "updatedAt", "updatedBy"}
    assert {name for name in made if made[name] != now[name]} == changed
    assert now["value"] == "auto"
    assert now["version"] == 2
    assert now["metadata"] == {"why": "night"}, "metadata that is left out stays"
    assert now["updatedAt"] == "2026-03-04T12:01:00Z"
    assert now["updatedBy"] == "rita"
    assert response.headers["ETag"] == now["etag"]
    assert "Location" not in response.headers
    assert position(response) == now["position"] > made["position"]


async def test_metadata_that_is_given_replaces_what_was_there(api: Api) -> None:
    made = await make(api.admin, "ui.theme", "dark", metadata={"why": "night"})

    path = f"/api/settings/{made['id']}"
    now = await api.admin.put(path, json={"value": "dark", "metadata": {}}, headers=match(made))

    assert now.json()["metadata"] == {}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_change_without_if_match_is_428_and_changes_nothing(api: Api, method: str) -> None:
    made = await make(api.admin, "ui.theme", "dark")

    response = await _change(api, method, made["id"], {})

    problem(response, 428, "precondition-required")
    assert (await api.admin.get(f"/api/settings/{made['id']}")).json() == made


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("tag", ['"v1"', 'W/"current"', '"current-not"', '"x", "y,z"'])
async def test_a_change_based_on_another_state_is_412_with_the_current_tag(api: Api, method: str, tag: str) -> None:
    made = await make(api.admin, "ui.theme", "dark")
    tag = tag.replace('"current"', made["etag"])

    response = await _change(api, method, made["id"], {"If-Match": tag})

    problem(response, 412, "precondition-failed")
    assert response.headers["ETag"] == made["etag"]
    assert (await api.admin.get(f"/api/settings/{made['id']}")).json() == made


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("tag", ["v1", '"v1', "*, *", "nonsense", ""])
async def test_an_if_match_that_is_no_list_of_tags_is_malformed(api: Api, method: str, tag: str) -> None:
    made = await make(api.admin, "ui.theme", "dark")

    response = await _change(api, method, made["id"], {"If-Match": tag})

    assert pointers(response, 400) == ["/header/If-Match"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("tag", ["*", '"old", current', 'current , W/"weak"'])
async def test_any_and_lists_with_the_current_tag_match(api: Api, method: str, tag: str) -> None:
    made = await make(api.admin, "ui.theme", "dark")

    response = await _change(api, method, made["id"], {"If-Match": tag.replace("current", made["etag"])})

    assert response.status_code in (200, 204)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_nothing_can_be_changed_that_is_not_there(api: Api, method: str) -> None:
    problem(await _change(api, method, str(uuid4()), {"If-Match": "*"}), 404)


async def test_a_replacement_that_does_not_fit_is_refused_with_pointers(api: Api) -> None:
    made = await make(api.admin, "notify.channels", {"sms": True})

    path = f"/api/settings/{made['id']}"
    response = await api.admin.put(path, json={"value": {"sms": "no"}}, headers=match(made))

    assert pointers(response) == ["#/value/sms"]


# ---- patch ----


@pytest.mark.parametrize(
    ("patch", "value", "metadata"),
    [
        ({"value": {"sms": None, "push": False}}, {"email": True, "push": False}, {"a": 1, "b": {"c": 2}}),
        ({"metadata": {"b": {"c": None, "d": 3}}}, {"email": True, "sms": True}, {"a": 1, "b": {"d": 3}}),
        ({"metadata": None}, {"email": True, "sms": True}, {}),
        ({}, {"email": True, "sms": True}, {"a": 1, "b": {"c": 2}}),
    ],
)
async def test_a_merge_patch_changes_members_and_keeps_the_rest(
    api: Api, patch: Any, value: Any, metadata: Any
) -> None:
    before = {"a": 1, "b": {"c": 2}}
    made = await make(api.admin, "notify.channels", {"email": True, "sms": True}, metadata=before)

    path = f"/api/settings/{made['id']}"
    response = await api.admin.patch(path, json=patch, headers=match(made) | MERGE_PATCH)

    assert response.status_code == 200
    assert response.json()["value"] == value
    assert response.json()["metadata"] == metadata
    assert response.json()["version"] == 2


async def test_a_patch_cannot_remove_the_value(api: Api) -> None:
    made = await make(api.admin, "any.thing", {"a": 1})

    path = f"/api/settings/{made['id']}"
    response = await api.admin.patch(path, json={"value": None}, headers=match(made) | MERGE_PATCH)

    assert pointers(response) == ["#/value"]


@pytest.mark.parametrize("patch", [{"key": "ui.theme"}, {"version": 9}, {"tenantId": "globex"}, {"value": 1, "id": 1}])
async def test_a_patch_changes_value_and_metadata_only(api: Api, patch: Any) -> None:
    made = await make(api.admin, "any.thing", {"a": 1})

    path = f"/api/settings/{made['id']}"
    response = await api.admin.patch(path, json=patch, headers=match(made) | MERGE_PATCH)

    problem(response, 400)
    assert (await api.admin.get(path)).json() == made


async def test_a_patch_of_metadata_to_something_else_than_an_object_is_refused(api: Api) -> None:
    made = await make(api.admin, "any.thing", 1)

    path = f"/api/settings/{made['id']}"
    response = await api.admin.patch(path, json={"metadata": 7}, headers=match(made) | MERGE_PATCH)

    assert pointers(response) == ["#/metadata"]


async def test_a_patch_has_a_content_type_of_its_own(api: Api) -> None:
    made = await make(api.admin, "any.thing", 1)

    response = await api.admin.patch(f"/api/settings/{made['id']}", json={"value": 2}, headers=match(made))

    problem(response, 415)
    assert response.headers["Accept"] == "application/merge-patch+json"


# ---- unset ----


async def test_an_unset_value_is_gone_and_what_is_more_general_holds(api: Api) -> None:
    await make(api.admin, "ui.theme", "auto")
    made = await make(api.admin, "ui.theme", "dark", "USER", "alice")

    response = await api.admin.delete(f"/api/settings/{made['id']}", headers=match(made))

    assert response.status_code == 204
    assert response.content == b""
    assert position(response) > made["position"]
    problem(await api.admin.get(f"/api/settings/{made['id']}"), 404)
    resolved = await api.alice.get("/api/settings/resolve/ui.theme", params={"userId": "alice"})
    assert resolved.json()["value"] == "auto"


async def test_what_is_set_anew_is_another_thing_with_a_tag_that_never_was(api: Api) -> None:
    first = await make(api.admin, "ui.theme", "dark")
    await api.admin.delete(f"/api/settings/{first['id']}", headers=match(first))

    second = await make(api.admin, "ui.theme", "dark")

    assert second["id"] != first["id"]
    assert second["etag"] != first["etag"]
    problem(await api.admin.put(f"/api/settings/{second['id']}", json={"value": "auto"}, headers=match(first)), 412)


# ---- rights ----


@pytest.mark.parametrize(
    ("who", "scope", "scope_id", "expected"),
    [
        ("alice", "USER", "alice", 201),
        ("alice", "ACCOUNT", "adler", 201),
        ("alice", "USER", "bob", 403),
        ("alice", "TERRITORY", "DE", 403),
        ("alice", "TENANT", None, 403),
        ("alice", "GLOBAL", None, 403),
        ("alice", "USER", "carl", 404),
        ("alice", "ACCOUNT", "unheard-of", 404),
        ("manager", "TERRITORY", "DE", 201),
        ("manager", "USER", "bob", 201),
        ("manager", "USER", "carl", 404),
        ("manager", "TENANT", None, 403),
        ("admin", "USER", "carl", 201),
        ("admin", "GLOBAL", None, 403),
        ("platform", "GLOBAL", None, 201),
        ("auditor", "USER", "alice", 403),
        ("service", "USER", "alice", 404),
        ("nobody", "TENANT", None, 404),
        ("anonymous", "TENANT", None, 401),
    ],
)
async def test_who_may_set_where(api: Api, who: str, scope: str, scope_id: str | None, expected: int) -> None:
    body = {"key": "ui.theme", "value": "dark", **place(scope, scope_id)}

    response = await getattr(api, who).post("/api/settings", json=body)

    assert response.status_code == expected, response.text


async def test_what_is_above_the_callers_clearance_reads_as_undefined_and_absent(api: Api) -> None:
    made = await make(api.admin, "limit.secret", 7)
    where = {"scope": "TENANT", "key": "limit.secret"}
    undefined = {"scope": "TENANT", "key": "limit.unheard", "value": 7}

    hidden = await api.clerk.post("/api/settings", json={**where, "value": 7})
    absent = await api.clerk.post("/api/settings", json=undefined)

    assert hidden.content == absent.content.replace(b"limit.unheard", b"limit.secret")
    assert hidden.status_code == absent.status_code == 422
    problem(await api.clerk.get("/api/settings", params=where), 404)
    problem(await api.clerk.put(f"/api/settings/{made['id']}", json={"value": 1}, headers=match(made)), 404)


def test_the_places_above_are_all_levels() -> None:
    assert [scope for scope, _ in PLACES] == LEVELS


async def _change(api: Api, method: str, setting_id: str, headers: dict[str, str]) -> Any:
    path = f"/api/settings/{setting_id}"
    if method == "DELETE":
        return await api.admin.delete(path, headers=headers)
    if method == "PATCH":
        return await api.admin.patch(path, json={"value": "auto"}, headers=headers | MERGE_PATCH)
    return await api.admin.put(path, json={"value": "auto"}, headers=headers)
