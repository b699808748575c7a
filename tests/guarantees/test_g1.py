"""
G1: a right answer or none. A read gives exactly what the registry held at the position that it names.

A writer makes random changes, several values at several scopes at a time, and notes what should hold at each position.
Readers note what they got at which position. Nobody may have seen anything else.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx
import pytest

from app.domain.combination import MergeStrategy, combine
from app.settings.directory import store as directory_store
from tests.guarantees import naive
from tests.world import DE_CONTEXT, DEFINITIONS, LEVELS, Api, make, match, position

pytestmark = pytest.mark.anyio

READS = 2_000
STATES = 150  # how many different states the readers have to meet
LIMIT = 20_000  # reads after which the writer has had every chance
SEED = 20261123
CHAIN = {
    "GLOBAL": None,
    "TENANT": "acme",
    "TERRITORY": "DE",
    "ACCOUNT": "adler",
    "USER": "alice",
}
# What a value looks like that was made of a number; no two numbers give one value.
SHAPES: dict[str, Any] = {
    "any.thing": lambda number: number,
    "notify.channels": lambda number: {f"c{number}": True},
    "notify.followups": lambda number: [f"P{number}D"],
}


class Model:
    """What is set, and what should therefore hold at each position."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], Any] = {}
        self.defaults = {key: DEFINITIONS[key]["default"] for key in SHAPES}
        self.held: dict[int, list[dict[str, Any]]] = {}

    def note(self, at: int) -> None:
        """This is what holds from this position on, for alice in her context and for everybody in globex."""
        self.held[at] = [{key: self._holds(key, levels) for key in SHAPES} for levels in (tuple(CHAIN), ("GLOBAL",))]

    def _holds(self, key: str, levels: tuple[str, ...]) -> Any:
        said = [self.values[level, key] for level in levels if (level, key) in self.values]
        strategy = MergeStrategy(DEFINITIONS[key].get("mergeStrategy", "replace"))
        return combine(strategy, [self.defaults[key], *said])


async def write_until(done: asyncio.Event, api: Api, model: Model, rng: random.Random) -> None:
    """Change values together, and now and then a default, and note what then holds."""
    number = 0
    while not done.is_set():
        number += 1
        response = await (_change_default if rng.random() < 0.2 else _change_values)(api, model, rng, number)
        assert response.status_code == 200, response.text
        model.note(position(response))


async def _change_values(api: Api, model: Model, rng: random.Random, number: int) -> httpx.Response:
    places = rng.sample([(level, key) for level in CHAIN for key in SHAPES], k=rng.randint(2, 8))
    operations = []
    for level, key in places:
        where = {"scope": level, "key": key, **({} if CHAIN[level] is None else {"scopeId": CHAIN[level]})}
        known = {"ifMatch": "*"} if (level, key) in model.values else {}
        if known and rng.random() < 0.3:
            operations.append({"op": "unset", **where, **known})
            del model.values[level, key]
        else:
            model.values[level, key] = SHAPES[key](number)
            operations.append({"op": "set", **where, **known, "value": model.values[level, key]})
    return await api.root.post("/api/settings/batch", json={"operations": operations})


async def _change_default(api: Api, model: Model, rng: random.Random, number: int) -> httpx.Response:
    key = rng.choice(list(SHAPES))
    model.defaults[key] = SHAPES[key](number)
    path = f"/api/definitions/{key}"
    body = {"levels": LEVELS, **DEFINITIONS[key], "default": model.defaults[key]}
    return await api.root.put(path, json=body, headers=match(await api.root.get(path)))


async def mistakes(api: Api, *, reads: int, states: int) -> list[Any]:
    """What readers saw that never held, after so many reads that met so many states."""
    model, rng = Model(), random.Random(SEED)
    print("seed", SEED)
    model.note(position(await api.alice.get("/api/settings/effective")))
    seen: list[tuple[int, int, dict[str, Any]]] = []  # position, whose view, what
    met: set[int] = set()
    done = asyncio.Event()
    everything = {"keys": ",".join(SHAPES)}

    async def read_all(client: httpx.AsyncClient, whose: int, context: dict[str, str]) -> None:
        response = await client.get("/api/settings/effective", params=context | everything)
        note(response, whose, response.json()["values"])

    async def read_one() -> None:
        key = rng.choice(list(SHAPES))
        response = await api.alice.get(f"/api/settings/resolve/{key}", params=DE_CONTEXT)
        note(response, 0, {key: response.json()["value"]})

    def note(response: httpx.Response, whose: int, found: dict[str, Any]) -> None:
        seen.append((position(response), whose, found))
        met.add(position(response))
        if (len(seen) >= reads and len(met) >= states) or len(seen) >= LIMIT:
            done.set()

    async def repeat(read: Any, *arguments: Any) -> None:
        while not done.is_set():
            await read(*arguments)
            await asyncio.sleep(0.002)  # a read from memory waits for nothing, and would let no writer go on

    async with asyncio.TaskGroup() as group:
        group.create_task(write_until(done, api, model, rng))
        group.create_task(repeat(read_all, api.globex, 1, {}))
        group.create_task(repeat(read_one))
        for _ in range(2):
            group.create_task(repeat(read_all, api.alice, 0, DE_CONTEXT))
    assert len(met) >= states, "the readers were too slow to meet the writer"
    print(len(seen), "reads met", len(met), "states")
    return [
        (at, whose, found)
        for at, whose, found in seen
        if at not in model.held or any(model.held[at][whose][key] != value for key, value in found.items())
    ]


async def test_no_read_ever_sees_what_never_held(api: Api) -> None:
    assert await mistakes(api, reads=READS, states=STATES) == []


@pytest.mark.parametrize("variant", [naive.head_after_rows, naive.never_checked], ids=lambda one: one.__name__)
async def test_the_check_finds_entries_of_different_moments(
    api: Api, monkeypatch: pytest.MonkeyPatch, variant: Any
) -> None:
    variant(monkeypatch)

    assert await mistakes(api, reads=1_000, states=20) != []


async def test_a_list_is_judged_by_the_facts_of_its_own_moment(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account is moved, and something is set there, after it was looked up where it lies and before the values."""
    where = {"scope": "ACCOUNT", "scopeId": "adler"}
    facts_at = directory_store.facts_at

    async def and_then_moved(*arguments: Any) -> Any:
        facts = await facts_at(*arguments)
        monkeypatch.undo()
        entry = await api.admin.get("/api/scopes/ACCOUNT/adler")
        moved = await api.admin.put("/api/scopes/ACCOUNT/adler", json={"territory": "CH"}, headers=match(entry))
        assert moved.status_code == 200
        await make(api.admin, "ui.theme", "dark", "ACCOUNT", "adler")
        return facts

    monkeypatch.setattr(directory_store, "facts_at", and_then_moved)
    response = await api.bob.get("/api/settings/list", params=where)

    assert response.status_code == 404 or response.json()["items"] == []


async def test_a_page_of_the_directory_is_read_by_one_statement(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few of many entries the caller may see: what is read in parts may be of two moments."""
    entries = directory_store.entries
    calls = []

    async def counted(*arguments: Any, **more: Any) -> Any:
        calls.append(more["limit"])
        return await entries(*arguments, **more)

    for number in range(40):
        await api.admin.put(f"/api/scopes/ACCOUNT/x{number}", json={"territory": "CH"}, headers={"If-None-Match": "*"})
    monkeypatch.setattr(directory_store, "entries", counted)

    page = (await api.alice.get("/api/scopes", params={"limit": 5})).json()

    assert len(page["items"]) == 5
    assert not [item for item in page["items"] if item["scopeId"].startswith("x")]
    assert calls == [6]
