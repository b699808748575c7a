"""The audit of accesses: what is refused, overridden or secret is written down, and what happens when it cannot be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from app.access.audit.access_log import AuditUnavailable
from app.access.audit.verify import verify
from app.config import Config
from app.domain.access import Access, Principal
from app.domain.errors import Forbidden, NotFound
from app.kit import asgi
from app.kit.database import Connection
from tests.access.audit.listening import (
    CANARY,
    LIMIT,
    Listening,
    accesses,
    answered,
    denied,
    listening,
    not_to_be_written,
    secret_read,
    watched,
)
from tests.world import PRINCIPALS, SteppableClock

pytestmark = pytest.mark.anyio

Listen = Callable[..., AbstractAsyncContextManager[Listening]]


@pytest.fixture
def listen(
    db: Connection, app_url: str, config: Config, clock: SteppableClock, monkeypatch: pytest.MonkeyPatch
) -> Listen:
    """Make the application with a configuration of its own."""
    del db
    attempts = watched(monkeypatch)

    def make(mode: str = "best-effort", **changes: Any) -> AbstractAsyncContextManager[Listening]:
        changed = {"audit_window_seconds": 0.005, "audit_timeout_seconds": LIMIT, **changes}
        return listening(
            msgspec.structs.replace(config, database_url=app_url, audit_accesses=mode, **changed),  # type: ignore[arg-type]
            clock=clock,
            attempts=attempts,
        )

    return make


@asynccontextmanager
async def head_locked(url: str, tenant: str = "acme") -> AsyncIterator[None]:
    """Somebody else holds the end of a chain."""
    other = await asyncpg.connect(url)
    try:
        async with other.transaction():
            await other.execute("SELECT FROM audit_head WHERE tenant = $1 FOR UPDATE", tenant)
            yield
    finally:
        await other.close()


async def somebody_waits(db: Connection) -> None:
    """Return once a statement waits for a lock."""
    async with asyncio.timeout(LIMIT):
        while await db.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == 0:
            await db.execute("SELECT pg_stat_clear_snapshot()")


# ---- What is written ----


async def test_a_refusal_says_who_was_refused_what_and_from_where(listen: Listen, db: Connection) -> None:
    async with listen() as room:
        assert answered(await room.ask(denied(), by=PRINCIPALS["alice"], status=403)) == (403, CANARY)
        assert await room.attempt() == 1

    assert await accesses(db) == [
        {
            "action": "write",
            "actor": {"id": "alice", "kind": "user", "roles": ["user"], "tenantId": "acme"},
            "at": "2026-03-04T12:00:00+00:00",
            "client": "192.0.2.7",
            "count": 1,
            "outcome": "denied",
            "policyVersion": "p" * 64,
            "requestId": "r-1",
            "resource": "setting/ACCOUNT/acme/adler",
        }
    ]


async def test_outcomes_stand_in_one_chain_with_the_changes_and_hold(listen: Listen, db: Connection) -> None:
    before = (await verify(db, "acme")).records
    overridden = Access(outcome="overridden", action="read", resource="setting/GLOBAL", tenant=None, reason="Brand")
    async with listen() as room:
        await room.ask(denied(), overridden, secret_read())
        assert await room.attempt() == 3

    found = await accesses(db)
    assert before > 0
    assert (await verify(db, "acme")).records == before + 3
    assert [one["outcome"] for one in found] == ["denied", "overridden", "read"]
    assert [one.get("reason") for one in found] == [None, "Brand", None]


async def test_a_record_goes_to_the_callers_own_chain_whatever_it_aimed_at(listen: Listen, db: Connection) -> None:
    """Nobody can write into another tenant's chain, nor hold up its changes."""
    before = (await verify(db, "acme")).records
    async with listen() as room:
        await room.ask(denied(), by=PRINCIPALS["globex"])
        await room.ask(secret_read(), by=PRINCIPALS["platform"])

    assert [one["resource"] for one in await accesses(db, "globex")] == [denied().resource]
    assert [one["resource"] for one in await accesses(db, "")] == [secret_read().resource]
    assert (await verify(db, "acme")).records == before


async def test_equal_refusals_of_one_caller_become_one_record_with_a_count(listen: Listen, db: Connection) -> None:
    async with listen(audit_window_seconds=LIMIT) as room:
        for who in ("alice", "alice", "bob", "alice"):
            await room.ask(denied(), by=PRINCIPALS[who])
        await room.ask(denied(action="read"), by=PRINCIPALS["alice"])
        await room.ask(denied(), by=PRINCIPALS["alice"], client="192.0.2.8")

    found = [(one["actor"]["id"], one["action"], one["client"], one["count"]) for one in await accesses(db)]
    assert found == [
        ("alice", "write", "192.0.2.7", 3),
        ("bob", "write", "192.0.2.7", 1),
        ("alice", "read", "192.0.2.7", 1),
        ("alice", "write", "192.0.2.8", 1),
    ]


async def test_each_read_of_a_secret_has_a_record_of_its_own_and_one_request_one(
    listen: Listen, db: Connection
) -> None:
    async with listen(audit_window_seconds=LIMIT) as room:
        await room.ask(secret_read(), secret_read(), request_id="r-1")
        await room.ask(secret_read(), request_id="r-2")

    assert [(one["requestId"], one["count"]) for one in await accesses(db)] == [("r-1", 1), ("r-2", 1)]


async def test_what_is_noted_when_the_handler_raises_or_is_cut_off_is_written(listen: Listen, db: Connection) -> None:
    async def forbidden(scope: asgi.Scope, send: asgi.Send) -> None:
        scope["state"]["accesses"].append(denied("one"))
        raise Forbidden

    async def broken(scope: asgi.Scope, send: asgi.Send) -> None:
        scope["state"]["accesses"].append(denied("two"))
        raise RuntimeError

    async def cut_off(scope: asgi.Scope, send: asgi.Send) -> None:
        scope["state"]["accesses"].append(denied("three"))
        raise asyncio.CancelledError

    for mode in ("best-effort", "strict"):
        async with listen(mode) as room:
            for inner, error in ((forbidden, Forbidden), (broken, RuntimeError), (cut_off, asyncio.CancelledError)):
                with pytest.raises(error):
                    await room.ask(inner=inner)
    assert [one["resource"] for one in await accesses(db)] == ["one", "two", "three"] * 2


async def test_what_would_be_obeyed_by_a_terminal_or_a_log_stands_there_escaped(listen: Listen, db: Connection) -> None:
    hostile = 'a\n{"event":"fake"}\r\x1b[2J\x9b31m\u202egnp.exe\u2028\x7f\ud800\0'
    async with listen("strict") as room:
        await room.ask(denied(hostile, outcome="overridden", reason=hostile))
        await room.ask(status=404, path=f"/api/{hostile}")

    for row in await db.fetch("SELECT body FROM audit_record WHERE outcome <> 'changed'"):
        assert row["body"].isascii()
        assert row["body"].isprintable()
    kept = hostile.replace("\ud800", "\\ud800").replace("\0", "\\x00")
    read, asked = await accesses(db)
    assert read["resource"] == read["reason"] == kept
    assert asked["resource"] == f"request/api/{kept}"


async def test_a_text_without_end_is_shortened(listen: Listen, db: Connection) -> None:
    async with listen() as room:
        await room.ask(denied("x" * 1_000_000))
        assert await room.attempt() == 1

    [found] = await accesses(db)
    assert found["resource"] == "x" * 1_000 + "…"


async def test_off_writes_nothing_and_holds_nothing_up(listen: Listen, db: Connection) -> None:
    async with listen("off") as room:

        async def inner(scope: asgi.Scope, send: asgi.Send) -> None:
            scope["state"].setdefault("accesses", []).append(denied())
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        assert answered(await room.ask(inner=inner)) == (404, b"")

    assert await accesses(db) == []


# ---- best-effort ----


async def test_best_effort_answers_counts_and_writes_when_it_can_again(listen: Listen, db: Connection) -> None:
    async with listen() as room:
        async with not_to_be_written(db):
            with capture_logs() as logged:
                for name in ("one", "two"):
                    assert answered(await room.ask(denied(name))) == (200, CANARY)
                assert await room.attempt() == 0
            assert (room.log.dropped, room.log.written) == (0, 0)
            assert room.log.failed > 0
            assert room.log.trouble is not None
            assert room.log.trouble.startswith("DatabaseUnavailable; ")
            assert [one["event"] for one in logged].count("audit-accesses-failing") == 1
        while await room.attempt() == 0:
            pass
        assert room.log.trouble is None

    assert [one["resource"] for one in await accesses(db)] == ["one", "two"]


async def test_a_slow_database_delays_no_answer_of_best_effort(
    listen: Listen, db: Connection, database_url: str
) -> None:
    async with listen() as room:
        async with head_locked(database_url):
            assert answered(await room.ask(denied())) == (200, CANARY)
            assert await accesses(db) == []
        assert await room.attempt() == 1


async def test_a_full_ring_drops_counts_and_says_so_once(listen: Listen, db: Connection) -> None:
    async with listen(audit_window_seconds=LIMIT, audit_ring_records=4) as room:
        with capture_logs() as logged:
            for number in range(5):
                assert answered(await room.ask(denied(f"{number}"))) == (200, CANARY)

        assert room.log.dropped == 3
        assert room.log.trouble == "NoRoom; 3 dropped, 0 attempts failed"
        assert [one["event"] for one in logged] == ["audit-accesses-failing"]
        await room.ask(denied("theirs"), by=PRINCIPALS["globex"])

    assert [one["resource"] for one in await accesses(db)] == ["0", "1"]
    assert [one["resource"] for one in await accesses(db, "globex")] == ["theirs"], "one tenant takes half at most"


async def test_what_cannot_be_written_alone_does_not_hold_up_the_others(listen: Listen, db: Connection) -> None:
    async with listen(audit_window_seconds=LIMIT) as room:
        poison = Principal(id="a\0b", tenant="acme")  # no issuer's token has such a name; PostgreSQL takes no NUL
        for who, name in ((PRINCIPALS["alice"], "one"), (poison, "two"), (PRINCIPALS["alice"], "three")):
            await room.ask(denied(name), by=who)

    assert [one["resource"] for one in await accesses(db)] == ["one", "three"]
    assert room.log.dropped == 1


async def test_one_chain_that_is_held_does_not_hold_up_another(
    listen: Listen, db: Connection, database_url: str
) -> None:
    async with listen("strict") as room, head_locked(database_url):
        held = asyncio.create_task(room.ask(secret_read()))

        assert answered(await room.ask(secret_read(), by=PRINCIPALS["globex"])) == (200, CANARY)
        assert not held.done()
        held.cancel()


async def test_what_is_left_is_written_when_a_worker_stops(listen: Listen, db: Connection) -> None:
    async with listen(audit_window_seconds=LIMIT) as room:
        await room.ask(denied())
        assert await accesses(db) == []

    assert len(await accesses(db)) == 1


async def test_what_cannot_be_written_when_a_worker_stops_is_counted_and_logged(listen: Listen, db: Connection) -> None:
    async with not_to_be_written(db):
        with capture_logs() as logged:
            async with listen(audit_window_seconds=LIMIT) as room:
                await room.ask(denied("one"), denied("two"))

    assert room.log.dropped == 2
    [lost] = [one for one in logged if one["event"] == "audit-accesses-lost"]
    assert lost["count"] == 2


# ---- strict ----


async def test_strict_answers_once_the_record_is_committed(listen: Listen, db: Connection, database_url: str) -> None:
    sent: list[asgi.Message] = []
    async with listen("strict") as room:
        async with head_locked(database_url):
            asked = asyncio.create_task(room.ask(secret_read(), sent=sent))
            await somebody_waits(db)
            assert sent == []
        assert answered(await asked) == (200, CANARY)

    assert len(await accesses(db)) == 1


@pytest.mark.parametrize("why", ["refused", "too slow", "no room"])
@pytest.mark.parametrize("access", [secret_read(), denied()], ids=["read", "denied"])
async def test_strict_sends_a_problem_and_no_byte_of_the_answer_without_its_record(
    listen: Listen, db: Connection, database_url: str, why: str, access: Access
) -> None:
    room_for = {"no room": {"audit_ring_records": 2}, "too slow": {"audit_timeout_seconds": 0.2}}.get(why, {})
    async with listen("strict", **room_for) as room:
        waiting: list[asyncio.Task[Any]] = []
        async with head_locked(database_url) if why != "refused" else not_to_be_written(db):
            if why == "no room":
                waiting.append(asyncio.create_task(room.ask(secret_read("before"))))
                await asyncio.sleep(0)
            messages = await room.ask(access)
        for one in waiting:
            await one

    status, body = answered(messages)
    assert (status, json.loads(body)["code"]) == (503, "audit-unavailable")
    assert dict(messages[0]["headers"])[b"retry-after"] == b"1"
    assert b"etag" not in dict(messages[0]["headers"])
    assert CANARY not in b"".join(message.get("body", b"") for message in messages)


async def test_strict_answers_again_when_it_can_write_again(listen: Listen, db: Connection) -> None:
    async with listen("strict") as room:
        async with not_to_be_written(db):
            assert answered(await room.ask(secret_read()))[0] == 503
            assert room.log.trouble is not None

        assert answered(await room.ask(secret_read())) == (200, CANARY)
        assert room.log.trouble is None

    assert len(await accesses(db)) == 1, "what was not answered is not tried again"


async def test_strict_raises_in_place_of_a_refusal_that_is_not_written(listen: Listen, db: Connection) -> None:
    async def inner(scope: asgi.Scope, send: asgi.Send) -> None:
        del send
        scope["state"]["accesses"].append(denied())
        raise Forbidden

    async with listen("strict") as room, not_to_be_written(db):
        with pytest.raises(AuditUnavailable):
            await room.ask(inner=inner)


async def test_under_strict_the_absent_is_written_down_and_fails_like_the_hidden(
    listen: Listen, db: Connection
) -> None:
    """Else a failing audit would tell the one from the other."""

    async def absent(scope: asgi.Scope, send: asgi.Send) -> None:
        raise NotFound

    async def hidden(scope: asgi.Scope, send: asgi.Send) -> None:
        scope["state"]["accesses"].append(denied())
        raise NotFound

    async with listen("strict") as room:
        for inner in (absent, hidden):
            with pytest.raises(NotFound):
                await room.ask(inner=inner, path="/api/settings/x")
        async with not_to_be_written(db):
            for inner in (absent, hidden):
                with pytest.raises(AuditUnavailable):
                    await room.ask(inner=inner)

    assert [one["resource"] for one in await accesses(db)] == ["request/api/settings/x", denied().resource]


async def test_an_answer_that_has_begun_is_cut_off_at_a_secret_that_is_not_written(
    listen: Listen, db: Connection
) -> None:
    sent: list[asgi.Message] = []

    async def stream(scope: asgi.Scope, send: asgi.Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"public", "more_body": True})
        scope["state"]["accesses"].append(secret_read())
        await send({"type": "http.response.body", "body": CANARY, "more_body": True})

    async with listen("strict") as room, not_to_be_written(db):
        with pytest.raises(AuditUnavailable):
            await room.ask(inner=stream, sent=sent)

    assert [message.get("body") for message in sent] == [None, b"public"]


async def test_waiting_for_a_record_holds_no_connection(listen: Listen, db: Connection) -> None:
    async with listen("strict", pool_size=1) as room:
        found = await asyncio.gather(*(room.ask(secret_read(), request_id=f"r-{number}") for number in range(300)))

        assert {answered(one)[0] for one in found} == {200}
        assert room.attempts.qsize() < 30, "many are written together"

    assert len(await accesses(db)) == 300
