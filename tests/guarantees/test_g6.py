"""G6: no change without its event and its history, in the same transaction."""

from __future__ import annotations

import asyncpg
import msgspec
import pytest

from app.domain.event import Feed
from app.kit.database import Connection
from app.log import append as log
from app.settings.values import changes
from tests.guarantees.faults import DIE, RAISE, broken
from tests.guarantees.mutations import MUTATIONS, SET, UNSET
from tests.guarantees.state import everything, head
from tests.world import Api, position

pytestmark = pytest.mark.anyio


async def test_every_operation_that_changes_something_is_among_the_mutations(openapi: dict[str, object]) -> None:
    paths: dict[str, dict[str, dict[str, str]]] = openapi["paths"]  # type: ignore[assignment]
    changing = {
        operation["operationId"]
        for methods in paths.values()
        for method, operation in methods.items()
        if method in ("post", "put", "patch", "delete")
        and not operation["operationId"].startswith(("evaluate", "authzen"))  # questions change nothing
    }

    assert changing == {mutation.operation for mutation in MUTATIONS.values()}


@pytest.mark.parametrize("name", list(MUTATIONS))
async def test_a_change_leaves_its_events_at_the_next_positions(api: Api, db: Connection, name: str) -> None:
    mutation = MUTATIONS[name]
    send = await mutation.prepare(api)
    before, history = await head(db), await db.fetchval("SELECT count(*) FROM setting_history")

    response = await send()

    assert response.is_success, response.text
    events = await db.fetch("SELECT * FROM event WHERE feed = 1 AND position > $1 ORDER BY position", before)
    assert [event["position"] for event in events] == [before + 1 + place for place in range(len(mutation.events))]
    assert tuple(event["type"] for event in events) == mutation.events
    assert {event["tenant"] for event in events} == {mutation.tenant}
    assert {event["actor"] for event in events} == {"rita"}
    assert {event["correlation_id"] for event in events} == {response.headers["X-Request-ID"]}
    assert {event["recorded_at"] for event in events} == {api.clock()}
    assert position(response) == await head(db) == events[-1]["position"]
    told = [event["position"] for event in events if event["type"] in (SET, UNSET)]
    written = await db.fetch("SELECT * FROM setting_history WHERE position > $1 ORDER BY position", before)
    assert [row["position"] for row in written] == told
    assert [row["operation"] for row in written] == [event["type"].removeprefix("setting.value-") for event in events][
        : len(written)
    ]
    assert await db.fetchval("SELECT count(*) FROM setting_history") == history + len(told)


@pytest.mark.parametrize("name", list(MUTATIONS))
async def test_events_carry_names_and_versions_and_never_values(api: Api, db: Connection, name: str) -> None:
    mutation = MUTATIONS[name]
    send = await mutation.prepare(api)
    before = await head(db)

    await send()

    for event in await db.fetch("SELECT payload FROM event WHERE feed = $1 AND position > $2", Feed.SETTINGS, before):
        payload = msgspec.json.decode(event["payload"])
        assert set(payload) <= {"settingId", "scope", "key", "version", "tenantId", "keyId", "revocationId"}


@pytest.mark.parametrize("name", list(MUTATIONS))
@pytest.mark.parametrize("at_commit", [False, True], ids=["at once", "at commit"])
@pytest.mark.parametrize("what", [RAISE, DIE], ids=["fails", "dies"])
async def test_nothing_changes_when_the_event_cannot_be_written(
    api: Api, db: Connection, name: str, at_commit: bool, what: str
) -> None:
    send = await MUTATIONS[name].prepare(api)
    before = await everything(db)

    async with broken(db, "event", what=what, at_commit=at_commit):
        response = await send()

    assert response.status_code == (500 if what == RAISE else 503), response.text
    assert await everything(db) == before
    assert (await send()).is_success, "the same request is fine once the fault is gone"


@pytest.mark.parametrize("name", [name for name, one in MUTATIONS.items() if {SET, UNSET} & {*one.events}])
async def test_nothing_changes_when_the_history_cannot_be_written(api: Api, db: Connection, name: str) -> None:
    send = await MUTATIONS[name].prepare(api)
    before = await everything(db)

    async with broken(db, "setting_history"):
        response = await send()

    assert response.status_code == 500
    assert await everything(db) == before


async def test_the_check_finds_an_event_that_is_written_on_its_own(
    api: Api, db: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, with the append on a connection of its own: what rolls back has then left its event."""
    outside = await asyncpg.connect(database_url)

    async def append_outside(tx: Connection, *arguments: object, **more: object) -> object:
        del tx
        return await log.append(outside, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(changes, "append", append_outside)
    send = await MUTATIONS["create"].prepare(api)
    before = await everything(db)
    try:
        async with broken(db, "setting_history"):
            await send()
    finally:
        await outside.close()

    assert await everything(db) != before
