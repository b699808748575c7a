"""
Hostile requests at the edge, by the ids of the abuse catalogue: A11, A12, A16, A29, A30, A43 in process, over the real
database. A39 and A40, which need sockets or Redis, are in test_abuse_time.py and test_abuse_limits.py. What a body or
a path can do is in test_abuse.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from app.access import http as access_http
from app.kit.database import Database, DatabaseUnavailable
from app.kit.edge import HSTS, SECURITY_HEADERS
from tests.fixtures import running
from tests.world import PRINCIPALS, Api, SteppableClock, make, problem

pytestmark = pytest.mark.anyio

ID = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def strict(api: Api, clock: SteppableClock) -> AsyncIterator[Api]:
    """An application that answers to one name, behind one proxy: the address that these clients send from."""
    config = msgspec.structs.replace(
        api.config, allowed_hosts="setpoint.test,*.setpoint.test", trusted_proxies="127.0.0.1/32"
    )
    async with running(config, clock=clock) as other:
        yield other


def at(api: Api, address: str) -> httpx.AsyncClient:
    """The admin, asking from this address."""
    transport = httpx.ASGITransport(app=api.app, client=(address, 1))  # type: ignore[arg-type]
    return httpx.AsyncClient(
        transport=transport, base_url="http://setpoint.test", headers=api.admin.headers, trust_env=False
    )


def operations(openapi: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Method, a path, and whether it is open, of all that the document knows."""
    return [
        (
            method.upper(),
            path.format(
                setting_id=ID,
                key="ui.theme",
                level="USER",
                scope_id="x",
                tenant_id="acme",
                key_id="k",
                revocation_id=ID,
            ),
            operation.get("security") == [],
        )
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]


# ---- A11: every call, without a credential that counts ----

OVERRIDES = {
    "X-HTTP-Method-Override": "GET",
    "X-HTTP-Method": "GET",
    "X-Method-Override": "GET",
    "X-Original-URL": "/api/health",
    "X-Rewrite-URL": "/api/health",
    "X-Forwarded-User": "anna",
    "X-Remote-User": "anna",
    "Cookie": "token=x; session=anna",
}


@pytest.mark.parametrize("credential", [None, "garbage", "expired"])
async def test_a11_nothing_is_told_without_a_credential_that_counts(
    api: Api, openapi: dict[str, Any], credential: str | None
) -> None:
    headers = dict(OVERRIDES)
    if credential is not None:
        token = api.token(PRINCIPALS["admin"]) if credential == "expired" else credential
        headers["Authorization"] = f"Bearer {token}"
    api.clock.step(2 * 86_400)
    found = operations(openapi)
    assert len(found) > 20

    for method, path, is_open in found:
        for asked in (method, "HEAD", "OPTIONS", "TRACE", "CONNECT", "PATCH", "ANYTHING"):
            if is_open:
                continue
            response = await api.anonymous.request(asked, path, headers=headers)
            assert response.status_code == 401, (asked, path)
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert "allow" not in response.headers
            assert "etag" not in response.headers
            assert "setpoint-position" not in response.headers
            assert (asked == "HEAD") is (response.content == b"")


async def test_a11_a_method_that_is_none_of_the_paths_is_refused_whatever_headers_say(
    api: Api, openapi: dict[str, Any]
) -> None:
    allowed: dict[str, set[str]] = {}
    for method, path, _ in operations(openapi):
        allowed.setdefault(path, {"OPTIONS"}).update({method} | ({"HEAD"} if method == "GET" else set()))
    for path, methods in allowed.items():
        for asked in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "ANYTHING"} - methods:
            response = await api.admin.request(asked, path, headers=OVERRIDES)
            problem(response, 405)
            assert set(response.headers["allow"].split(", ")) == methods


# ---- A12: open paths ----


async def test_a12_the_paths_that_are_let_off_the_host_are_the_open_ones_only(strict: Api) -> None:
    foreign = {"Host": "elsewhere.test"}
    for path in ("/api/health", "/api/health/live", "/api/health/ready"):
        assert (await strict.anonymous.get(path, headers=foreign)).status_code == 200
    for path in ("/api/health/x", "/api/healthz", "//api/health", "/api/health;x", "/API/health", "/schema"):
        problem(await strict.admin.get(f"http://setpoint.test{path}", headers=foreign), 400, "host-not-allowed")


# ---- A16: which tenant is meant ----


async def test_a16_no_header_chooses_the_tenant(strict: Api) -> None:
    named = dict.fromkeys(("X-Tenant", "X-Tenant-ID", "Tenant", "X-Forwarded-Tenant", "X-Forwarded-User"), "globex")

    answered = await strict.admin.get("/api/auth/verify", headers=named)

    assert answered.json()["tenantId"] == "acme"


# ---- A29: header injection ----


async def test_a29_what_proxies_say_is_echoed_nowhere(strict: Api) -> None:
    said = {"X-Forwarded-Host": "evil.setpoint.test", "X-Forwarded-Prefix": "/evil", "X-Forwarded-Proto": "evil"}

    body = {"scope": "TENANT", "key": "any.thing", "value": 1}
    for response in (
        await strict.admin.post("/api/settings", json=body, headers=said),
        await strict.admin.get("/api/settings/list?scope=TENANT&limit=1", headers=said),
        await strict.admin.get("/api/no-such-thing", headers=said),
        await strict.anonymous.get("/api/settings", headers=said),
    ):
        assert b"evil" not in response.content
        assert "evil" not in str(response.headers)


# ---- A30: Host, and what proxies say ----


@pytest.mark.parametrize("host", ["elsewhere.test", "setpoint.test.elsewhere.test", "setpoint.test@elsewhere.test", ""])
async def test_a30_a_foreign_host_is_refused_before_anything_else(strict: Api, host: str) -> None:
    for client in (strict.admin, strict.anonymous):
        problem(await client.get("/api/settings/effective", headers={"Host": host}), 400, "host-not-allowed")


async def test_a30_our_own_hosts_are_answered_with_any_port(strict: Api) -> None:
    for host in ("setpoint.test", "setpoint.test:8443", "SETPOINT.test", "eu.setpoint.test"):
        assert (await strict.admin.get("/api/settings/effective", headers={"Host": host})).status_code == 200


async def test_a30_two_hosts_are_refused_even_when_they_are_equal(strict: Api, api: Api) -> None:
    for one in (strict, api):
        for second in ("setpoint.test", "elsewhere.test"):
            response = await one.admin.get("/api/settings", headers=[("Host", "setpoint.test"), ("Host", second)])
            problem(response, 400, "malformed")


LIES = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Host": "elsewhere.test",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/elsewhere",
    "X-Real-IP": "203.0.113.9",
    "X-Original-URL": "/api/health",
    "X-Rewrite-URL": "/api/health",
}


async def test_a30_what_is_said_by_who_is_no_proxy_has_no_effect(strict: Api, api: Api) -> None:
    for asked in (api.admin, at(strict, "198.51.100.7")):
        for said in (LIES, {"Forwarded": "for=203.0.113.9;host=elsewhere.test;proto=https"}):
            plain = await asked.get("/api/settings/effective", headers={"X-Request-ID": "a"})
            lied = await asked.get("/api/settings/effective", headers={"X-Request-ID": "a", **said})
            assert plain.status_code == 200
            assert (lied.status_code, lied.headers, lied.content) == (200, plain.headers, plain.content)


async def test_a30_a_trusted_proxy_says_by_which_name_and_protocol_it_was_asked(strict: Api) -> None:
    problem(await strict.admin.get("/api/settings/effective", headers=LIES), 400, "host-not-allowed")
    told = {"Host": "inner.local", "X-Forwarded-Host": "setpoint.test", "X-Forwarded-Proto": "https"}
    answered = await strict.admin.get("/api/settings/effective", headers=told)
    assert answered.status_code == 200
    assert answered.headers["strict-transport-security"] == "max-age=31536000"


# ---- A43: headers of every answer ----


async def test_a43_every_status_has_the_security_headers(api: Api) -> None:
    made = await make(api.admin, "any.thing", 1)
    path = f"/api/settings/{made['id']}"
    json = {"Content-Type": "application/json"}
    found = {
        200: await api.admin.get(path),
        201: await api.admin.post("/api/settings", json={"scope": "TENANT", "key": "ui.theme", "value": "dark"}),
        304: await api.admin.get(path, headers={"If-None-Match": made["etag"]}),
        400: await api.admin.post("/api/settings", content=b"{", headers=json),
        401: await api.anonymous.get(path),
        403: await api.auditor.put(path, json={"value": 2}, headers={"If-Match": "*"}),
        404: await api.globex.get(path),
        405: await api.admin.post(path),
        406: await api.admin.get(path, headers={"Accept": "text/html"}),
        409: await api.admin.post("/api/settings", json={"scope": "TENANT", "key": "any.thing", "value": 1}),
        412: await api.admin.put(path, json={"value": 2}, headers={"If-Match": '"v0"'}),
        413: await api.admin.post("/api/settings", content=b" " * 2_000_000, headers=json),
        415: await api.admin.post("/api/settings", content=b"{}", headers={"Content-Type": "text/plain"}),
        422: await api.admin.post("/api/settings", json={"scope": "TENANT", "key": "no.such", "value": 1}),
        428: await api.admin.put(path, json={"value": 2}),
        204: await api.admin.delete(path, headers={"If-Match": "*"}),
    }
    for status, response in found.items():
        assert response.status_code == status, response.text
        assert_secured(response)
    assert found[401].headers["www-authenticate"] == 'Bearer realm="setpoint"'
    assert (await api.anonymous.options("/api/health")).headers.get("allow")
    assert_secured(await api.anonymous.options("/api/health"))


async def test_a43_so_have_answers_that_wait_refuse_or_fail(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    def broken(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("a secret")

    def away(*_: object) -> NoReturn:
        raise DatabaseUnavailable

    config = msgspec.structs.replace(
        api.config, body_timeout_seconds=0.01, reads_per_second=0.1, read_burst=3, failed_auths_per_second=0
    )
    async with running(config, clock=api.clock) as other:
        json = {"Content-Type": "application/json"}
        found = [(408, await other.admin.post("/api/settings", content=never(), headers=json))]
        monkeypatch.setattr(Database, "_acquired", away)
        found.append((503, await other.admin.get("/api/settings/effective")))
        found.append((503, await other.anonymous.get("/api/health/ready")))
        monkeypatch.setattr(access_http, "_view_of", broken)
        with capture_logs():
            found.append((500, await other.admin.get("/api/auth/verify")))
        found.append((404, await other.admin.get("/api/no-such-thing")))
        found.append((429, await other.admin.get("/api/auth/verify")))
        monkeypatch.undo()
    for status, response in found:
        problem(response, status)
        assert_secured(response)
        assert "secret" not in response.text
        assert ("retry-after" in response.headers) is (status in (429, 503))


def assert_secured(response: httpx.Response) -> None:
    for name, value in SECURITY_HEADERS:
        assert response.headers.get_list(name.decode()) == [value.decode()], response.status_code
    assert HSTS[0].decode() not in response.headers
    assert "server" not in response.headers
    assert "x-powered-by" not in response.headers
    assert response.headers["x-request-id"]
