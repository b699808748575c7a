"""
Who asks too much, by the id of the abuse catalogue (A40): over the real database, and over Redis where writes are
shared. How buckets reckon is in tests/kit/limits.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec
import pytest
from redis.asyncio import Redis

from app.config import Config
from app.domain.access import Principal
from app.kit.redis_client import open_redis
from tests.fixtures import running
from tests.guarantees.proxy import Wire
from tests.kit.limits.test_shared import pass_time
from tests.world import PRINCIPALS, Api, make, match, problem

pytestmark = pytest.mark.anyio

HERE, THERE, LIE = "198.51.100.7", "198.51.100.8", "203.0.113.9"
PATIENCE = 5.0  # seconds for Redis; busy machines take longer than a caller should wait
PATIENT = {"redis_timeout_seconds": PATIENCE}
With = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture
def limited(api: Api) -> With:
    """Another application, with a configuration that differs in these fields; it counts alone, by the test's clock."""

    @asynccontextmanager
    async def start(**fields: Any) -> AsyncIterator[Api]:
        async with running(
            msgspec.structs.replace(api.config, **{"redis_url": None, **fields}), clock=api.clock
        ) as other:
            yield other

    return start


@pytest.fixture
async def redis(valkey_socket: Path) -> AsyncIterator[Redis]:
    async with open_redis(f"unix://{valkey_socket}", config=Config(redis_timeout_seconds=PATIENCE)) as client:
        await client.flushall()
        yield client


def at(api: Api, address: str, token: str | None = None) -> httpx.AsyncClient:
    """A client at this address."""
    transport = httpx.ASGITransport(app=api.app, client=(address, 1))  # type: ignore[arg-type]
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(transport=transport, base_url="http://setpoint.test", headers=headers, trust_env=False)


def good(api: Api) -> str:
    return api.token(PRINCIPALS["admin"])


async def statuses(client: httpx.AsyncClient, count: int, **options: Any) -> list[int]:
    """What so many reads are answered."""
    return [(await client.get("/api/auth/verify", **options)).status_code for _ in range(count)]


async def write(client: httpx.AsyncClient) -> httpx.Response:
    """One change that changes nothing: there is no such value."""
    return await client.delete("/api/settings/00000000-0000-7000-8000-000000000000", headers={"If-Match": "*"})


def standing(response: httpx.Response) -> tuple[str, int, int]:
    """Which limit, how many are left, and in how many seconds all are there again."""
    found = re.fullmatch(r'"([a-z-]+)";r=(\d+);t=(\d+)', response.headers["RateLimit"])
    assert found is not None
    assert re.fullmatch(rf'"{found[1]}";q=\d+;w=\d+', response.headers["RateLimit-Policy"])
    return found[1], int(found[2]), int(found[3])


def refusal(response: httpx.Response) -> int:
    """How long a refused request is to wait, once the refusal says all that it should."""
    problem(response, 429, "rate-limited")
    seconds = response.headers["Retry-After"]
    assert re.fullmatch(r"[1-9]\d*", seconds)
    assert standing(response)[1:] == (0, int(seconds))
    assert response.headers["Cache-Control"] == "no-store"
    return int(seconds)


# ---- bad credentials ----


async def test_a40_a_burst_of_bad_credentials_is_cut_off_and_good_ones_with_it(limited: With) -> None:
    async with limited(failed_auths_per_second=0.1, failed_auth_burst=5) as api:
        here = at(api, HERE, "guess")
        assert await statuses(here, 7) == [401] * 5 + [429] * 2

        refused = await at(api, HERE, good(api)).get("/api/auth/verify")
        seconds = refusal(refused)
        assert standing(refused)[0] == "failed-auths"
        assert seconds == 10
        assert "WWW-Authenticate" not in refused.headers
        refusal(await at(api, HERE).get("/api/no-such-thing"))
        assert (await at(api, HERE).get("/api/health")).status_code == 200, "open paths stay open"
        assert await statuses(at(api, THERE, good(api)), 3) == [200] * 3, "others are not touched"

        api.clock.step(seconds - 1)
        assert await statuses(at(api, HERE, good(api)), 1) == [429]
        api.clock.step(1)
        assert await statuses(at(api, HERE, good(api)), 3) == [200] * 3, "good ones take nothing"
        assert await statuses(here, 2) == [401, 429]


async def test_a40_every_kind_of_401_counts_and_nothing_else_does(limited: With) -> None:
    async with limited(failed_auths_per_second=0.1, failed_auth_burst=4) as api:
        expired = good(api)
        api.clock.step(2 * 86_400)
        fresh = good(api)
        for _ in range(10):
            assert (await at(api, HERE, fresh).get("/api/no-such-thing")).status_code == 404
            assert (await at(api, HERE, fresh).get("/api/settings/effective?x=1")).status_code == 400
        for headers in (
            {},
            {"Authorization": "Basic x"},
            {"X-API-Key": "sp_live_x_y"},
            {"Authorization": f"Bearer {expired}"},
        ):
            assert (await at(api, HERE).get("/api/auth/verify", headers=headers)).status_code == 401
        assert await statuses(at(api, HERE), 1) == [429]


async def test_a40_what_a_client_says_of_its_address_helps_nobody(limited: With) -> None:
    async with limited(failed_auths_per_second=0.1, failed_auth_burst=5) as api:
        found = [
            (await at(api, HERE, "guess").get("/api/auth/verify", headers={name: value.format(n=n)})).status_code
            for n, (name, value) in zip(
                range(12),
                itertools.cycle(
                    [
                        ("X-Forwarded-For", "203.0.113.{n}"),
                        ("Forwarded", "for=203.0.113.{n}"),
                        ("X-Real-IP", "203.0.113.{n}"),
                    ]
                ),
                strict=False,
            )
        ]

        assert found == [401] * 5 + [429] * 7


async def test_a40_behind_a_proxy_that_is_trusted_every_client_counts_for_itself(limited: With) -> None:
    async with limited(failed_auths_per_second=0.1, failed_auth_burst=5, trusted_proxies="10.0.0.0/8") as api:
        proxy = at(api, "10.0.0.1", "guess")
        rotating = [
            (await proxy.get("/api/auth/verify", headers={"X-Forwarded-For": f"203.0.113.{n}, {HERE}"})).status_code
            for n in range(7)
        ]

        assert rotating == [401] * 5 + [429] * 2
        assert await statuses(proxy, 5, headers={"X-Forwarded-For": THERE}) == [401] * 5


async def test_a40_the_addresses_of_one_ipv6_network_count_together(limited: With) -> None:
    async with limited(failed_auths_per_second=0.1, failed_auth_burst=5) as api:
        found = [(await statuses(at(api, f"2001:db8:1:2::{n:x}", "guess"), 1))[0] for n in range(1, 8)]

        assert found == [401] * 5 + [429] * 2
        assert await statuses(at(api, "2001:db8:1:3::1", "guess"), 1) == [401]


async def test_a40_guessing_at_one_key_from_everywhere_locks_its_owner_out_of_nothing(limited: With) -> None:
    """Each guesser is cut off where he is; what he guesses at is not counted, for then anybody could lock it."""
    async with limited(failed_auths_per_second=0.1, failed_auth_burst=5) as api:
        owned = good(api)
        head, payload, _ = owned.split(".")
        kid = jwt.get_unverified_header(owned)["kid"]
        forged = [f"{head}.{payload}.{jwt.utils.base64url_encode(bytes([n]) * 64).decode()}" for n in range(3)]
        forged.append(jwt.encode({"sub": "anna"}, "x" * 32, algorithm="HS256", headers={"kid": kid}))
        for n in range(20):
            for guess in forged:
                assert await statuses(at(api, f"203.0.113.{n}", guess), 1) == [401]
        for n in range(20):
            assert await statuses(at(api, f"203.0.113.{n}", forged[0]), 2) == [401, 429]

        assert await statuses(at(api, HERE, owned), 3) == [200] * 3


# ---- reads ----


async def test_a40_reads_are_limited_and_told_so_when_little_is_left(limited: With) -> None:
    async with limited(reads_per_second=0.5, read_burst=20) as api:
        found = [await api.admin.get("/api/settings/effective") for _ in range(20)]
        assert [response.status_code for response in found] == [200] * 20
        assert ["RateLimit" in response.headers for response in found] == [False] * 18 + [True] * 2
        assert [standing(response) for response in found[18:]] == [("reads", 1, 38), ("reads", 0, 40)]
        assert found[19].headers["RateLimit-Policy"] == '"reads";q=20;w=40'

        for method, path in (("GET", "/api/auth/verify"), ("HEAD", "/api/settings/effective"), ("OPTIONS", "/api/x")):
            assert (await api.admin.request(method, path)).status_code == 429
        seconds = refusal(await api.admin.get("/api/settings/effective"))
        assert (await api.bob.get("/api/auth/verify")).status_code == 200
        assert (await write(api.admin)).status_code == 404, "writes are counted apart"

        tag = {"If-None-Match": found[0].headers["ETag"]}
        api.clock.step(seconds - 0.001)
        refusal(await api.admin.get("/api/settings/effective", headers=tag))
        api.clock.step(0.001)
        answer = await api.admin.get("/api/settings/effective", headers=tag)
        assert (answer.status_code, standing(answer)[:2]) == (304, ("reads", 0))


async def test_a40_who_is_who_is_told_apart_by_tenant_and_id_together(limited: With) -> None:
    async with limited(reads_per_second=0.1, read_burst=1) as api:
        names: list[tuple[str | None, str]] = [("a", "b.c"), ("a.b", "c"), ("a", "b:c"), ("a", "b/c"), ("A", "b.c")]
        names += [("a", "b"), (None, "a"), ("a", "a"), ("None", "a"), ("a", "\u00e9"), ("a", "e\u0301")]
        for tenant, name in names:
            assert await statuses(api.of(Principal(id=name, tenant=tenant)), 2) == [200, 429], (tenant, name)

        other_token = api.of(Principal(id="b", tenant="a", roles=("admin",)))
        assert await statuses(other_token, 1) == [429], "a new token is no new principal"


# ---- writes ----


async def test_a40_every_answer_to_a_write_tells_what_is_left(limited: With) -> None:
    async with limited(writes_per_second=1, write_burst=10) as api:
        made = await api.admin.post("/api/settings", json={"scope": "TENANT", "key": "ui.theme", "value": "dark"})
        path = f"/api/settings/{made.json()['id']}"
        answers = [
            made,
            await api.admin.put(path, json={"value": "light"}),
            await api.admin.put(path, json={"value": "light"}, headers={"If-Match": '"v0"'}),
            await api.admin.post("/api/settings", content=b"{", headers={"Content-Type": "application/json"}),
            await write(api.admin),
            await api.admin.post("/api/no-such-thing"),
            await api.admin.post(path),
            await api.admin.delete(path, headers=match(made)),
        ]

        assert [answer.status_code for answer in answers] == [201, 428, 412, 400, 404, 404, 405, 204]
        assert [standing(answer) for answer in answers] == [("writes", 9 - n, n + 1) for n in range(8)]


async def test_a40_a_write_beyond_the_limit_changes_nothing_and_retry_after_is_true(limited: With) -> None:
    async with limited(writes_per_second=0.25, write_burst=2) as api:
        first = await make(api.admin, "any.thing", 1)
        path = f"/api/settings/{first['id']}"
        assert (await api.admin.put(path, json={"value": 2}, headers=match(first))).status_code == 200

        seconds = refusal(await api.admin.put(path, json={"value": 3}, headers={"If-Match": "*"}))
        assert seconds == 4
        assert (await api.admin.get(path)).json()["value"] == 2
        assert (await api.clerk.put(path, json={"value": 4}, headers={"If-Match": "*"})).status_code == 200

        api.clock.step(seconds)
        assert (await api.admin.put(path, json={"value": 5}, headers={"If-Match": "*"})).status_code == 200
        refusal(await api.admin.put(path, json={"value": 6}, headers={"If-Match": "*"}))


async def test_a40_all_workers_share_one_budget_of_writes(limited: With, redis: Redis, valkey_socket: Path) -> None:
    shared = {"redis_url": f"unix://{valkey_socket}", **PATIENT, "writes_per_second": 0.01, "write_burst": 6}
    async with limited(**shared) as one, limited(**shared) as other:
        left = [standing(await write(worker.admin))[1] for worker in (one, other, one, one, other, other)]
        assert left == [5, 4, 3, 2, 1, 0]

        seconds = max([refusal(await write(worker.admin)) for worker in (one, other, one, other)])
        assert 90 <= seconds <= 100
        assert (await write(one.root)).status_code == 404

        await pass_time(redis, seconds)
        one.clock.step(seconds)
        assert (await write(other.admin)).status_code == 404
        refusal(await write(one.admin))


async def test_a40_without_redis_each_worker_counts_alone_from_where_they_stood(
    limited: With, redis: Redis, valkey_socket: Path
) -> None:
    del redis  # emptied
    wire = Wire(valkey_socket)
    await wire.mend()
    shared = {"redis_url": f"redis://127.0.0.1:{wire.port}", **PATIENT, "writes_per_second": 0.01, "write_burst": 6}
    try:
        async with limited(**shared) as one, limited(**shared) as other:
            assert [standing(await write(worker.admin))[1] for worker in (one, other, one, other)] == [5, 4, 3, 2]
            await wire.cut()

            assert [(await write(one.admin)).status_code for _ in range(5)] == [404, 404, 404, 429, 429]
            assert [(await write(other.admin)).status_code for _ in range(5)] == [404, 404, 429, 429, 429]
            assert await health(one) == ("degraded", "down", "degraded")

            await wire.mend()
            one.clock.step(1)
            assert standing(await write(one.root))[1] == 5
            assert await health(one) == ("up", "up", "up")
    finally:
        wire.silence()
        await wire.cut()


async def health(api: Api) -> tuple[str, str, str]:
    """The whole, Redis, and whether limits are shared."""
    report = (await api.anonymous.get("/api/health")).json()
    return report["state"], report["parts"]["redis"]["state"], report["parts"]["sharedLimits"]["state"]


async def test_a40_a_limit_of_nothing_is_none(limited: With) -> None:
    off = dict.fromkeys(("reads_per_second", "writes_per_second", "failed_auths_per_second"), 0.0)
    bursts = dict.fromkeys(("read_burst", "write_burst", "failed_auth_burst"), 1)
    async with limited(**off, **bursts) as api:
        assert await statuses(api.admin, 5) == [200] * 5
        assert await statuses(api.anonymous, 5) == [401] * 5
        for _ in range(5):
            response = await write(api.admin)
            assert response.status_code == 404
            assert "RateLimit" not in response.headers
