"""A retried batch is answered as it was the first time, and changes nothing again."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from app.domain.access import Principal
from tests.settings.test_batch import BATCH, sets, unsets, values
from tests.world import PRINCIPALS, Api, make, match, position, problem

pytestmark = pytest.mark.anyio

ONCE = {"Idempotency-Key": "one-order"}


def body(value: Any = "dark") -> dict[str, Any]:
    return {"operations": [sets("ui.theme", value)]}


async def test_a_retry_is_answered_as_the_first_time_byte_for_byte(api: Api) -> None:
    first = await api.admin.post(BATCH, json=body(), headers=ONCE)
    await make(api.admin, "ui.density", 1)

    again = await api.admin.post(BATCH, json=body(), headers=ONCE)

    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert position(again) == position(first)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    [one] = first.json()["results"]
    assert len((await api.admin.get(f"/api/settings/{one['id']}/history")).json()["items"]) == 1


async def test_a_retry_may_be_spelled_otherwise(api: Api) -> None:
    first = await api.admin.post(BATCH, json=body(), headers=ONCE)
    spelled = b'{"dryRun":false, "operations" : [{"value":"d\\u0061rk","key":"ui.theme","scope":"TENANT","op":"set"}]}'

    again = await api.admin.post(
        BATCH, content=spelled, headers={"Idempotency-Key": '"one-order"', "Content-Type": "application/json"}
    )

    assert again.content == first.content


async def test_a_key_that_was_used_with_another_request_is_refused(api: Api) -> None:
    await api.admin.post(BATCH, json=body(), headers=ONCE)

    problem(await api.admin.post(BATCH, json=body("auto"), headers=ONCE), 422, "idempotency-key-reused")
    assert await values(api) == {("TENANT", "ui.theme"): "dark"}


async def test_a_key_belongs_to_the_principal_who_used_it(api: Api) -> None:
    await api.admin.post(BATCH, json=body(), headers=ONCE)
    namesake = Principal(id="anna", tenant="globex", roles=("admin",))

    others = await api.root.post(BATCH, json=body(), headers=ONCE)
    foreign = await api.of(namesake).post(BATCH, json=body(), headers=ONCE)

    problem(others, 409)
    assert foreign.status_code == 200
    assert foreign.json()["results"][0]["tenantId"] == "globex"


async def test_a_replay_is_refused_once_the_rights_are_gone(api: Api) -> None:
    where = {"operations": [sets("ui.theme", "dark", "USER", "bob")]}
    assert (await api.manager.post(BATCH, json=where, headers=ONCE)).status_code == 200

    entry = await api.admin.get("/api/scopes/USER/bob")
    await api.admin.put("/api/scopes/USER/bob", json={"territory": "CH"}, headers=match(entry))
    without = msgspec.structs.replace(PRINCIPALS["manager"], roles=())

    problem(await api.manager.post(BATCH, json=where, headers=ONCE), 404)
    problem(await api.of(without).post(BATCH, json=where, headers=ONCE), 404)


async def test_what_failed_claims_no_key(api: Api) -> None:
    problem(await api.admin.post(BATCH, json=body("pink"), headers=ONCE), 422)

    assert (await api.admin.post(BATCH, json=body("dark"), headers=ONCE)).status_code == 200


async def test_a_dry_run_claims_no_key(api: Api) -> None:
    await api.admin.post(BATCH, json={**body(), "dryRun": True}, headers=ONCE)

    response = await api.admin.post(BATCH, json=body(), headers=ONCE)

    assert response.status_code == 200
    assert "Idempotency-Replayed" not in response.headers
    assert await values(api) == {("TENANT", "ui.theme"): "dark"}


async def test_a_retried_removal_is_answered_though_nothing_is_left_to_remove(api: Api) -> None:
    made = await make(api.admin, "ui.theme", "dark")
    removal = {"operations": [unsets("ui.theme", ifMatch=made["etag"])]}
    first = await api.admin.post(BATCH, json=removal, headers=ONCE)

    again = await api.admin.post(BATCH, json=removal, headers=ONCE)

    assert again.content == first.content


async def test_twenty_at_once_with_one_key_have_one_effect_and_one_answer(api: Api) -> None:
    answers = await asyncio.gather(*(api.admin.post(BATCH, json=body(), headers=ONCE) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    [one] = answers[0].json()["results"]
    assert len((await api.admin.get(f"/api/settings/{one['id']}/history")).json()["items"]) == 1


async def test_a_key_is_forgotten_after_a_day(api: Api) -> None:
    await api.admin.post(BATCH, json=body(), headers=ONCE)
    api.clock.step(86_401)
    admin = api.of(PRINCIPALS["admin"])

    problem(await admin.post(BATCH, json=body(), headers=ONCE), 409)


@pytest.mark.parametrize("key", ["", " ", '""', "a b", "x" * 256, "ключ".encode(), '"a'])
async def test_a_key_of_the_wrong_form_is_malformed(api: Api, key: str | bytes) -> None:
    response = await api.admin.post(BATCH, json=body(), headers={"Idempotency-Key": key})

    if key == '"a':  # an unbalanced quote is not worth a refusal
        assert response.status_code == 200
    else:
        problem(response, 400)
        assert await values(api) == {}


async def test_two_keys_in_one_request_are_malformed(api: Api) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    problem(await api.admin.post(BATCH, json=body(), headers=headers), 400)
