"""
G11, the part of the cache: what is held is data, never a decision. A right that is gone is refused on the next request,
for 304 as well, on the worker that took the change; on another as soon as it can know.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.access.gate import Gate
from app.domain.access import SettingResource
from app.settings.effective import queries
from tests.guarantees.workers import another, counters
from tests.world import Api, make, match, position, problem

pytestmark = pytest.mark.anyio

ACCOUNT = {"accountId": "adler"}
QUESTIONS = [
    ("/api/settings/effective", ACCOUNT),
    ("/api/settings/resolve/ui.theme", ACCOUNT),
    ("/api/settings", {"scope": "ACCOUNT", "scopeId": "adler", "key": "ui.theme"}),
]


async def held(api: Api) -> list[httpx.Response]:
    """Bob's answers, from memory."""
    for _ in range(2):
        answers = [await api.bob.get(path, params=query) for path, query in QUESTIONS]
    assert [one.status_code for one in answers] == [200] * len(QUESTIONS)
    return answers


async def again(api: Api, before: list[httpx.Response]) -> list[int]:
    """What bob gets now: plainly, and with the tag of what he had."""
    asked = [
        (path, query, headers)
        for (path, query), had in zip(QUESTIONS, before, strict=True)
        for headers in ({}, {"If-None-Match": had.headers["ETag"]}, {"If-None-Match": "*"})
    ]
    return [(await api.bob.get(path, params=query, headers=headers)).status_code for path, query, headers in asked]


async def move_away(api: Api) -> httpx.Response:
    entry = await api.admin.get("/api/scopes/ACCOUNT/adler")
    body = {"territory": "CH", "owner": "carl"}
    return await api.admin.put("/api/scopes/ACCOUNT/adler", json=body, headers=match(entry))


async def test_a_move_takes_the_right_at_once(api: Api) -> None:
    await make(api.admin, "ui.theme", "dark", "ACCOUNT", "adler")
    before = await held(api)

    assert (await move_away(api)).is_success

    assert set(await again(api, before)) == {404}


async def test_a_move_takes_the_right_on_another_worker_as_soon_as_it_is_known(api: Api) -> None:
    await make(api.admin, "ui.theme", "dark", "ACCOUNT", "adler")
    async with another(api) as other:
        before = await held(other)

        moved = await move_away(api)
        headers = {"Setpoint-Min-Position": str(position(moved))}
        problem(await other.bob.get(QUESTIONS[0][0], params=ACCOUNT, headers=headers), 404)

        assert set(await again(other, before)) == {404}


async def test_a_definition_that_becomes_secret_is_gone_at_once(api: Api) -> None:
    await make(api.admin, "ui.theme", "dark", "ACCOUNT", "adler")
    before = await held(api)
    current = await api.platform.get("/api/definitions/ui.theme")
    body = {name: current.json()[name] for name in ("schema", "default", "levels")}

    changed = await api.platform.put(
        "/api/definitions/ui.theme", json={**body, "sensitivity": "secret"}, headers=match(current)
    )

    assert changed.status_code == 200
    assert set((await again(api, before))[3:]) == {404}
    assert "ui.theme" not in (await api.bob.get(QUESTIONS[0][0], params=ACCOUNT)).json()["values"]
    cleared = await api.admin.get(QUESTIONS[0][0], params=ACCOUNT)
    assert cleared.json()["values"]["ui.theme"] == "dark", "one who is cleared has another view of the same entries"


def deny_territory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another policy, from now on: nobody but admins at the account."""
    decides = Gate.decides

    def stricter(self: Gate, principal: Any, action: Any, resource: Any, circumstances: Any) -> bool:
        if isinstance(resource, SettingResource) and resource.scope_id == "adler" and "admin" not in principal.roles:
            return False
        return decides(self, principal, action, resource, circumstances)

    def stricter_of_all(self: Gate, principal: Any, action: Any, resources: Any, circumstances: Any) -> bool:
        return all(stricter(self, principal, action, resource, circumstances) for resource in resources)

    monkeypatch.setattr(Gate, "decides", stricter)
    monkeypatch.setattr(Gate, "decides_all", stricter_of_all)


async def test_a_policy_that_changes_decides_the_next_request(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await make(api.admin, "ui.theme", "dark", "ACCOUNT", "adler")
    before = await held(api)
    hits = counters(api).l1_hits

    deny_territory(monkeypatch)

    assert set(await again(api, before)) == {404}
    assert counters(api).l1_hits > hits, "what was refused was held"


async def test_the_check_finds_decisions_that_are_held(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was let in once is let in again, as long as the data stays."""
    await make(api.admin, "ui.theme", "dark", "ACCOUNT", "adler")
    admitted, allowed = queries.admitted, {}

    async def remembering(chain: Any, *, caller: Any, registry: Any) -> Any:
        key = (chain, caller.principal)
        if key not in allowed:
            allowed[key] = await admitted(chain, caller=caller, registry=registry)
        return allowed[key]

    monkeypatch.setattr(queries, "admitted", remembering)
    before = await held(api)
    monkeypatch.setattr(queries, "_cleared", lambda *_, **__: True)
    deny_territory(monkeypatch)

    assert 200 in await again(api, before)
