"""
The fast lane gives the same answers as the application behind it, byte for byte: status, header fields, body.

Thousands of random requests go down both lanes of one running node, between random changes of everything that decides
about them: values, definitions, the scope directory, revocations, and the time. The seed is printed, and chosen by
SETPOINT_SEED.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import httpx
import msgspec
import pytest

from app.domain.access import Principal
from app.domain.position import Position
from app.fast_lane.lane import FastLane
from app.fast_lane.prepared import Prepared, Ready
from tests.fast_lane.lanes import Answer, Asked, Header, both, same
from tests.fast_lane.requests import Requests
from tests.fixtures import running
from tests.world import PRINCIPALS, Api, match

pytestmark = pytest.mark.anyio

REQUESTS = 5_000
SEED = int(os.environ.get("SETPOINT_SEED", "20261124"))
# The same people as others know them, and people of another tenant who call themselves what people of acme are called.
MORE = [
    Principal(id="alice", tenant="globex", roles=("user",), territories=("DE",)),
    Principal(id="alice", roles=("user", "admin"), territories=("DE",)),
    Principal(id="alice", tenant="acme", roles=("user",), territories=("DE",), clearance=0),
    Principal(id="alice", tenant="acme", roles=("user",), territories=("DE",), scopes=("settings:read",), scoped=True),
    Principal(id="alice", tenant="acme", roles=("user",), territories=("DE",), scopes=("events:read",), scoped=True),
]
PLACES = [
    ("GLOBAL", None),
    ("TENANT", None),
    ("TERRITORY", "DE"),
    ("TERRITORY", "CH"),
    ("ACCOUNT", "adler"),
    ("USER", "alice"),
]
VALUES: dict[str, list[Any]] = {
    "ui.theme": ["light", "dark", "auto"],
    "limit.shown": [0, 1, 2],
    "limit.secret": [7, 8],
    "feature.enabled": [True, False],
    "notify.channels": [{"email": False}, {"sms": True}, {}],
    "notify.followups": [["P1D"], ["P2D", "P3D"], []],
    "any.thing": [None, {"ü": [1, {"x": None}]}, "", 0],
}


class World:
    """Changes what decides about answers, by chance."""

    def __init__(self, api: Api, chance: random.Random) -> None:
        self._api = api
        self._chance = chance
        self.tokens: list[bytes] = []
        self.keys: list[dict[str, Any]] = []
        self.made = 0

    async def credentials(self) -> None:
        """Tokens of everybody, and API keys."""
        self.tokens = [self._api.token(one).encode() for one in [*PRINCIPALS.values(), *MORE]]
        for name in ("one", "two", "three"):
            body = {"name": name, "roles": ["service"], "tenantId": "acme"}
            made = await self._api.root.post("/api/security/api-keys", json=body)
            assert made.status_code == 201, made.text
            self.keys.append(made.json())

    def usual(self) -> list[bytes]:
        """The credentials that most requests come with."""
        often = [self.tokens[one] for one in (2, 4, 4, 4, 5, 7, 8, 9)]
        return [*often, *often, *often, *self.tokens, *(key["secret"].encode() for key in self.keys)]

    def odd(self) -> list[list[Header]]:
        """Credentials that are none, no longer, or too many."""
        api = self._api
        old = api.token(PRINCIPALS["alice"], ttl=timedelta(seconds=-60)).encode()
        leeway = api.token(PRINCIPALS["alice"], ttl=timedelta(seconds=-10)).encode()
        good, other = self.tokens[4], self.tokens[5]
        return [
            [],
            [(b"authorization", b"")],
            [(b"authorization", b"Basic YTpi")],
            [(b"authorization", b"Bearer")],
            [(b"authorization", b"Bearer " + old)],
            [(b"authorization", b"Bearer " + leeway)],
            [(b"authorization", b"Bearer " + good[:-3])],
            [(b"authorization", b"Bearer " + good + b"\xe9")],
            [(b"authorization", b"Bearer sp_live_x")],
            [(b"authorization", b"Bearer " + b"x" * 9_000)],
            [(b"authorization", b"Bearer " + good), (b"x-api-key", good)],
            [(b"authorization", b"Bearer " + good), (b"x-api-key", other)],
            [(b"authorization", b"Bearer " + good), (b"authorization", b"Bearer " + good)],
            [(b"authorization", b"Bearer " + good), (b"authorization", b"Bearer " + other)],
            [(b"authorization", good)],
            [(b"x-api-key", b"Bearer " + good)],
            [(b"x-api-key", b" " + good + b" ")],
        ]

    async def change(self) -> None:
        """One change, which may come to nothing."""
        kind = self._chance.random()
        if kind < 0.65:
            await self._value()
        elif kind < 0.80:
            await self._entry()
        elif kind < 0.90:
            await self._definition()
        elif kind < 0.94:
            await self._revocation()
        else:
            self._api.clock.step(self._chance.choice([0.5, 61]))

    async def _value(self) -> None:
        root, chance = self._api.root, self._chance
        key, (scope, scope_id) = chance.choice(list(VALUES)), chance.choice(PLACES)
        place = {"scope": scope} | ({} if scope_id is None else {"scopeId": scope_id})
        there = await root.get("/api/settings", params={**place, "key": key})
        body = {"value": chance.choice(VALUES[key])}
        if there.status_code == 404:
            await self._done(root.post("/api/settings", json={**place, "key": key, **body}))
        elif chance.random() < 0.3:
            await self._done(root.delete(f"/api/settings/{there.json()['id']}", headers=match(there)))
        else:
            await self._done(root.put(f"/api/settings/{there.json()['id']}", json=body, headers=match(there)))

    async def _entry(self) -> None:
        path = f"/api/scopes/{self._chance.choice(['ACCOUNT/adler', 'USER/bob', 'ACCOUNT/bern'])}"
        body = {"territory": self._chance.choice(["DE", "CH"]), "owner": self._chance.choice(["alice", "carl"])}
        there = await self._api.root.get(path)
        await self._done(self._api.root.put(path, json=body, headers=match(there)))

    async def _definition(self) -> None:
        path = f"/api/definitions/{self._chance.choice(['ui.density', 'ui.theme', 'limit.shown'])}"
        there = await self._api.root.get(path)
        body = {name: value for name, value in there.json().items() if name in ("schema", "default", "levels")}
        body["sensitivity"] = self._chance.choice(["public", "internal", "confidential", "secret"])
        await self._done(self._api.root.put(path, json=body, headers=match(there)))

    async def _revocation(self) -> None:
        key = self._chance.choice(self.keys)
        there = await self._api.root.get(f"/api/security/api-keys/{key['id']}")
        await self._done(self._api.root.delete(f"/api/security/api-keys/{key['id']}", headers=match(there)))

    async def _done(self, call: Any) -> None:
        response: httpx.Response = await call
        assert response.status_code < 500, response.text
        self.made += response.is_success


async def differences(api: Api, *, requests: int, seed: int) -> list[tuple[Asked, Answer, Answer]]:
    """The requests that the two lanes answer differently."""
    lane, chance = cast(FastLane, api.app), random.Random(seed)
    world = World(api, chance)
    await world.credentials()
    asking = Requests(chance, usual=world.usual(), odd=world.odd())
    found = []
    for _ in range(requests):
        if chance.random() < 0.05:
            await world.change()
        asking.head = api.registry.hot.tailer.head
        asked = asking.next()
        fast, slow = await both(lane, asked)
        asking.learn(asked, slow.status, slow.header(b"etag"))
        if not same(fast, slow, asked):
            found.append((asked, fast, slow))
    assert world.made > requests / 50
    return found


async def test_both_lanes_give_the_same_answers(api: Api) -> None:
    lane, counters = cast(FastLane, api.app), api.registry.hot.counters
    handed = dict(lane.handed_on)
    print(f"seed {SEED}")

    found = await differences(api, requests=REQUESTS, seed=SEED)

    reasons = {name: count - handed.get(name, 0) for name, count in lane.handed_on.items()}
    print(f"of {REQUESTS}: {counters.lane} by the lane, {counters.lane_not_modified} of them 304; handed on: {reasons}")
    assert found == []
    assert counters.lane > REQUESTS * 0.25
    assert counters.lane_not_modified > REQUESTS * 0.05
    assert reasons.get("error", 0) == 0
    for reason in ("headers", "credential", "question", "refused", "secret", "nothing", "position"):
        assert reasons[reason] > 0


async def test_they_do_where_everything_has_to_be_fetched_first(api: Api) -> None:
    """A worker that keeps nothing in its process answers by way of Redis."""
    async with running(msgspec.structs.replace(api.config, l1_bytes=0), clock=api.clock) as one:
        found = await differences(one, requests=1_000, seed=SEED + 1)

        assert found == []
        handed = cast(FastLane, one.app).handed_on
        print(f"of 1000: {one.registry.hot.counters.answered_l2} reads by way of Redis; handed on: {handed}")
        assert sum(handed.values()) < 700
        assert handed.get("error", 0) == 0
        assert one.registry.hot.counters.answered_l2 > 200


def _never_moved(self: Ready, position: Position, at: Callable[..., None] = Ready.at) -> None:
    if self.position < 0:
        at(self, position)
    self.position = position


MUTATIONS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "the gate is not asked": (FastLane, "_cleared", lambda *_: 7),
    "what was prepared is taken to hold for ever": (Prepared, "holds", lambda *_: True),
    "an answer stays at the position it was first given at": (Ready, "at", _never_moved),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_a_lane_that_is_wrong_is_found_out(api: Api, monkeypatch: pytest.MonkeyPatch, mutation: str) -> None:
    monkeypatch.setattr(*MUTATIONS[mutation])

    assert len(await differences(api, requests=400, seed=SEED)) > 2
