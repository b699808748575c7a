"""
G11: decisions are live. A change is judged by the rights of its own place in the log, not of a moment before; and a
right that is gone is refused on the next request, when all the caller wants to know is whether its copy is still good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.access.authentication import LEEWAY_SECONDS
from app.settings.directory import store as directory_store
from tests.world import TOKEN_LIFE, Api, make, match, position

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("how", ["move", "forget"])
async def test_no_change_is_made_after_the_move_that_took_the_right_to_it(
    api: Api, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Alice's account is moved away while she writes there, after it was looked up whose it is."""
    entry = await api.admin.get("/api/scopes/ACCOUNT/adler")
    moves: list[asyncio.Task[httpx.Response]] = []

    async def move() -> httpx.Response:
        if how == "forget":
            return await api.admin.delete("/api/scopes/ACCOUNT/adler", headers=match(entry))
        body = {"territory": "CH", "owner": "carl"}
        return await api.admin.put("/api/scopes/ACCOUNT/adler", json=body, headers=match(entry))

    def meanwhile(look: Any) -> Any:
        async def looked(*arguments: Any) -> Any:
            facts = await look(*arguments)
            if not moves:
                moves.append(asyncio.create_task(move()))
                await asyncio.wait(moves, timeout=0.2)  # it either gets through now, or has to wait for us
            return facts

        return looked

    for name in ("facts_at", "lock_facts"):
        if hasattr(directory_store, name):
            monkeypatch.setattr(directory_store, name, meanwhile(getattr(directory_store, name)))
    body = {"scope": "ACCOUNT", "scopeId": "adler", "key": "ui.theme", "value": "dark"}
    written = await api.alice.post("/api/settings", json=body)

    [moved] = await asyncio.gather(*moves)
    assert moved.is_success
    assert written.status_code == 404 or position(written) < position(moved)
    assert (await api.alice.post("/api/settings", json=body)).status_code == 404


async def _take_the_account(api: Api) -> None:
    entry = await api.admin.get("/api/scopes/ACCOUNT/adler")
    body = {"territory": "CH", "owner": "carl"}
    assert (await api.admin.put("/api/scopes/ACCOUNT/adler", json=body, headers=match(entry))).is_success


async def _revoke_the_credential(api: Api) -> None:
    api.clock.step(5)
    body = {"tenantId": "acme", "subject": "alice"}
    assert (await api.admin.post("/api/security/revocations", json=body)).is_success


async def _let_the_credential_expire(api: Api) -> None:
    api.clock.step(TOKEN_LIFE.total_seconds() + LEEWAY_SECONDS)


async def _change_the_rules(api: Api) -> None:
    api.registry.gate.policy = Nobody()  # type: ignore[assignment]


class Nobody:
    """A policy by which nobody may do anything."""

    version = "nobody"

    def allows(self, *_: object) -> bool:
        return False

    allows_all = allows


@pytest.mark.parametrize(
    ("take", "status"),
    [
        (_take_the_account, 404),
        (_revoke_the_credential, 401),
        (_let_the_credential_expire, 401),
        (_change_the_rules, 404),
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        "/api/settings/resolve/ui.theme?accountId=adler",
        "/api/settings/effective?accountId=adler",
        "/api/settings?scope=ACCOUNT&scopeId=adler&key=ui.theme",
    ],
)
async def test_a_right_that_is_gone_is_refused_on_the_next_request_on_304_as_well(
    api: Api, path: str, take: Callable[[Api], Awaitable[None]], status: int
) -> None:
    """By the fast lane too, which has prepared the very answer that it must not give any more."""
    policy, counters = api.registry.gate.policy, api.registry.hot.counters
    await make(api.admin, "ui.theme", "dark", "ACCOUNT", "adler")
    tag = {"If-None-Match": (await api.alice.get(path)).headers["ETag"]}
    assert [(await api.alice.get(path, headers=tag)).status_code for _ in range(2)] == [304, 304]
    assert counters.lane_not_modified > 0

    await take(api)
    try:
        refused = await api.alice.get(path, headers=tag)
    finally:
        api.registry.gate.policy = policy

    assert refused.status_code == status
    assert "ETag" not in refused.headers
