"""G11, the part that stands: a change is judged by the rights of its own place in the log, not of a moment before."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from app.settings.directory import store as directory_store
from tests.world import Api, match, position

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
