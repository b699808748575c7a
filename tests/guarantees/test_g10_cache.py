"""
G10, the part of the cache: reads outlive PostgreSQL. What is held is answered with and says since when nobody knows
better; what is not held, and every write, fails fast; and when PostgreSQL is back everything is as before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from app.log.tailer import PROOF_SECONDS
from tests.fixtures import running
from tests.guarantees.proxy import Wire, wired
from tests.guarantees.workers import counters, flush, until, until_true
from tests.world import DE_CONTEXT, Api, make, match, position, problem

pytestmark = pytest.mark.anyio

STALE_LIMIT = 300
HELD = [
    ("/api/settings/effective", DE_CONTEXT),
    ("/api/settings/resolve/ui.theme", DE_CONTEXT),
    ("/api/settings/resolve/ui.theme", {**DE_CONTEXT, "explain": "true"}),
    ("/api/settings", {"scope": "USER", "scopeId": "alice", "key": "ui.theme"}),
]


class Later:
    """The machine's clock, put forward."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        tailer = api.registry.hot.tailer
        clock = tailer._clock
        monkeypatch.setattr(tailer, "_clock", lambda: clock() + self.seconds)


@asynccontextmanager
async def on_a_wire(api: Api, **configured: Any) -> AsyncIterator[tuple[Api, Wire]]:
    assert api.config.database_url is not None
    async with wired(api.config.database_url) as (wire, url):
        config = msgspec.structs.replace(
            api.config, database_url=url, acquire_timeout_seconds=0.3, connect_timeout_seconds=0.3, **configured
        )
        async with running(config, clock=api.clock) as other:
            yield other, wire
            await wire.mend()


async def ask_all(api: Api) -> list[httpx.Response]:
    return [await api.alice.get(path, params=query) for path, query in HELD]


async def lost(other: Api, wire: Wire, how: str) -> None:
    """PostgreSQL is away, and the worker has noticed."""
    if how == "cut":
        await wire.cut()
    else:
        wire.silence()
    await until_true(lambda: other.registry.hot.tailer.failing)


@pytest.mark.parametrize("how", ["cut", "silent"])
async def test_what_is_held_is_answered_with_and_labelled(api: Api, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    await make(api.admin, "ui.theme", "dark", "USER", "alice")
    async with on_a_wire(api) as (other, wire):
        later = Later(other, monkeypatch)
        before = await ask_all(other)
        assert [one.status_code for one in before] == [200] * len(HELD)
        assert all("Setpoint-Stale" not in one.headers for one in before)

        await lost(other, wire, how)
        for age in (PROOF_SECONDS, 17.0, STALE_LIMIT - 60.0):
            later.seconds = age
            after = await ask_all(other)
            assert [one.content for one in after] == [one.content for one in before]
            assert [one.headers["ETag"] for one in after] == [one.headers["ETag"] for one in before]
            assert all(age <= int(one.headers["Setpoint-Stale"]) <= age + 30 for one in after)
        tag = {"If-None-Match": after[0].headers["ETag"]}
        not_modified = await other.alice.get(HELD[0][0], params=DE_CONTEXT, headers=tag)
        assert not_modified.status_code == 304
        assert "Setpoint-Stale" in not_modified.headers
        assert counters(other).stale > 0

        await wire.mend()
        await make(api.admin, "ui.density", 5, "USER", "alice")
        again = await until(
            lambda: other.alice.get(HELD[0][0], params=DE_CONTEXT), lambda one: one.json()["values"]["ui.density"] == 5
        )
        assert "Setpoint-Stale" not in again.headers


async def test_what_redis_holds_is_answered_with_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await make(api.admin, "ui.theme", "dark", "USER", "alice")
    await flush(api)
    async with on_a_wire(api, l1_bytes=0) as (other, wire):
        later = Later(other, monkeypatch)
        await ask_all(other)
        await until_true(lambda: counters(other).l2_writes >= len(DE_CONTEXT) + 1)
        await lost(other, wire, "cut")
        later.seconds = 10.0

        after = await ask_all(other)

        assert [one.status_code for one in after] == [200] * len(HELD)
        assert all("Setpoint-Stale" in one.headers for one in after)


async def test_what_is_not_held_and_what_is_held_for_too_long_is_not_answered(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_a_wire(api) as (other, wire):
        later = Later(other, monkeypatch)
        await ask_all(other)
        await lost(other, wire, "cut")
        later.seconds = PROOF_SECONDS

        problem(await other.admin.get("/api/settings/effective", params={"userId": "new"}), 503, "database-unavailable")
        later.seconds = STALE_LIMIT + 1.0
        for response in await ask_all(other):
            problem(response, 503, "database-unavailable")
            assert int(response.headers["Retry-After"]) >= 1


async def test_without_a_limit_for_stale_answers_there_are_none(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async with on_a_wire(api, stale_if_error_seconds=0) as (other, wire):
        later = Later(other, monkeypatch)
        await ask_all(other)
        await lost(other, wire, "cut")
        later.seconds = PROOF_SECONDS

        assert {one.status_code for one in await ask_all(other)} == {503}


async def test_a_read_that_names_a_position_is_not_answered_from_before_it_even_then(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_a_wire(api) as (other, wire):
        later = Later(other, monkeypatch)
        [held, *_] = await ask_all(other)
        await lost(other, wire, "cut")
        later.seconds = PROOF_SECONDS

        async def asked(minimum: int) -> httpx.Response:
            headers = {"Setpoint-Min-Position": str(minimum)}
            return await other.alice.get(HELD[0][0], params=DE_CONTEXT, headers=headers)

        assert (await asked(position(held))).status_code == 200
        problem(await asked(position(held) + 1), 503, "database-unavailable")


async def test_a_right_that_is_gone_is_gone_without_postgresql_as_well(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held of the directory decides as well as the directory."""
    entry = await api.admin.get("/api/scopes/ACCOUNT/adler")
    body = {"territory": "CH", "owner": "carl"}
    await api.admin.put("/api/scopes/ACCOUNT/adler", json=body, headers=match(entry))
    async with on_a_wire(api) as (other, wire):
        later = Later(other, monkeypatch)
        query = {"accountId": "adler"}
        assert (await other.carl.get(HELD[0][0], params=query)).status_code == 200
        await lost(other, wire, "cut")
        later.seconds = PROOF_SECONDS

        assert (await other.carl.get(HELD[0][0], params=query)).status_code == 200
        response = await other.bob.get(HELD[0][0], params=query)
        assert response.status_code in (404, 503), "503: where the audit cannot be told of a refusal, nothing is said"
