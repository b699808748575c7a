"""Positions: every answer says where the registry stood, and a read can ask for no earlier."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from tests.fixtures import running
from tests.world import CREATE, DE_CONTEXT, Api, make, match, place, pointers, position, problem

pytestmark = pytest.mark.anyio

READS = [
    ("/api/settings", {"scope": "TENANT", "key": "ui.theme"}),
    ("/api/settings/{id}", {}),
    ("/api/settings/{id}/history", {}),
    ("/api/settings/list", {"scope": "TENANT"}),
    ("/api/settings/resolve/ui.theme", {}),
    ("/api/settings/effective", DE_CONTEXT),
    ("/api/definitions", {}),
    ("/api/definitions/ui.theme", {}),
    ("/api/scopes", {}),
    ("/api/scopes/USER/alice", {}),
    ("/api/tenants", {}),
]
ABSENT = [
    ("/api/settings", {"scope": "TENANT", "key": "any.thing"}),
    ("/api/settings/00000000-0000-7000-8000-000000000000", {}),
    ("/api/settings/00000000-0000-7000-8000-000000000000/history", {}),
    ("/api/settings/resolve/no.such", {}),
    ("/api/settings/effective", {"tenantId": "none"}),
    ("/api/definitions/no.such", {}),
    ("/api/scopes/USER/none", {}),
]


async def test_every_change_raises_the_position_by_one(api: Api) -> None:
    where = {"tenantId": "acme"}
    tenant = await api.root.put("/api/tenants/initech", json={}, headers=CREATE)
    definition = {"schema": True, "default": 0, "levels": ["TENANT"]}
    defined = await api.root.put("/api/definitions/new.key", json=definition, headers=CREATE)
    entry = await api.root.put("/api/scopes/USER/dora", params=where, json={}, headers=CREATE)
    made = await api.root.post("/api/settings", json={**place("TENANT"), "key": "new.key", "value": 1})
    path = made.headers["Location"]
    put = await api.root.put(path, json={"value": 2}, headers=match(made))
    merge_patch = {"Content-Type": "application/merge-patch+json"}
    patched = await api.root.patch(path, json={"value": 3}, headers=match(put) | merge_patch)
    gone = await api.root.delete(path, headers=match(patched))
    forgotten = await api.root.delete("/api/scopes/USER/dora", headers=match(entry))
    undefined = await api.root.delete("/api/definitions/new.key", headers=match(defined))
    removed = await api.root.delete("/api/tenants/initech", headers=match(tenant))

    changes = [tenant, defined, entry, made, put, patched, gone, forgotten, undefined, removed]
    assert [change.status_code for change in changes] == [201, 201, 201, 201, 200, 200, 204, 204, 204, 204]
    first = position(tenant)
    assert [position(change) for change in changes] == list(range(first, first + 10))


async def test_what_was_refused_raises_no_position(api: Api) -> None:
    before = position(await api.admin.get("/api/settings/effective"))
    await api.admin.post("/api/settings", json={**place("TENANT"), "key": "ui.theme", "value": "pink"})
    await api.admin.post("/api/settings", json={**place("TENANT"), "key": "no.such", "value": 1})

    assert position(await api.admin.get("/api/settings/effective")) == before


@pytest.mark.parametrize(("path", "query"), READS)
async def test_every_read_says_where_the_registry_stood(api: Api, path: str, query: dict[str, str]) -> None:
    made = await make(api.admin, "ui.theme", "dark")

    response = await api.root.get(path.format(id=made["id"]), params=query)

    assert response.status_code == 200
    assert position(response) == made["position"]


@pytest.mark.parametrize(("path", "query"), READS)
async def test_a_read_is_answered_when_the_named_position_is_reached(
    api: Api, path: str, query: dict[str, str]
) -> None:
    made = await make(api.admin, "ui.theme", "dark")
    for minimum in (0, 1, made["position"]):
        headers = {"Setpoint-Min-Position": str(minimum)}
        response = await api.root.get(path.format(id=made["id"]), params=query, headers=headers)
        assert response.status_code == 200


@pytest.mark.parametrize(("path", "query"), READS + ABSENT)
async def test_no_read_is_answered_from_before_the_named_position(api: Api, path: str, query: dict[str, str]) -> None:
    made = await make(api.admin, "ui.theme", "dark")
    began = time.monotonic()

    response = await api.root.get(
        path.format(id=made["id"]), params=query, headers={"Setpoint-Min-Position": str(made["position"] + 1)}
    )

    problem(response, 412, "position-not-reached")
    assert response.headers["Retry-After"].isdigit()
    assert api.config.min_position_wait_seconds <= time.monotonic() - began < 2


async def test_a_read_waits_for_a_position_that_is_about_to_come(api: Api) -> None:
    here = position(await api.admin.get("/api/settings/effective"))
    patient = msgspec.structs.replace(api.config, min_position_wait_seconds=10.0)
    async with running(patient, clock=api.clock) as other:
        reading = asyncio.create_task(
            other.alice.get("/api/settings/effective", headers={"Setpoint-Min-Position": str(here + 1)})
        )
        await asyncio.sleep(0)  # the read is on its way before the write begins

        await make(api.admin, "ui.theme", "dark")

        response = await reading
    assert response.status_code == 200
    assert response.json()["values"]["ui.theme"] == "dark"


@pytest.mark.parametrize(("path", "query"), READS)
async def test_a_minimum_that_is_no_position_is_malformed(api: Api, path: str, query: dict[str, str]) -> None:
    made = await make(api.admin, "ui.theme", "dark")

    for text in ("-1", "one", "1.0", "", " ", "1e3", "9" * 19, "٣", "1, 2"):
        headers = {"Setpoint-Min-Position": text.encode()}
        response = await api.root.get(path.format(id=made["id"]), params=query, headers=headers)
        assert pointers(response, 400) == ["/header/Setpoint-Min-Position"]
