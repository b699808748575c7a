"""Following the changes of credentials."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from app.access.revocation.follower import Follower, following
from app.access.revocation.standing import Standing
from app.config import Config
from app.kit.database import open_database
from tests.world import Api, SteppableClock, make

pytestmark = pytest.mark.anyio

LIMIT = 10.0  # seconds; a look takes milliseconds


async def test_who_is_rung_looks_at_once(api: Api, app_url: str, config: Config, clock: SteppableClock) -> None:
    """With nothing but the bell: the next look of its own would be in an hour."""
    config = msgspec.structs.replace(config, revocation_poll_seconds=3600.0)
    standing, forgotten = Standing(), asyncio.Queue[object]()
    async with open_database(app_url, config=config) as database:
        follower = Follower(standing, database=database, clock=clock, config=config, forget_keys=forgotten.put_nowait)
        async with following(follower), asyncio.timeout(LIMIT):
            assert await forgotten.get() is None, "what was known before the start is not"
            made = await api.admin.post("/api/security/api-keys", json={"name": "k", "roles": ["service"]})
            assert (await api.admin.post("/api/security/revocations", json={"jti": "a"})).status_code == 201
            assert len(standing) == 0

            follower.ring()

            assert await forgotten.get() == [made.json()["id"]]
            assert len(standing) == 1
            assert (follower.looks, follower.failures) == (2, 0)


async def test_a_change_of_something_else_costs_nobody_a_look_up(
    api: Api, app_url: str, config: Config, clock: SteppableClock
) -> None:
    standing = Standing()
    forgotten: list[object] = []
    async with open_database(app_url, config=config) as database:
        follower = Follower(standing, database=database, clock=clock, config=config, forget_keys=forgotten.append)
        await follower.catch_up()
        version = standing.version
        forgotten.clear()

        await make(api.admin, "any.thing", 1)
        await follower.catch_up()
        await follower.catch_up()

    assert (standing.version, forgotten) == (version, [])
