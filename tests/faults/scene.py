"""
What is read and written in a run: keys, scopes, who writes where, and what there is to look at.

Each cell has one writer, so that nobody's write depends on another's. Two writers of a tenant share its scopes and
have half of the keys each; one more writes for everybody. Views show all keys, half of them, or one.
"""

from __future__ import annotations

from urllib.parse import urlencode

import httpx
import msgspec

from tests.faults.history import Cell, View
from tests.world import CREATE, LEVELS

TENANTS = ("acme", "globex")  # of tests/world.py
TERRITORIES = ("DE", "CH")
USERS = ("uma", "udo", "ute")
KEYS = ("fault.a", "fault.b", "fault.c", "fault.d", "fault.e", "fault.f")
HALVES = (KEYS[:3], KEYS[3:])
DEFAULT = "nothing set"


class Seen(msgspec.Struct, frozen=True):
    """A view, and how a client asks for it."""

    view: View
    tenant: str
    path: str

    @property
    def resolves(self) -> bool:
        """Whether the answer is one key's, with its origin."""
        return "/resolve/" in self.path


class Writer(msgspec.Struct, frozen=True):
    """Who writes to which cells; `tenant` is None for what is everybody's."""

    tenant: str | None
    scopes: tuple[str, ...]
    keys: tuple[str, ...]

    def has(self, cell: Cell) -> bool:
        """Whether a cell is this writer's."""
        return cell.scope in self.scopes and cell.key in self.keys


def _seen(tenant: str, territory: str, user: str | None) -> list[Seen]:
    context = {"territory": territory} | ({} if user is None else {"userId": user})
    scopes = ("GLOBAL", f"TENANT/{tenant}", f"TERRITORY/{tenant}/{territory}")
    scopes += () if user is None else (f"USER/{tenant}/{user}",)
    one = KEYS[len(f"{tenant}{territory}{user}") % len(KEYS)]
    half = HALVES[len(f"{territory}{user}") % 2]
    asked = [
        (KEYS, "/api/settings/effective", {"prefix": "fault."}),
        (half, "/api/settings/effective", {"keys": ",".join(half)}),
        ((one,), f"/api/settings/resolve/{one}", {}),
    ]
    return [
        Seen(View(f"{path}?{urlencode(context | more)}", scopes, keys), tenant, f"{path}?{urlencode(context | more)}")
        for keys, path, more in asked
    ]


SCENE = [
    seen
    for user in (*USERS, None)
    for territory in TERRITORIES
    for tenant in TENANTS
    for seen in _seen(tenant, territory, user)
]


def _scopes_below(tenant: str) -> tuple[str, ...]:
    places = [f"TENANT/{tenant}", *(f"TERRITORY/{tenant}/{one}" for one in TERRITORIES)]
    return (*places, *(f"USER/{tenant}/{one}" for one in USERS))


WRITERS = [
    *(Writer(tenant, _scopes_below(tenant), half) for tenant in TENANTS for half in HALVES),
    Writer(None, ("GLOBAL",), KEYS),
]


def token(number: int, scope: str) -> str:
    """The value that a write puts into a cell of a scope: it says where it came from."""
    return f"{number} at {scope}"


def values_of(seen: Seen, body: bytes) -> tuple[str, ...]:
    """What an answer shows, key by key. An origin that is not where the value is from makes it a value of nobody's."""
    document = msgspec.json.decode(body)
    if not seen.resolves:
        return tuple(document["values"].get(key, "left out") for key in seen.view.keys)
    value, level, scope_id = document["value"], document["scope"], document["scopeId"]
    whose = [] if level in ("GLOBAL", "DEFAULT") else [seen.tenant] if level == "TENANT" else [seen.tenant, scope_id]
    path = "/".join([level, *whose])
    truly = value == DEFAULT if level == "DEFAULT" else value.endswith(f" at {path}")
    return (value if truly else f"{value}, said to be from {path}",)


async def set_the_scene(platform: httpx.AsyncClient) -> None:
    """Make tenants and definitions, unless they are there."""
    for tenant in TENANTS:
        response = await platform.put(f"/api/tenants/{tenant}", json={}, headers=CREATE)
        assert response.status_code in (201, 412), response.text
    for key in KEYS:
        body = {"schema": {"type": "string"}, "default": DEFAULT, "levels": LEVELS}
        response = await platform.put(f"/api/definitions/{key}", json=body, headers=CREATE)
        assert response.status_code == 201, response.text
