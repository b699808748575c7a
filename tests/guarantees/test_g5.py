"""G5: all or nothing. A batch over several keys and scopes is made whole or not at all, and nobody sees half."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from app.kit.database import Connection
from app.settings.values import store
from tests.guarantees.faults import DIE, RAISE, broken
from tests.guarantees.state import everything
from tests.world import DE_CONTEXT, Api, make, place

pytestmark = pytest.mark.anyio

BATCH = "/api/settings/batch"
SIZE = 40
SEED = 5


def good(number: int) -> dict[str, Any]:
    return {"op": "set", "key": "any.thing", "value": number, **place("USER", f"u{number:03}")}


BAD = {
    "breaks its schema": {"op": "set", "key": "ui.theme", "value": "pink", **place("TENANT")},
    "is undefined": {"op": "set", "key": "no.such", "value": 1, **place("TENANT")},
    "is there already": {"op": "set", "key": "ui.density", "value": 1, **place("TENANT")},
    "has another tag": {"op": "set", "key": "ui.density", "value": 1, "ifMatch": '"v1"', **place("TENANT")},
    "is not there": {"op": "unset", "key": "ui.theme", "ifMatch": "*", **place("TENANT")},
    "may not be seen": {"op": "set", "key": "ui.theme", "value": "dark", **place("TENANT", tenant="globex")},
    "may not be done": {"op": "set", "key": "ui.theme", "value": "dark", **place("GLOBAL")},
    "is said twice": good(0),
    "is too long": {"op": "set", "key": "any.thing", "value": "x" * 70_000, **place("TENANT")},
}


@pytest.mark.parametrize("bad", list(BAD))
async def test_one_bad_operation_anywhere_leaves_nothing_of_the_others(api: Api, db: Connection, bad: str) -> None:
    await make(api.admin, "ui.density", 7)
    before = await everything(db)
    rng = random.Random(SEED)
    print("seed", SEED)
    for at in (0, SIZE // 2, SIZE, rng.randrange(1, SIZE)):
        operations = [good(number) for number in range(SIZE)]
        operations.insert(at, BAD[bad])

        response = await api.admin.post(BATCH, json={"operations": operations}, headers={"Idempotency-Key": f"k{at}"})

        assert response.status_code in (403, 404, 409, 412, 422), response.text
        assert await everything(db) == before


@pytest.mark.parametrize("table", ["setting_value", "setting_history", "event", "append_dedupe"])
@pytest.mark.parametrize("at_commit", [False, True], ids=["at once", "at commit"])
@pytest.mark.parametrize("what", [RAISE, DIE], ids=["fails", "dies"])
async def test_a_batch_that_breaks_while_it_is_written_leaves_nothing(
    api: Api, db: Connection, table: str, at_commit: bool, what: str
) -> None:
    before = await everything(db)
    operations = [good(number) for number in range(3)]
    async with broken(db, table, what=what, at_commit=at_commit):
        response = await api.admin.post(BATCH, json={"operations": operations}, headers={"Idempotency-Key": "once"})

    assert response.status_code == (500 if what == RAISE else 503)
    assert await everything(db) == before
    response = await api.admin.post(BATCH, json={"operations": operations}, headers={"Idempotency-Key": "once"})
    assert response.status_code == 200
    assert "Idempotency-Replayed" not in response.headers


async def halves(api: Api, *, batches: int) -> int:
    """How often a reader saw one of two values that are always set and unset together without the other."""
    places = [place("TERRITORY", "DE"), place("USER", "alice")]
    keys = ["any.thing", "ui.density"]
    seen: list[tuple[Any, ...]] = []
    done = asyncio.Event()

    async def write() -> None:
        for number in range(1, batches + 1):
            turn = [{"op": "set", "key": keys[0], "value": number, **places[0]}]
            turn += [{"op": "set", "key": keys[1], "value": number, **places[1]}]
            if number % 2 == 0:
                # One is removed and the other changed: two statements, so that a torn write would show.
                turn = [{"op": "unset", "key": keys[0], "ifMatch": "*", **places[0]}]
                turn += [{"op": "set", "key": keys[1], "value": 1, "ifMatch": "*", **places[1]}]
            elif number > 1:
                turn[1]["ifMatch"] = "*"
            assert (await api.admin.post(BATCH, json={"operations": turn})).status_code == 200
        done.set()

    async def read() -> None:
        while not done.is_set():
            response = await api.alice.get("/api/settings/effective", params=DE_CONTEXT | {"keys": ",".join(keys)})
            seen.append(tuple(response.json()["values"].values()))
            await asyncio.sleep(0)  # an answer from memory lets nobody else have a turn

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        for _ in range(3):
            group.create_task(read())
    assert len(set(seen)) > batches / 4, "the readers were too slow to meet the writer"
    return sum(one not in {(None, 1)} and one[0] != one[1] for one in seen)


async def test_nobody_sees_half_of_a_batch(api: Api) -> None:
    assert await halves(api, batches=80) == 0


async def test_the_check_finds_a_batch_that_is_committed_in_two(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, with removals committed before the rest is written."""
    delete = store.delete

    async def delete_and_commit(tx: Connection, ids: Any) -> None:
        await delete(tx, ids)
        await tx.execute("COMMIT")
        await asyncio.sleep(0.001)
        await tx.execute("BEGIN; SELECT set_config('setpoint.reach', '*', true)")

    monkeypatch.setattr(store, "delete", delete_and_commit)

    assert await halves(api, batches=40) > 0
