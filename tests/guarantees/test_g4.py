"""G4: no lost update. Of many writers with one tag one wins, and of many creators one creates."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.kit.database import Connection
from app.settings.definitions import store as definitions_store
from app.settings.directory import store as directory_store
from app.settings.values import store as values_store
from tests.world import CREATE, DEFINITIONS, LEVELS, Api, make, match

pytestmark = pytest.mark.anyio

WRITERS = 20
RACES = 20  # a race that can be lost is not lost every time
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}

Send = Callable[[int], Awaitable[httpx.Response]]


async def race(send: Send) -> list[httpx.Response]:
    """The answers to as many requests as there are writers, all at once."""
    return list(await asyncio.gather(*(send(number) for number in range(WRITERS))))


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def changers(api: Api, made: dict[str, Any]) -> dict[str, Send]:
    """Ways to change one value based on one tag."""
    path, tag = f"/api/settings/{made['id']}", match(made)

    def batch(op: str, number: int) -> dict[str, Any]:
        value = {"value": number} if op == "set" else {}
        return {"operations": [{"op": op, "scope": "TENANT", "key": made["key"], "ifMatch": made["etag"], **value}]}

    return {
        "put": lambda number: api.admin.put(path, json={"value": number}, headers=tag),
        "patch": lambda number: api.admin.patch(path, json={"value": number}, headers=tag | MERGE_PATCH),
        "delete": lambda _: api.admin.delete(path, headers=tag),
        "batch set": lambda number: api.admin.post("/api/settings/batch", json=batch("set", number)),
        "batch unset": lambda number: api.admin.post("/api/settings/batch", json=batch("unset", number)),
    }


@pytest.mark.parametrize("how", ["put", "patch", "batch set"])
async def test_of_twenty_who_change_one_value_one_wins(api: Api, how: str) -> None:
    made = await make(api.admin, "any.thing", "start")

    answers = await race(changers(api, made)[how])

    assert statuses(answers) == {200: 1, 412: WRITERS - 1}
    [winner] = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    history = (await api.admin.get(f"/api/settings/{made['id']}/history")).json()["items"]
    assert [item["value"] for item in history] == [winner, "start"]
    now = await api.admin.get(f"/api/settings/{made['id']}")
    assert now.json()["value"] == winner
    lost = [answer for answer in answers if answer.status_code == 412]
    if how != "batch set":
        assert {answer.headers["ETag"] for answer in lost} == {now.headers["ETag"]}


@pytest.mark.parametrize(("how", "lost"), [("delete", 404), ("batch unset", 412)])
async def test_of_twenty_who_remove_one_value_one_does(api: Api, how: str, lost: int) -> None:
    made = await make(api.admin, "any.thing", "start")

    answers = await race(changers(api, made)[how])

    won = 204 if how == "delete" else 200
    assert statuses(answers) == {won: 1, lost: WRITERS - 1}
    history = (await api.admin.get(f"/api/settings/{made['id']}/history")).json()["items"]
    assert [item["operation"] for item in history] == ["unset", "set"]


async def test_of_changes_of_every_kind_at_once_one_wins(api: Api) -> None:
    made = await make(api.admin, "any.thing", "start")
    kinds = list(changers(api, made).values())

    answers = await race(lambda number: kinds[number % len(kinds)](number))

    assert sum(answer.is_success for answer in answers) == 1
    assert {answer.status_code for answer in answers if not answer.is_success} <= {404, 412}
    assert len((await api.admin.get(f"/api/settings/{made['id']}/history")).json()["items"]) == 2


async def test_of_twenty_who_create_one_value_one_does(api: Api) -> None:
    body = {"scope": "TENANT", "key": "any.thing"}

    answers = await race(lambda number: api.admin.post("/api/settings", json={**body, "value": number}))

    assert statuses(answers) == {201: 1, 409: WRITERS - 1}
    [winner] = [answer.json() for answer in answers if answer.status_code == 201]
    assert (await api.admin.get(f"/api/settings/{winner['id']}")).json() == winner
    assert len((await api.admin.get(f"/api/settings/{winner['id']}/history")).json()["items"]) == 1


async def test_of_twenty_batches_that_create_the_same_things_one_does(api: Api) -> None:
    """They name the places in different orders, which must not lock them against each other."""
    places = [{"scope": "USER", "scopeId": f"u{number}", "key": "any.thing"} for number in range(5)]

    def send(number: int) -> Awaitable[httpx.Response]:
        turned = places[number % 5 :] + places[: number % 5]
        operations = [{"op": "set", **one, "value": number} for one in turned]
        return api.admin.post("/api/settings/batch", json={"operations": operations})

    answers = await race(send)

    assert statuses(answers) == {200: 1, 409: WRITERS - 1}
    [winner] = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    found = [(await api.admin.get("/api/settings", params=one)).json()["value"] for one in places]
    assert found == [winner] * 5


@pytest.mark.parametrize(
    ("path", "body", "get"),
    [
        ("/api/definitions/ui.theme", {"levels": LEVELS, **DEFINITIONS["ui.theme"]}, True),
        ("/api/scopes/ACCOUNT/adler", {"territory": "DE"}, True),
        ("/api/tenants/initech", {}, False),
    ],
)
async def test_of_twenty_who_change_one_definition_scope_or_tenant_one_wins(
    api: Api, path: str, body: dict[str, Any], get: bool
) -> None:
    current = await (api.root.get(path) if get else api.root.put(path, json=body, headers=CREATE))

    answers = await race(lambda _: api.root.put(path, json=body, headers=match(current)))

    assert statuses(answers) == {200: 1, 412: WRITERS - 1}
    [winner] = [answer.json() for answer in answers if answer.status_code == 200]
    assert winner["version"] == current.json()["version"] + 1


@pytest.mark.parametrize(
    "store", [values_store, definitions_store, directory_store], ids=["value", "definition", "scope"]
)
async def test_the_race_is_lost_by_a_store_that_does_not_lock(
    api: Api, db: Connection, monkeypatch: pytest.MonkeyPatch, store: Any
) -> None:
    """The same races, with the row read but not held. Values are held by their history, too: one row per version."""
    for name, statement in vars(store).items():
        if name.startswith("_LOCK"):
            monkeypatch.setattr(store, name, statement.partition(" FOR ")[0])
    made = await make(api.admin, "any.thing", "start")
    path, body = f"/api/settings/{made['id']}", {"value": 1}
    if store is definitions_store:
        path, body = "/api/definitions/any.thing", {"levels": LEVELS, **DEFINITIONS["any.thing"]}
    elif store is directory_store:
        path, body = "/api/scopes/ACCOUNT/adler", {}
    winners = 0

    index = await db.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = 'setting_history_by_setting'")
    await db.execute("DROP INDEX setting_history_by_setting")
    try:
        for _ in range(RACES):
            tag = match(await api.root.get(path))
            answers = await race(functools.partial(_put, api, path, body, tag))
            winners = statuses(answers)[200]
            if winners > 1:
                break
    finally:
        await db.execute("TRUNCATE setting_history")
        await db.execute(index)

    assert winners > 1


async def _put(api: Api, path: str, body: dict[str, Any], tag: dict[str, str], _: int) -> httpx.Response:
    return await api.root.put(path, json=body, headers=tag)
