"""
G3: a true ETag. The tag of a view changes exactly when its bytes do.

Random writes, most of which change some views and leave others alone. After each, every view is asked for with the tag
that it had: 304 must mean the very bytes of before, 200 other bytes and another tag. And over the whole run one tag
means one sequence of bytes, and one sequence of bytes one tag.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.world import CREATE, DE_CONTEXT, DEFINITIONS, LEVELS, Api, make, match, place

pytestmark = pytest.mark.anyio

WRITES = 120
SEED = 3
EFFECTIVE = "/api/settings/effective"
VIEWS = [
    ("alice", EFFECTIVE, DE_CONTEXT),
    ("alice", EFFECTIVE, {"explain": "true", "prefix": "ui."}),
    ("alice", "/api/settings/resolve/notify.channels", DE_CONTEXT),
    ("admin", "/api/settings/resolve/ui.density", {**DE_CONTEXT, "explain": "true"}),
    ("service", "/api/settings/resolve/notify.followups", {**DE_CONTEXT, "explain": "true"}),
    ("admin", EFFECTIVE, {"territory": "CH"}),
    ("globex", EFFECTIVE, {"territory": "US"}),
    ("admin", "/api/settings/list", {"scope": "TENANT"}),
    ("alice", "/api/scopes", {}),
    ("alice", "/api/definitions", {"prefix": "ui."}),
]
PLACES = [
    place("GLOBAL"),
    place("TENANT", tenant="acme"),
    place("TERRITORY", "DE", tenant="acme"),
    place("TERRITORY", "CH", tenant="acme"),
    place("USER", "alice", tenant="acme"),
    place("TENANT", tenant="globex"),
]
# Few values, so that what was there returns.
VALUES: dict[str, list[Any]] = {
    "any.thing": [0, False, "", None],
    "limit.secret": [1, 2],
    "notify.channels": [{}, {"sms": True}, {"sms": False}],
    "notify.followups": [[], ["P3D"], ["P1D", "P3D"]],
    "ui.density": [0, 1, 2],
}


async def write(api: Api, rng: random.Random) -> str:
    """Change something, and say whose it was: a tenant's name, or `all`."""
    if rng.random() < 0.15:
        key = rng.choice(["ui.density", "ui.theme"])
        path = f"/api/definitions/{key}"
        draft = {"levels": LEVELS, **DEFINITIONS[key], "title": rng.choice(["a", "b"])}
        response = await api.platform.put(path, json=draft, headers=match(await api.platform.get(path)))
        assert response.status_code == 200
        return "all"
    where, key = rng.choice(PLACES), rng.choice(list(VALUES))
    found = await api.platform.get("/api/settings", params={**where, "key": key})
    if found.status_code == 404:
        body = {**where, "key": key, "value": rng.choice(VALUES[key])}
        response = await api.platform.post("/api/settings", json=body)
    elif rng.random() < 0.4:
        response = await api.platform.delete(f"/api/settings/{found.json()['id']}", headers=match(found))
    else:
        path = f"/api/settings/{found.json()['id']}"
        response = await api.platform.put(path, json={"value": rng.choice(VALUES[key])}, headers=match(found))
    assert response.is_success, response.text
    return where.get("tenantId", "all")


async def lies(api: Api, *, writes: int) -> list[str]:
    """Everything that was untrue about a tag."""
    rng = random.Random(SEED)
    print("seed", SEED)
    found: list[str] = []
    last: dict[int, httpx.Response] = {}
    bytes_of: dict[tuple[int, str], bytes] = {}
    tag_of: dict[tuple[int, bytes], str] = {}
    for number in range(writes):
        whose = await write(api, rng) if number else "all"
        for index, (who, path, query) in enumerate(VIEWS):
            client = getattr(api, who)
            full = await client.get(path, params=query)
            tag = full.headers["ETag"]
            if bytes_of.setdefault((index, tag), full.content) != full.content:
                found.append(f"view {index} after write {number}: one tag for different bytes")
            if tag_of.setdefault((index, full.content), tag) != tag:
                found.append(f"view {index} after write {number}: another tag for the same bytes")
            if index in last:
                before = last[index]
                again = await client.get(path, params=query, headers={"If-None-Match": before.headers["ETag"]})
                if (again.status_code == 304) != (before.content == full.content):
                    found.append(f"view {index} after write {number}: {again.status_code} is untrue")
                if whose not in ("all", "globex" if who == "globex" else "acme") and tag != before.headers["ETag"]:
                    found.append(f"view {index} after write {number}: a tag changed by {whose}")
            last[index] = full
    print(len(tag_of), "different views")
    assert writes / 2 < len(tag_of) < writes * len(VIEWS) / 2, "too little changed, or too little returned"
    return found


async def test_a_tag_changes_exactly_when_the_bytes_do(api: Api) -> None:
    assert await lies(api, writes=WRITES) == []


def _by_length(body: bytes, *, salt: str) -> str:
    return f'"{len(body)}{salt}"'


def _by_time() -> Callable[..., str]:
    numbers = iter(range(10**9))
    return lambda body, *, salt: f'"{next(numbers)}{salt}{len(body)}"'


@pytest.mark.parametrize("naive", [_by_length, _by_time()], ids=["by length", "by time"])
async def test_the_check_finds_tags_that_are_not_of_the_content(
    api: Api, monkeypatch: pytest.MonkeyPatch, naive: Any
) -> None:
    for module in ("app.kit.http", "app.settings.effective.http"):
        monkeypatch.setattr(f"{module}.view_tag", naive)

    assert await lies(api, writes=25) != []


async def test_a_definition_that_comes_back_brings_its_tag_back(api: Api) -> None:
    """A to B to A, over the life and death of a key."""
    query = {"prefix": "new."}
    nothing = await api.alice.get(EFFECTIVE, params=query)
    body = {"schema": True, "default": 1, "levels": ["TENANT"]}
    for _ in range(2):
        made = await api.platform.put("/api/definitions/new.key", json=body, headers=CREATE)
        value = await make(api.admin, "new.key", 2)
        assert (await api.alice.get(EFFECTIVE, params=query)).headers["ETag"] != nothing.headers["ETag"]
        await api.admin.delete(f"/api/settings/{value['id']}", headers=match(value))
        await api.platform.delete("/api/definitions/new.key", headers=match(made))
        assert (await api.alice.get(EFFECTIVE, params=query)).headers["ETag"] == nothing.headers["ETag"]
