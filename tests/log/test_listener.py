"""The doorbell is heard, also after its connection was lost, and nobody depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.domain.event import Feed
from app.kit.database import Connection
from app.log import listener as listener_module
from app.log.append import CHANNEL
from app.log.listener import Listener, open_listener
from tests.guarantees.proxy import wired

pytestmark = pytest.mark.anyio

LIMIT = 10.0  # seconds for what takes milliseconds
KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'setpoint-listener'"


class Bell:
    """Counts rings, and lets one wait for the next."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def __call__(self) -> None:
        self._rung.set()

    async def next(self) -> None:
        await asyncio.wait_for(self._rung.wait(), LIMIT)
        self._rung.clear()


@pytest.fixture
async def bell() -> Bell:
    return Bell()


@pytest.fixture
async def listener(db: Connection, app_url: str, bell: Bell) -> AsyncIterator[Listener]:
    del db
    async with open_listener(app_url) as listener:
        listener.on_ring(Feed.SETTINGS, bell)
        await bell.next()  # rung once connected
        yield listener


async def test_a_ring_is_heard_by_those_who_follow_its_feed(db: Connection, listener: Listener, bell: Bell) -> None:
    await db.execute("SELECT pg_notify($1, '2')", CHANNEL)
    await db.execute("SELECT pg_notify($1, '1')", CHANNEL)

    await bell.next()

    assert listener.rings == 2
    assert not bell._rung.is_set()


async def test_a_killed_connection_is_replaced_and_everybody_rung(
    db: Connection, listener: Listener, bell: Bell
) -> None:
    for count in range(2, 6):
        await db.execute(KILL)
        await bell.next()
        assert listener.connects == count

    await db.execute("SELECT pg_notify($1, '1')", CHANNEL)
    await bell.next()


async def test_a_silent_wire_is_found_out(
    db: Connection, app_url: str, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    del db
    monkeypatch.setattr(listener_module, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(listener_module, "ANSWER_SECONDS", 0.2)
    async with wired(app_url) as (wire, url), open_listener(url) as listener:
        listener.on_ring(Feed.SETTINGS, bell)
        await bell.next()

        wire.silence()
        async with asyncio.timeout(LIMIT):
            while listener.connected:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        await wire.mend()

        await bell.next()
        assert listener.connected


async def test_it_keeps_trying_while_nobody_answers(app_url: str, db: Connection, bell: Bell) -> None:
    del db
    async with wired(app_url) as (wire, url):
        await wire.cut()
        async with open_listener(url) as listener:
            listener.on_ring(Feed.SETTINGS, bell)
            await asyncio.sleep(0.05)
            assert not listener.connected

            await wire.mend()
            await bell.next()


async def test_a_connection_that_was_told_its_end_is_replaced_though_the_end_never_arrives(
    db: Connection, app_url: str, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg refuses the next heartbeat, with an error of its own that once ended the listening for good."""
    del db
    monkeypatch.setattr(listener_module, "HEARTBEAT_SECONDS", 0.05)
    async with wired(app_url) as (wire, url), open_listener(url) as listener:
        listener.on_ring(Feed.SETTINGS, bell)
        await bell.next()

        wire.say_goodbye()

        await bell.next()
        assert listener.connects == 2
