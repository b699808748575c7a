"""What holds for a context, and why."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from app.domain.canonical import canonical, plain
from app.domain.combination import MergeStrategy, combine
from tests.world import DE_CONTEXT, DEFINITIONS, PRINCIPALS, Api, make, match, pointers, problem

pytestmark = pytest.mark.anyio

# From general to specific, as DE_CONTEXT names them.
CHAIN = [
    ("GLOBAL", None),
    ("TENANT", "acme"),
    ("TERRITORY", "DE"),
    ("ACCOUNT", "adler"),
    ("CONTACT_ROLE", "BUYER"),
    ("CONTACT", "kern"),
    ("USER", "alice"),
]
FALSY: list[Any] = [0, False, "", [], {}, None]


async def resolved(client: httpx.AsyncClient, key: str, **query: str) -> dict[str, Any]:
    response = await client.get(f"/api/settings/resolve/{key}", params=DE_CONTEXT | query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def effective(client: httpx.AsyncClient, **query: str) -> dict[str, Any]:
    response = await client.get("/api/settings/effective", params=query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def put_at(api: Api, key: str, value: Any, level: str) -> dict[str, Any]:
    """Set a value at the scope of this level that DE_CONTEXT names."""
    scope_id = dict(CHAIN)[level]
    return await make(api.root, key, value, level, None if level == "TENANT" else scope_id)


# ---- replace ----


async def test_the_default_holds_where_nothing_is_set(api: Api) -> None:
    found = await resolved(api.alice, "ui.theme")

    assert list(found) == ["key", "value", "scope", "scopeId", "etag"]
    assert (found["key"], found["value"], found["scope"], found["scopeId"]) == ("ui.theme", "light", "DEFAULT", None)


async def test_each_level_hides_those_above_it(api: Api) -> None:
    for rank, (level, scope_id) in enumerate(CHAIN):
        await put_at(api, "ui.density", rank, level)

        found = await resolved(api.alice, "ui.density")

        assert (found["value"], found["scope"], found["scopeId"]) == (rank, level, scope_id)


async def test_an_unset_lets_the_next_one_through(api: Api) -> None:
    made = [await put_at(api, "ui.density", rank, level) for rank, (level, _) in enumerate(CHAIN)]

    for rank in reversed(range(1, 7)):
        await api.root.delete(f"/api/settings/{made[rank]['id']}", headers=match(made[rank]))
        assert (await resolved(api.alice, "ui.density"))["value"] == rank - 1


@pytest.mark.parametrize("value", FALSY)
async def test_a_falsy_value_hides_a_true_one(api: Api, value: Any) -> None:
    await put_at(api, "any.thing", {"true": 1}, "TENANT")
    await put_at(api, "any.thing", value, "USER")

    found = await resolved(api.alice, "any.thing")

    assert repr(found["value"]) == repr(value)
    assert found["scope"] == "USER"


async def test_only_scopes_that_the_context_names_count(api: Api) -> None:
    await put_at(api, "ui.theme", "dark", "USER")
    await put_at(api, "ui.density", 0, "TERRITORY")

    assert (await effective(api.alice))["values"]["ui.theme"] == "light"
    assert (await effective(api.alice, territory="DE"))["values"]["ui.density"] == 0
    assert (await effective(api.alice, userId="alice"))["values"]["ui.density"] == 1


async def test_equal_ids_at_different_levels_and_tenants_are_different_scopes(api: Api) -> None:
    await make(api.admin, "ui.density", 1, "TERRITORY", "same")
    await make(api.admin, "ui.density", 2, "USER", "same")
    await make(api.globex, "ui.density", 3, "USER", "same")

    for client, query, expected in (
        (api.admin, {"territory": "same"}, 1),
        (api.admin, {"userId": "same"}, 2),
        (api.globex, {"userId": "same"}, 3),
    ):
        assert (await effective(client, **query))["values"]["ui.density"] == expected


# ---- merge and append ----


async def test_objects_merge_from_general_to_specific_and_null_removes(api: Api) -> None:
    schema = {"type": "object"}
    body = {"schema": schema, "default": {"a": 1, "b": {"x": 1, "y": 1}}, "mergeStrategy": "merge"}
    where = {"levels": [level for level, _ in CHAIN]}
    await api.platform.put("/api/definitions/merged.key", json=body | where, headers={"If-None-Match": "*"})
    await put_at(api, "merged.key", {"a": 0, "c": False}, "TENANT")
    await put_at(api, "merged.key", {"b": {"x": None, "z": {}}}, "ACCOUNT")
    await put_at(api, "merged.key", {"c": None}, "USER")

    found = await resolved(api.alice, "merged.key")

    assert found["value"] == {"a": 0, "b": {"y": 1, "z": {}}}
    assert (found["scope"], found["scopeId"]) == ("USER", "alice")


async def test_lists_append_in_order_without_duplicates(api: Api) -> None:
    await put_at(api, "notify.followups", ["P7D", "P3D"], "TERRITORY")
    await put_at(api, "notify.followups", [], "ACCOUNT")
    await put_at(api, "notify.followups", ["P1M", "P7D", "P1M"], "USER")

    assert (await resolved(api.alice, "notify.followups"))["value"] == ["P3D", "P7D", "P1M"]


async def test_list_items_are_the_same_only_when_their_json_is(api: Api) -> None:
    body = {"schema": {"type": "array"}, "default": [1], "mergeStrategy": "append", "levels": ["TENANT", "USER"]}
    await api.platform.put("/api/definitions/list.key", json=body, headers={"If-None-Match": "*"})
    await put_at(api, "list.key", [True, 1.0, {"a": 1, "b": 2}], "TENANT")
    await put_at(api, "list.key", [1, {"b": 2, "a": 1}, None, False, 0], "USER")

    found = await resolved(api.alice, "list.key")

    assert repr(found["value"]) == repr([1, True, 1.0, {"a": 1, "b": 2}, None, False, 0])


# ---- explain ----


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("any.thing", {"GLOBAL": 0, "TERRITORY": {"b": 1, "a": 2}, "USER": None}),
        ("notify.channels", {"TENANT": {"sms": True}, "TERRITORY": {"email": False}, "CONTACT": {"sms": False}}),
        ("notify.followups", {"GLOBAL": ["P1D"], "ACCOUNT": [], "USER": ["P3D", "P9D"]}),
        ("ui.theme", {}),
    ],
)
async def test_replaying_an_explanation_gives_the_value_byte_for_byte(api: Api, key: str, said: dict[str, Any]) -> None:
    for level, value in said.items():
        await put_at(api, key, value, level)

    response = await api.alice.get(f"/api/settings/resolve/{key}", params=DE_CONTEXT | {"explain": "true"})

    raw = msgspec.json.decode(response.content, type=dict[str, msgspec.Raw])
    links = msgspec.json.decode(raw["chain"], type=list[dict[str, msgspec.Raw]])
    strategy = MergeStrategy(DEFINITIONS[key].get("mergeStrategy", "replace"))
    took_part = [link for link in links if bytes(link["state"]) in (b'"won"', b'"merged"')]
    assert canonical(combine(strategy, [plain(link["value"]) for link in took_part])) == bytes(raw["value"])
    assert {bytes(link["scope"]).decode().strip('"') for link in links if "value" in link} == {*said, "DEFAULT"}


async def test_a_chain_has_a_line_for_every_scope_with_who_set_it_when(api: Api) -> None:
    await put_at(api, "ui.theme", "dark", "TENANT")
    api.clock.step(60)
    made = await make(api.alice, "ui.theme", "auto", "USER", "alice")
    await api.alice.put(f"/api/settings/{made['id']}", json={"value": "dark"}, headers=match(made))

    chain = (await resolved(api.alice, "ui.theme", explain="true"))["chain"]

    assert chain == [
        {"scope": "DEFAULT", "scopeId": None, "state": "skipped", "value": "light"},
        {"scope": "GLOBAL", "scopeId": None, "state": "unset"},
        {
            "scope": "TENANT",
            "scopeId": "acme",
            "state": "skipped",
            "value": "dark",
            "version": 1,
            "updatedBy": "rita",
            "updatedAt": "2026-03-04T12:00:00Z",
        },
        *({"scope": level, "scopeId": scope_id, "state": "unset"} for level, scope_id in CHAIN[2:6]),
        {
            "scope": "USER",
            "scopeId": "alice",
            "state": "won",
            "value": "dark",
            "version": 2,
            "updatedBy": "alice",
            "updatedAt": "2026-03-04T12:01:00Z",
        },
    ]


async def test_an_explanation_does_not_change_what_it_explains(api: Api) -> None:
    await put_at(api, "notify.channels", {"sms": True}, "TENANT")

    plain_ = await resolved(api.alice, "notify.channels")
    explained = await resolved(api.alice, "notify.channels", explain="true")

    assert {name: explained[name] for name in ("key", "value", "scope", "scopeId")} == {
        name: plain_[name] for name in ("key", "value", "scope", "scopeId")
    }
    assert [link["state"] for link in explained["chain"]][:3] == ["merged", "unset", "merged"]


async def test_a_service_uses_values_without_seeing_their_details(api: Api) -> None:
    await put_at(api, "notify.channels", {"sms": True}, "TENANT")
    await put_at(api, "notify.channels", {"email": False}, "USER")

    found = await resolved(api.service, "notify.channels", explain="true")

    assert found["value"] == {"email": False, "sms": True}
    states = [(link["scope"], link["state"]) for link in found["chain"]]
    assert states[0] == ("DEFAULT", "merged")
    assert states[2] == ("TENANT", "hidden")
    assert states[-1] == ("USER", "hidden")
    assert {state for scope, state in states[1:] if scope not in ("TENANT", "USER")} == {"unset"}
    assert all(set(link) == {"scope", "scopeId", "state"} for link in found["chain"][1:])


async def test_origins_say_where_each_value_came_from(api: Api) -> None:
    await put_at(api, "ui.theme", "dark", "GLOBAL")
    await put_at(api, "ui.density", 0, "TERRITORY")

    found = await effective(api.alice, territory="DE", prefix="ui.", explain="true")

    assert found == {
        "values": {"ui.density": 0, "ui.theme": "dark"},
        "origins": {
            "ui.density": {"scope": "TERRITORY", "scopeId": "DE"},
            "ui.theme": {"scope": "GLOBAL", "scopeId": None},
        },
    }


# ---- selections ----


async def test_effective_values_are_all_readable_keys_in_order(api: Api) -> None:
    response = await api.admin.get("/api/settings/effective")

    assert list(response.json()["values"]) == sorted(DEFINITIONS)
    assert list(response.json()) == ["values"]
    assert response.json()["values"] == {key: body["default"] for key, body in sorted(DEFINITIONS.items())}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"keys": "ui.theme,any.thing,ui.theme"}, ["any.thing", "ui.theme"]),
        ({"keys": "ui.theme,no.such"}, ["ui.theme"]),
        ({"keys": "limit.secret"}, []),
        ({"prefix": "ui."}, ["ui.density", "ui.theme"]),
        ({"prefix": "limit."}, ["limit.shown"]),
        ({"prefix": "u_."}, []),
        ({"prefix": "%"}, []),
    ],
)
async def test_keys_and_prefixes_select(api: Api, query: dict[str, str], expected: list[str]) -> None:
    assert list((await effective(api.alice, **query))["values"]) == expected


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"keys": "ui.theme", "prefix": "ui."}, "/query/keys"),
        ({"keys": "Ui.theme"}, "/query/keys"),
        ({"keys": ""}, "/query/keys"),
        ({"keys": "a,,b"}, "/query/keys"),
        ({"keys": ",".join(f"k{number}" for number in range(1001))}, "/query/keys"),
        ({"explain": "yes"}, "/query/explain"),
        ({"territory": ""}, "/query/territory"),
        ({"territory": " DE"}, "/query/territory"),
        ({"tenantId": "a/b"}, "/query/tenantId"),
        ({"tenant": "acme"}, "/query/tenant"),
    ],
)
async def test_a_wrong_question_is_malformed_and_says_where(api: Api, query: dict[str, str], pointer: str) -> None:
    assert pointers(await api.admin.get("/api/settings/effective", params=query), 400) == [pointer]


async def test_a_context_below_a_tenant_needs_one(api: Api) -> None:
    response = await api.platform.get("/api/settings/effective", params={"userId": "x"})

    assert pointers(response, 400) == ["/query/tenantId"]
    assert (await effective(api.platform, tenantId="globex", userId="x"))["values"]["ui.theme"] == "light"


# ---- what may be seen ----


async def test_keys_above_the_clearance_are_absent_and_not_resolved(api: Api) -> None:
    await put_at(api, "limit.secret", 7, "TENANT")

    assert "limit.secret" not in (await effective(api.alice))["values"]
    hidden = await api.alice.get("/api/settings/resolve/limit.secret")
    absent = await api.alice.get("/api/settings/resolve/limit.absent")
    problem(hidden, 404)
    assert hidden.content == absent.content.replace(b"limit.absent", b"limit.secret")
    assert (await effective(api.admin))["values"]["limit.secret"] == 7


@pytest.mark.parametrize(
    ("who", "context"),
    [
        ("alice", {"territory": "CH"}),
        ("alice", {"territory": "unheard-of"}),
        ("alice", {"userId": "carl"}),
        ("alice", {"accountId": "bern"}),
        ("alice", {"territory": "DE", "accountId": "bern"}),
        ("alice", {"territory": "DE", "contactId": "unheard-of"}),
        ("alice", {"tenantId": "globex"}),
        ("alice", {"tenantId": "initrode"}),
        ("carl", {"territory": "DE"}),
        ("manager", {"userId": "carl"}),
        ("globex", {"tenantId": "acme"}),
        ("service", {"tenantId": "globex"}),
        ("platform", {"tenantId": "initrode"}),
        ("nobody", {}),
    ],
)
@pytest.mark.parametrize("anything", [False, True])
async def test_a_context_with_a_scope_that_may_not_be_read_is_refused_whole(
    api: Api, who: str, context: dict[str, str], anything: bool
) -> None:
    if anything:
        await make(api.admin, "ui.theme", "dark", "TERRITORY", "CH")
        await make(api.admin, "ui.theme", "dark", "ACCOUNT", "bern")
        await make(api.admin, "ui.theme", "dark", "USER", "carl")
    client = getattr(api, who)

    problem(await client.get("/api/settings/effective", params=context), 404)
    problem(await client.get("/api/settings/resolve/ui.theme", params=context), 404)
    problem(await client.get("/api/settings/effective", params=context | {"keys": "no.such"}), 404)


async def test_a_right_that_is_gone_is_refused_on_a_conditional_read_too(api: Api) -> None:
    query = {"territory": "DE"}
    before = await api.alice.get("/api/settings/effective", params=query)
    tag = {"If-None-Match": before.headers["ETag"]}
    assert (await api.alice.get("/api/settings/effective", params=query, headers=tag)).status_code == 304
    moved = api.of(msgspec.structs.replace(PRINCIPALS["alice"], territories=("CH",)))

    problem(await moved.get("/api/settings/effective", params=query, headers=tag), 404)


async def test_moving_a_user_moves_what_they_may_resolve_at_once(api: Api) -> None:
    query = {"userId": "bob"}
    before = await api.alice.get("/api/settings/effective", params=query)
    assert before.status_code == 200
    entry = await api.admin.get("/api/scopes/USER/bob")
    await api.admin.put("/api/scopes/USER/bob", json={"territory": "CH"}, headers=match(entry))

    tag = {"If-None-Match": before.headers["ETag"]}
    problem(await api.alice.get("/api/settings/effective", params=query, headers=tag), 404)
