"""A tiny application inside of the access log, on the real database: what it notes, a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.access.audit.access_log import AccessLog
from app.access.audit.accesses import noting_accesses
from app.access.audit.verify import verify
from app.config import Config
from app.domain.access import Access, Principal
from app.kit import asgi
from app.kit.database import Connection, open_database
from tests.world import PRINCIPALS, SteppableClock

CANARY = b"canary-4711-never-to-be-seen"
LIMIT = 20.0  # seconds that anything here may take on a busy machine

Inner = Callable[[asgi.Scope, asgi.Send], Coroutine[Any, Any, None]]


def denied(resource: str = "setting/ACCOUNT/acme/adler", **more: Any) -> Access:
    return Access(**{"outcome": "denied", "action": "write", "resource": resource, "tenant": "acme", **more})


def secret_read(resource: str = "setting/TENANT/acme/limit.secret", **more: Any) -> Access:
    return Access(**{"outcome": "read", "action": "read", "resource": resource, "tenant": "acme", **more})


class Listening:
    """The application with its log. `attempts` gets an entry for every attempt to write."""

    def __init__(self, log: AccessLog, attempts: asyncio.Queue[int]) -> None:
        self.log = log
        self.attempts = attempts

    async def ask(
        self,
        *accesses: Access,
        by: Principal = PRINCIPALS["admin"],
        status: int = 200,
        path: str = "/api/settings",
        inner: Inner | None = None,
        sent: list[asgi.Message] | None = None,
        **state: Any,
    ) -> list[asgi.Message]:
        """The messages that a request is answered with, whose handler notes these accesses and shows the canary."""
        messages = [] if sent is None else sent

        async def handler(scope: asgi.Scope, send: asgi.Send) -> None:
            scope["state"]["accesses"].extend(accesses)
            await send({"type": "http.response.start", "status": status, "headers": [(b"etag", b'"v1"')]})
            await send({"type": "http.response.body", "body": CANARY, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
            del receive
            await (inner or handler)(scope, send)

        async def collect(message: asgi.Message) -> None:
            messages.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "user": by}
        scope["state"] = {"request_id": "r-1", "client": "192.0.2.7", **state}
        await asyncio.wait_for(noting_accesses(app, log=self.log)(scope, _nothing, collect), LIMIT)
        return messages

    async def attempt(self) -> int:
        """Wait for the next attempt to write: how many records were, 0 when it failed."""
        return await asyncio.wait_for(self.attempts.get(), LIMIT)


async def _nothing() -> asgi.Message:
    raise AssertionError("nothing more is sent")


def answered(messages: list[asgi.Message]) -> tuple[int, bytes]:
    """The status and body of a whole answer."""
    start, *rest = messages
    assert start["type"] == "http.response.start"
    return start["status"], b"".join(message["body"] for message in rest)


def watched(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[int]:
    """Hear of every attempt of an access log to write, once it is over: of how many records, 0 when none was."""
    attempts: asyncio.Queue[int] = asyncio.Queue()
    write = AccessLog._write

    async def writing(log: AccessLog, *arguments: Any) -> bool:
        before = log.written
        is_done = await write(log, *arguments)
        attempts.put_nowait(log.written - before)
        return is_done

    monkeypatch.setattr(AccessLog, "_write", writing)
    return attempts


@asynccontextmanager
async def listening(config: Config, *, clock: SteppableClock, attempts: asyncio.Queue[int]) -> AsyncIterator[Listening]:
    """The application, with its log open for the length of a block."""
    log = AccessLog(config=config, clock=clock, policy_version=lambda: "p" * 64)
    assert config.database_url is not None
    async with open_database(config.database_url, config=config) as database, log.writing(database):
        yield Listening(log, attempts)


async def accesses(db: Connection, tenant: str = "acme") -> list[dict[str, Any]]:
    """The records of accesses in a chain, which holds."""
    verdict = await verify(db, tenant)
    assert verdict.broken_at is None, verdict
    rows = await db.fetch("SELECT body FROM audit_record WHERE tenant = $1 ORDER BY sequence", tenant)
    return [body for row in rows if (body := json.loads(row["body"]))["outcome"] != "changed"]


@asynccontextmanager
async def not_to_be_written(db: Connection) -> AsyncIterator[None]:
    """Let the role that serves add no record."""
    await db.execute("REVOKE INSERT ON audit_record FROM setpoint_app")
    try:
        yield
    finally:
        await db.execute("GRANT INSERT ON audit_record TO setpoint_app")
