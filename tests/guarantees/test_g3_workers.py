"""G3 across workers and tiers: one state has one tag, whoever answers from wherever, and another state another."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from app.settings.cache.cache import Cache
from app.settings.cache.entry import View
from tests.guarantees.workers import another
from tests.world import DE_CONTEXT, Api, make, match, position

pytestmark = pytest.mark.anyio

VIEWS = [
    ("/api/settings/effective", DE_CONTEXT),
    ("/api/settings/effective", {**DE_CONTEXT, "prefix": "ui."}),
    ("/api/settings/effective", {**DE_CONTEXT, "keys": "ui.theme,ui.density", "explain": "true"}),
    ("/api/settings/resolve/ui.theme", DE_CONTEXT),
    ("/api/settings/resolve/ui.theme", {**DE_CONTEXT, "explain": "true"}),
    ("/api/settings", {"scope": "USER", "scopeId": "alice", "key": "ui.theme"}),
]


async def ask(api: Api, minimum: int) -> list[httpx.Response]:
    headers = {"Setpoint-Min-Position": str(minimum)}
    return [await api.alice.get(path, params=query, headers=headers) for path, query in VIEWS]


async def differences(api: Api) -> list[Any]:
    """Where workers differ on bytes or tags, or a tag came back without its bytes, over a few states."""
    found: list[Any] = []
    async with AsyncExitStack() as stack:
        workers = [api] + [
            await stack.enter_async_context(another(api, **configured))
            for configured in ({}, {"l1_bytes": 0}, {"l1_bytes": 0, "redis_url": None})
        ]
        made = await make(api.admin, "ui.theme", "dark", "USER", "alice")
        at, change = made["position"], made
        seen: dict[tuple[int, str], bytes] = {}
        states = []
        for value in ("auto", "dark", "light", "auto"):
            response = await api.admin.put(f"/api/settings/{made['id']}", json={"value": value}, headers=match(change))
            at, change = position(response), response.json()
            answers = [await ask(worker, at) for worker in workers for _ in range(2)]
            for index in range(len(VIEWS)):
                if len({(one[index].headers["ETag"], one[index].content) for one in answers}) != 1:
                    found.append(("workers differ", index, value))
                tag, body = answers[0][index].headers["ETag"], answers[0][index].content
                if seen.setdefault((index, tag), body) != body:
                    found.append(("one tag, other bytes", index, value))
            states.append([one.headers["ETag"] for one in answers[0]])
        # What changed and came back has its tag back, but for the tags that mark changes.
        found += [("did not come back", index) for index in range(4) if states[0][index] != states[3][index]]
        found += [("did not change", index) for index in range(len(VIEWS)) if states[0][index] == states[1][index]]
    return found


async def test_every_worker_gives_one_state_the_same_tag(api: Api) -> None:
    assert await differences(api) == []


async def test_the_check_finds_views_that_outlive_their_entries(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared bytes that are not held against what they were made of."""
    view = Cache.view

    def lasting(self: Cache, key: Any, moment: Any, build: Any) -> View:
        held: View | None = self.local.get(key)
        return held if held is not None else view(self, key, moment, build)

    monkeypatch.setattr(Cache, "view", lasting)

    assert await differences(api) != []


async def test_a_tenant_s_tags_are_its_own(api: Api) -> None:
    """The same bytes of one view for callers of two tenants have two tags, from the cache as well."""
    for _ in range(2):
        own = await api.admin.get("/api/settings/effective", params={"tenantId": "acme"})
        foreign = await api.platform.get("/api/settings/effective", params={"tenantId": "acme"})
        assert own.content == foreign.content
        assert own.headers["ETag"] != foreign.headers["ETag"]
