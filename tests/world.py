"""The small world that tests over HTTP live in: two tenants, a dozen keys, a directory, and who is who."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from app.access.local_key import ensure_local_key, sign
from app.config import Config
from app.domain.access import Principal
from app.domain.definition import Sensitivity
from app.kit import asgi
from app.settings.registry import Registry

START = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
TOKEN_LIFE = timedelta(days=1)
LEVELS = ["GLOBAL", "TENANT", "TERRITORY", "ACCOUNT", "CONTACT_ROLE", "CONTACT", "USER"]
SECRET = Sensitivity.SECRET.rank
CONFIDENTIAL = Sensitivity.CONFIDENTIAL.rank

PRINCIPALS = {
    "platform": Principal(id="paula", roles=("platform_admin",), clearance=SECRET),
    "root": Principal(id="rita", tenant="acme", roles=("admin", "platform_admin"), clearance=SECRET),
    "admin": Principal(id="anna", tenant="acme", roles=("admin",), clearance=SECRET),
    "clerk": Principal(id="clara", tenant="acme", roles=("admin",)),  # an admin who is cleared for little
    "alice": Principal(id="alice", tenant="acme", roles=("user",), territories=("DE",)),
    "bob": Principal(id="bob", tenant="acme", roles=("user",), territories=("DE",)),
    "carl": Principal(id="carl", tenant="acme", roles=("user",), territories=("CH",)),
    "manager": Principal(id="maria", tenant="acme", roles=("manager",), territories=("DE",), clearance=CONFIDENTIAL),
    "auditor": Principal(id="otto", tenant="acme", roles=("auditor",), clearance=SECRET),
    "service": Principal(id="shop", kind="service", tenant="acme", roles=("service",)),
    "globex": Principal(id="gina", tenant="globex", roles=("admin",), clearance=SECRET),
    "nobody": Principal(id="nemo", tenant="acme"),  # known, and allowed nothing
}

OBJECT = {"type": "object", "additionalProperties": {"type": "boolean"}}
STRINGS = {"type": "array", "items": {"type": "string", "pattern": "^P"}}
DEFINITIONS: dict[str, dict[str, Any]] = {
    "any.thing": {"schema": True, "default": None},
    "feature.enabled": {"schema": {"type": "boolean"}, "default": True},
    "limit.secret": {"schema": {"type": "integer"}, "default": 0, "sensitivity": "secret"},
    "limit.shown": {"schema": {"type": "integer", "minimum": 0}, "default": 10, "sensitivity": "public"},
    "notify.channels": {"schema": OBJECT, "default": {"email": True}, "mergeStrategy": "merge"},
    "notify.followups": {"schema": STRINGS, "default": ["P3D"], "mergeStrategy": "append"},
    "tenant.only": {"schema": {"type": "string"}, "default": "", "levels": ["TENANT"]},
    "ui.density": {"schema": {"type": "integer"}, "default": 1},
    "ui.theme": {"schema": {"enum": ["light", "dark", "auto"]}, "default": "light"},
}
SCOPES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("acme", "TERRITORY", "DE", {}),
    ("acme", "TERRITORY", "CH", {}),
    ("acme", "ACCOUNT", "adler", {"territory": "DE", "owner": "alice"}),
    ("acme", "ACCOUNT", "bern", {"territory": "CH", "owner": "carl"}),
    ("acme", "CONTACT_ROLE", "BUYER", {"territory": "DE"}),
    ("acme", "CONTACT", "kern", {"territory": "DE"}),
    ("acme", "USER", "alice", {"territory": "DE"}),
    ("acme", "USER", "bob", {"territory": "DE"}),
    ("acme", "USER", "carl", {"territory": "CH"}),
    ("globex", "TERRITORY", "US", {}),
    ("globex", "ACCOUNT", "initech", {"territory": "US", "owner": "gina"}),
]
DE_CONTEXT = {
    "territory": "DE",
    "accountId": "adler",
    "contactRole": "BUYER",
    "contactId": "kern",
    "userId": "alice",
}
CREATE = {"If-None-Match": "*"}
COUNTING = ("x-request-id", "ratelimit")  # headers that differ between any two requests, whatever they ask for


class SteppableClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def ticks(self) -> int:
        return int(self.now.timestamp()) * 1_000_000_000 + self.now.microsecond * 1_000

    def step(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Api:
    """The application as each principal of the world sees it: `api.alice.get(…)` is an httpx client's."""

    registry: Registry  # what no client sees; there once the application runs
    platform: httpx.AsyncClient
    root: httpx.AsyncClient
    admin: httpx.AsyncClient
    clerk: httpx.AsyncClient
    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    carl: httpx.AsyncClient
    manager: httpx.AsyncClient
    auditor: httpx.AsyncClient
    service: httpx.AsyncClient
    globex: httpx.AsyncClient
    nobody: httpx.AsyncClient
    anonymous: httpx.AsyncClient

    def __init__(
        self, app: asgi.App, *, config: Config, clock: SteppableClock, registry: Registry | None = None
    ) -> None:
        self.app = app
        if registry is not None:
            self.registry = registry
        self.config = config
        self.clock = clock
        for name, principal in PRINCIPALS.items():
            setattr(self, name, self.of(principal))
        self.anonymous = client_of(app)

    def of(self, principal: Principal) -> httpx.AsyncClient:
        """A client with a token of this principal."""
        return client_of(self.app, token=self.token(principal))

    def token(self, principal: Principal, *, ttl: timedelta = TOKEN_LIFE) -> str:
        """A token that our own development key signed."""
        return sign(ensure_local_key(self.config.data_path), principal, now=self.clock(), ttl=ttl)


def client_of(app: asgi.App, *, token: str | None = None) -> httpx.AsyncClient:
    """A client in this process; what escapes the application fails the test."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://setpoint.test", headers=headers, trust_env=False)


async def settle(platform: httpx.AsyncClient) -> None:
    """Make the world, as an administrator would."""
    for tenant in ("acme", "globex"):
        _made(await platform.put(f"/api/tenants/{tenant}", json={}, headers=CREATE))
    for key, body in DEFINITIONS.items():
        _made(await platform.put(f"/api/definitions/{key}", json={"levels": LEVELS, **body}, headers=CREATE))
    for tenant, level, scope_id, body in SCOPES:
        path = f"/api/scopes/{level}/{scope_id}"
        _made(await platform.put(path, params={"tenantId": tenant}, json=body, headers=CREATE))


def place(scope: str, scope_id: str | None = None, *, tenant: str | None = None) -> dict[str, str]:
    """The members that name a scope, in bodies as in queries."""
    members = {"scope": scope, "scopeId": scope_id, "tenantId": tenant}
    return {name: value for name, value in members.items() if value is not None}


async def make(
    client: httpx.AsyncClient, key: str, value: Any, scope: str = "TENANT", scope_id: str | None = None, **more: Any
) -> dict[str, Any]:
    """Set a value where none is, and give it as answered."""
    body = {"key": key, "value": value, **place(scope, scope_id), **more}
    return _made(await client.post("/api/settings", json=body))


def _made(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def match(tag: dict[str, Any] | httpx.Response | str) -> dict[str, str]:
    """The header that bases a change on what was answered."""
    if isinstance(tag, httpx.Response):
        tag = tag.headers["ETag"]
    return {"If-Match": tag if isinstance(tag, str) else tag["etag"]}


def problem(response: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem that was answered, once it is the expected one and well formed."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["type"] == f"urn:setpoint:problem:{document['code']}"
    assert document["title"]
    assert document["detail"]
    assert document["instance"].startswith("/")
    if code is not None:
        assert document["code"] == code, document
    return document


def pointers(response: httpx.Response, status: int = 422) -> list[str]:
    """Where the problem points to."""
    return [error["pointer"] for error in problem(response, status)["errors"]]


def position(response: httpx.Response) -> int:
    """Where the registry stood."""
    return int(response.headers["Setpoint-Position"])
