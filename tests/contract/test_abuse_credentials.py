"""
Abuse of credentials, by the ids of the abuse catalogue, over HTTP: API keys, revocations, and issuers with their keys.

A08 is about every worker: two applications on one database, of which one hears of a change only by following it.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from app import main
from app.access import keys
from app.access.api_keys import check
from app.access.api_keys import store as key_store
from app.access.api_keys.secret import PATTERN, written_key
from app.access.local_key import AUDIENCE, ISSUER, KEY_ID, ensure_local_key
from app.access.revocation.follower import Follower
from app.config import Config
from app.domain.access import Principal
from app.kit.database import Connection, DatabaseUnavailable
from tests.access.test_keys import jwk, jwks
from tests.fixtures import running
from tests.guarantees.state import everything
from tests.world import PRINCIPALS, START, Api, SteppableClock, client_of, pointers, problem

pytestmark = pytest.mark.anyio

KEYS = "/api/security/api-keys"
REVOCATIONS = "/api/security/revocations"
WITHIN = 1.0  # seconds: the promise of A08
READER = {"name": "reader", "roles": ["service"]}


@pytest.fixture(autouse=True, scope="module")
def policy_compiled_once() -> Iterator[None]:
    """Many workers start here, all with the same policy; to compile it takes each a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "load_policy", functools.cache(main.load_policy))
        yield


async def made(client: httpx.AsyncClient, **members: Any) -> dict[str, Any]:
    """A new key, as answered."""
    response = await client.post(KEYS, json=READER | members)
    assert response.status_code == 201, response.text
    key: dict[str, Any] = response.json()
    return key


def bearer(api: Api, secret: str) -> httpx.AsyncClient:
    """A client that sends a key."""
    return client_of(api.app, token=secret)


async def status(client: httpx.AsyncClient) -> int:
    return (await client.get("/api/auth/verify")).status_code


async def until(asked: Callable[[], Awaitable[bool]], *, within: float = WITHIN) -> None:
    """Wait for a condition, no longer than what was promised."""
    async with asyncio.timeout(within):
        while not await asked():  # noqa: ASYNC110 - what another worker knows can only be asked
            await asyncio.sleep(0.01)


async def refused(client: httpx.AsyncClient) -> bool:
    return await status(client) == 401


def token(api: Api, **claims: Any) -> str:
    """A token of the local issuer with these claims."""
    now = int(api.clock().timestamp())
    fields = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "tenant": "acme", "iat": now, "exp": now + 3600}
    said = {name: value for name, value in (fields | claims).items() if value is not ...}
    return jwt.encode(said, ensure_local_key(api.config.data_path), algorithm="EdDSA", headers={"kid": KEY_ID})


# ---- What keys do ----


async def test_a_key_is_who_it_was_made_to_be(api: Api) -> None:
    key = await made(
        api.admin,
        roles=["user", "manager"],
        territories=["FR", "DE"],
        accounts=["adler"],
        clearance="public",
        scopes=["settings:read", "keys:read"],
        expiresAt="2026-03-05T14:00:00+02:00",
    )

    seen = (await bearer(api, key["secret"]).get("/api/auth/verify")).json()

    assert re.fullmatch(PATTERN, key["secret"])
    assert seen == {
        "id": f"api-key:{key['id']}",
        "kind": "service",
        "tenantId": "acme",
        "roles": ["manager", "user"],
        "territories": ["DE", "FR"],
        "accounts": ["adler"],
        "clearance": "public",
        "scopes": ["keys:read", "settings:read"],
        "issuer": "setpoint-api-keys",
        "expiresAt": 1772712000,
    }
    assert (await api.anonymous.get("/api/auth/verify", headers={"X-API-Key": key["secret"]})).json() == seen


async def test_a_user_key_stands_for_its_owner(api: Api) -> None:
    key = await made(api.admin, kind="user", roles=["admin"])

    assert (await bearer(api, key["secret"]).get("/api/auth/verify")).json()["id"] == "anna"


async def test_the_calls_on_keys(api: Api) -> None:
    response = await api.admin.post(KEYS, json=READER)
    key = response.json()
    one = await api.admin.get(response.headers["Location"])
    shown = {name: value for name, value in key.items() if name != "secret"}

    assert one.json() == shown
    assert one.headers["ETag"] == response.headers["ETag"] == key["etag"]
    assert response.headers["Cache-Control"] == "no-store"
    assert (await api.admin.get(KEYS)).json() == {"items": [shown], "next": None}
    assert key["expiresAt"] == "2026-06-02T12:00:00Z"
    assert (key["owner"], key["scopes"], key["revokedAt"], key["overlapUntil"]) == ("anna", None, None, None)

    path = f"{KEYS}/{key['id']}"
    problem(await api.admin.post(f"{path}/rotate", json={}), 428)
    problem(await api.admin.post(f"{path}/rotate", json={}, headers={"If-Match": '"v1"'}), 412)
    rotated = await api.admin.post(f"{path}/rotate", json={"overlapSeconds": 60}, headers={"If-Match": key["etag"]})
    assert rotated.status_code == 200
    assert rotated.headers["Cache-Control"] == "no-store"
    assert (rotated.json()["version"], rotated.json()["overlapUntil"]) == (2, "2026-03-04T12:01:00Z")

    problem(await api.admin.delete(path, headers={"If-Match": key["etag"]}), 412)
    assert (await api.admin.delete(path)).status_code == 204
    assert (await api.admin.delete(path)).status_code == 204
    assert (await api.admin.get(path)).json()["revokedAt"] == "2026-03-04T12:00:00Z"
    problem(await api.admin.post(f"{path}/rotate", json={}, headers={"If-Match": "*"}), 422)
    for unknown in ("0123456789", "short", "0123456789x", "%00", "..%2F"):
        problem(await api.admin.get(f"{KEYS}/{unknown}"), 404)
        problem(await api.admin.delete(f"{KEYS}/{unknown}"), 404)


async def test_keys_are_listed_page_by_page(api: Api) -> None:
    ids = sorted([(await made(api.admin, name=f"k{number}"))["id"] for number in range(5)])

    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.admin.get(KEYS, params=query)).json()
        found += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]

    assert found == ids


async def test_an_old_secret_is_good_for_the_overlap_and_not_longer(api: Api) -> None:
    key = await made(api.admin)
    old = bearer(api, key["secret"])
    assert await status(old) == 200

    rotated = await api.admin.post(
        f"{KEYS}/{key['id']}/rotate", json={"overlapSeconds": 60}, headers={"If-Match": key["etag"]}
    )
    new = bearer(api, rotated.json()["secret"])

    assert (await status(old), await status(new)) == (200, 200)
    api.clock.step(59.9)
    assert (await status(old), await status(new)) == (200, 200)
    api.clock.step(0.1)
    assert (await status(old), await status(new)) == (401, 200)


async def test_a_second_rotation_ends_the_first_secret(api: Api) -> None:
    key = await made(api.admin)
    secrets = [key["secret"]]
    for _ in range(2):
        answer = await api.admin.post(
            f"{KEYS}/{key['id']}/rotate", json={"overlapSeconds": 600}, headers={"If-Match": "*"}
        )
        secrets.append(answer.json()["secret"])

    assert [await status(bearer(api, one)) for one in secrets] == [401, 200, 200]


@pytest.mark.parametrize("warm", [True, False])
async def test_a_key_expires_to_the_second_and_has_no_leeway(api: Api, warm: bool) -> None:
    key = await made(api.admin, expiresAt="2026-03-04T12:00:10Z")
    client = bearer(api, key["secret"])
    if warm:
        assert await status(client) == 200

    api.clock.step(9.999)
    assert await status(client) == 200
    api.clock.step(0.001)
    assert await status(client) == 401


async def test_a_tenant_goes_when_its_keys_are_revoked_and_none_of_them_comes_back(api: Api, db: Connection) -> None:
    tenant = await api.platform.put("/api/tenants/new", json={}, headers={"If-None-Match": "*"})
    key = await made(api.platform, tenantId="new")
    headers = {"If-Match": tenant.headers["ETag"]}

    assert problem(await api.platform.delete("/api/tenants/new", headers=headers), 409)["count"] == 1
    await api.platform.delete(f"{KEYS}/{key['id']}")
    assert (await api.platform.delete("/api/tenants/new", headers=headers)).status_code == 204

    assert await db.fetchval("SELECT count(*) FROM api_key") == 1
    assert await status(bearer(api, key["secret"])) == 401
    assert (await api.platform.put("/api/tenants/new", json={}, headers={"If-None-Match": "*"})).status_code == 201
    assert await status(bearer(api, key["secret"])) == 401


async def test_no_key_is_made_for_a_tenant_that_there_is_not(api: Api) -> None:
    problem(await api.platform.post(KEYS, json=READER | {"tenantId": "nowhere"}), 404)


async def test_there_is_a_limit_to_keys(app_url: str, config: Config, db: Connection, clock: SteppableClock) -> None:
    del db
    async with running(msgspec.structs.replace(config, database_url=app_url, max_api_keys=2), clock=clock) as api:
        first = await made(api.admin)
        await made(api.admin)
        assert "2 keys already" in problem(await api.admin.post(KEYS, json=READER), 422)["detail"]
        await made(api.globex)
        await api.admin.delete(f"{KEYS}/{first['id']}")
        await made(api.admin)


# ---- Nobody hands on what they do not have ----


@pytest.mark.parametrize(
    ("who", "members", "beyond"),
    [
        ("admin", {"roles": ["platform_admin"]}, ["#/roles"]),
        ("admin", {"roles": ["service", "pricing"]}, ["#/roles"]),
        ("clerk", {"clearance": "confidential"}, ["#/clearance"]),
        ("admin", {"expiresAt": "2026-03-04T12:00:00Z"}, ["#/expiresAt"]),
        ("admin", {"expiresAt": "2027-03-04T12:00:01Z"}, ["#/expiresAt"]),
        ("admin", {"expiresAt": "9999-12-31T23:59:59Z"}, ["#/expiresAt"]),
        ("platform", {"kind": "user", "tenantId": "acme"}, ["#/kind"]),
    ],
)
async def test_a_key_has_no_more_power_than_its_maker(
    api: Api, db: Connection, who: str, members: dict[str, Any], beyond: list[str]
) -> None:
    before = await everything(db)

    assert pointers(await getattr(api, who).post(KEYS, json=READER | members)) == beyond
    assert await everything(db) == before


@pytest.mark.parametrize(
    "members",
    [
        {"tenantId": "acme/x"},
        {"roles": []},
        {"roles": ["x" * 201]},
        {"name": ""},
        {"name": "a\nb"},
        {"scopes": ["a b"]},
        {"scopes": ['"']},
        {"clearance": 3},
        {"kind": "robot"},
        {"expiresAt": "2026-03-05T12:00:00"},
        {"expiresAt": "9999-12-31T23:59:59-14:00"},
        {"secret": "mine"},
        {"owner": "bob"},
        {"id": "0123456789"},
    ],
    ids=str,
)
async def test_a_key_that_is_not_well_formed_is_refused(api: Api, members: dict[str, Any]) -> None:
    problem(await api.admin.post(KEYS, json=READER | members), 400)


async def test_a_foreign_tenant_gets_no_key_of_ours_and_shows_none_of_its_own(api: Api, db: Connection) -> None:
    key = await made(api.globex)
    before = await everything(db)

    problem(await api.admin.post(KEYS, json=READER | {"tenantId": "globex"}), 404)
    problem(await api.admin.get(KEYS, params={"tenantId": "globex"}), 404)
    for path in (f"{KEYS}/{key['id']}", f"{KEYS}/0123456789"):
        problem(await api.admin.get(path), 404)
        problem(await api.admin.delete(path), 404)
        problem(await api.admin.post(f"{path}/rotate", json={}, headers={"If-Match": "*"}), 404)
    assert await everything(db) == before


@pytest.mark.parametrize("who", ["alice", "manager", "auditor", "service", "nobody"])
async def test_who_is_no_admin_makes_no_key(api: Api, db: Connection, who: str) -> None:
    key = await made(api.admin)
    before = await everything(db)
    client: httpx.AsyncClient = getattr(api, who)

    assert (await client.post(KEYS, json=READER)).status_code in (403, 404)
    assert (await client.delete(f"{KEYS}/{key['id']}")).status_code in (403, 404)
    assert (await client.post(REVOCATIONS, json={"subject": "anna"})).status_code in (403, 404)
    assert await everything(db) == before


async def test_a_key_does_not_make_one_that_is_stronger_than_itself(api: Api) -> None:
    scoped = await made(api.admin, roles=["admin"], scopes=["keys:write", "keys:read"])
    client = bearer(api, scoped["secret"])

    assert pointers(await client.post(KEYS, json=READER)) == ["#/scopes"]
    assert pointers(await client.post(KEYS, json=READER | {"scopes": ["keys:read", "settings:write"]})) == ["#/scopes"]
    assert pointers(await client.post(KEYS, json=READER | {"clearance": "secret"}), 422) == ["#/clearance", "#/scopes"]
    assert (await made(client, scopes=["keys:read"]))["owner"] == f"api-key:{scoped['id']}"


async def test_nobody_becomes_stronger_by_rotating(api: Api, db: Connection) -> None:
    """Whoever rotates a key can use it."""
    strong = await made(api.root, roles=["platform_admin"])
    cleared = await made(api.admin, clearance="secret")
    personal = await made(api.root, kind="user", roles=["admin"])
    before = await everything(db)

    for who, key in (("admin", strong), ("clerk", cleared), ("admin", personal)):
        response = await getattr(api, who).post(f"{KEYS}/{key['id']}/rotate", json={}, headers={"If-Match": "*"})
        problem(response, 403)
    assert await everything(db) == before
    assert (await api.admin.delete(f"{KEYS}/{strong['id']}")).status_code == 204


# ---- A10: API keys that are none ----


def mangled(secret: str) -> dict[str, str]:
    prefix, environment, key_id, rest = secret.split("_")
    other = "B" if rest[0] != "B" else "C"
    return {
        "cut short": secret[:-1],
        "too long": secret + "A",
        "without checksum": secret[:-6],
        "only the prefix": "sp_",
        "another secret, old checksum": f"{prefix}_{environment}_{key_id}_{other}{rest[1:]}",
        "another id, old checksum": f"{prefix}_{environment}_{key_id[1:]}{key_id[0]}_{rest}",
        "upper case": secret.upper(),
        "case of the secret flipped": f"{prefix}_{environment}_{key_id}_{rest.swapcase()}",
        "case of the prefix flipped": "SP" + secret[2:],
        "trailing line feed": secret + "\n",
        "a blank inside": secret[:20] + " " + secret[20:],
        "another environment": written_key(environment="test", key_id=key_id, secret=rest[:32]),
        "not ASCII": secret[:-1] + "é",
        "NUL": secret + "\0",
    }


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids that were asked for in the database, in order."""
    asked: list[str] = []
    find = key_store.find_anywhere

    async def counting(database: Any, key_id: str) -> Any:
        asked.append(key_id)
        return await find(database, key_id)

    monkeypatch.setattr(check.store, "find_anywhere", counting)
    return asked


async def send_raw(api: Api, credential: str, *, header: str = "x-api-key") -> httpx.Response:
    value = credential if header == "x-api-key" else f"Bearer {credential}"
    return await api.anonymous.get("/api/auth/verify", headers={header: value.encode("latin-1", "replace")})


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
@pytest.mark.parametrize("how", list(mangled("sp_live_0123456789_" + "a" * 38)))
async def test_a10_what_is_no_key_is_refused_without_a_look_up(
    api: Api, looked_up: list[str], how: str, header: str
) -> None:
    key = await made(api.admin)
    unknown = await send_raw(api, written_key(environment="live", key_id="0123456789", secret="a" * 32))
    looked_up.clear()

    response = await send_raw(api, mangled(key["secret"])[how], header=header)

    problem(response, 401)
    assert response.content == unknown.content
    assert looked_up == []


async def test_a10_an_unknown_id_and_a_wrong_secret_are_the_same_to_see_and_to_do(
    api: Api, looked_up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await made(api.admin)
    other = written_key(environment="live", key_id=key["id"], secret="a" * 32)
    nobody = written_key(environment="live", key_id="0123456789", secret="a" * 32)
    digested: list[str] = []
    digest = check.Peppers.digest

    def counting(self: Any, secret: str, *, pepper_id: str) -> bytes:
        digested.append(pepper_id)
        return digest(self, secret, pepper_id=pepper_id)

    monkeypatch.setattr(check.Peppers, "digest", counting)
    seen = []
    for credential in (other, nobody):
        response = await send_raw(api, credential)
        seen.append((response.status_code, response.content, len(digested), len(looked_up)))
        digested.clear(), looked_up.clear()

    assert seen[0] == seen[1]
    assert seen[0][0] == 401
    assert seen[0][2:] == (2, 1)


async def test_a10_a_key_is_looked_up_once_and_remembered(api: Api, looked_up: list[str]) -> None:
    key = await made(api.admin)

    for _ in range(3):
        assert await status(bearer(api, key["secret"])) == 200

    assert looked_up == [key["id"]]


async def test_a10_what_is_stored_opens_nothing(api: Api, db: Connection) -> None:
    """Not the row, nor the row with another pepper: the digest is of no use without the pepper it was made with."""
    key = await made(api.admin)
    row = await db.fetchrow("SELECT * FROM api_key WHERE id = $1", key["id"])

    assert key["secret"] not in str(dict(row))
    assert key["secret"].split("_")[3][:32] not in str(dict(row))
    other = msgspec.structs.replace(api.config, api_key_pepper="x" * 32)
    async with running(other, clock=api.clock) as elsewhere:
        with capture_logs() as lines:
            assert await status(client_of(elsewhere.app, token=key["secret"])) == 401
    assert {line["event"] for line in lines} == {"api-key-pepper-unknown"}


async def test_a_pepper_can_be_changed_while_keys_are_in_use(api: Api) -> None:
    first, second = "a" * 32, "b" * 32
    async with running(msgspec.structs.replace(api.config, api_key_pepper=first), clock=api.clock) as before:
        key = await made(before.admin)
    async with running(
        msgspec.structs.replace(api.config, api_key_pepper=f"{second},{first}"), clock=api.clock
    ) as both:
        assert await status(client_of(both.app, token=key["secret"])) == 200
        answer = await both.admin.post(f"{KEYS}/{key['id']}/rotate", json={}, headers={"If-Match": "*"})
        rotated = answer.json()["secret"]
    async with running(msgspec.structs.replace(api.config, api_key_pepper=second), clock=api.clock) as after:
        assert await status(client_of(after.app, token=rotated)) == 200


# ---- A07: one credential, or none ----


async def test_a07_a_key_beside_a_token_of_somebody_else_is_refused(api: Api) -> None:
    key = await made(api.admin)

    both = await api.alice.get("/api/auth/verify", headers={"X-API-Key": key["secret"]})
    twice = await api.anonymous.get(
        "/api/auth/verify", headers={"X-API-Key": key["secret"], "Authorization": f"Bearer {key['secret']}"}
    )

    problem(both, 400)
    assert twice.status_code == 200
    problem(await api.anonymous.get("/api/auth/verify", params={"access_token": key["secret"]}), 401)
    problem(await api.anonymous.get("/api/auth/verify", headers={"Cookie": f"token={key['secret']}"}), 401)


# ---- A08: on every worker within a second, warm ----


@asynccontextmanager
async def another(api: Api, **changes: Any) -> AsyncIterator[Api]:
    """A second worker on the same database."""
    async with running(msgspec.structs.replace(api.config, **changes), clock=api.clock) as other:
        yield other


async def test_a08_a_revoked_token_is_refused_on_every_worker_while_warm(api: Api) -> None:
    text = token(api, jti="stolen")
    async with another(api) as other:
        here, there = client_of(api.app, token=text), client_of(other.app, token=text)
        bystander = client_of(other.app, token=token(api, jti="other"))
        for client in (here, there, bystander):
            assert await status(client) == 200

        made_here = await api.admin.post(REVOCATIONS, json={"jti": "stolen", "reason": "lost laptop"})

        assert made_here.status_code == 201
        assert await status(here) == 401, "the worker that took it applies it before it answers"
        await until(lambda: refused(there))
        assert await status(bystander) == 200

        lifted = await api.admin.delete(made_here.headers["Location"])
        assert lifted.status_code == 204
        assert await status(here) == 200
        await until(lambda: _is(there, 200))


async def _is(client: httpx.AsyncClient, wanted: int) -> bool:
    return await status(client) == wanted


@pytest.mark.parametrize(
    ("body", "falls"),
    [
        ({"subject": "alice"}, {"old", "key", "timeless"}),
        ({"subject": "alice", "issuer": "setpoint-local"}, {"old", "timeless"}),
        ({"subject": "alice", "issuer": "https://elsewhere.test"}, set()),
        ({"issuer": "setpoint-local"}, {"old", "bob", "timeless"}),
        ({"issuer": "setpoint-api-keys"}, {"key"}),
        ({"issuedBefore": "2026-03-04T12:00:01Z"}, {"old", "bob", "key", "timeless"}),
        ({"subject": "alice", "issuedBefore": "2026-03-04T12:00:00Z"}, {"timeless"}),
        ({"subject": "bob"}, {"bob"}),
    ],
    ids=lambda one: str(sorted(one)) if isinstance(one, set) else str(one),  # the same in every process
)
async def test_a08_a_disabled_subject_is_refused_on_every_worker_while_warm(
    api: Api, body: dict[str, Any], falls: set[str]
) -> None:
    """What was issued after the moment is believed; a token that does not say when counts as issued at 0."""
    alice = Principal(id="alice", tenant="acme", roles=("admin",))
    key = await made(api.of(alice), kind="user", roles=["user"])
    texts = {
        "old": token(api),
        "timeless": token(api, iat=...),
        "bob": token(api, sub="bob"),
        "key": key["secret"],
        "globex": token(api, tenant="globex"),
        "no tenant": token(api, tenant=...),
    }
    api.clock.step(1)
    texts["new"] = token(api)
    async with another(api) as other:
        there = {name: client_of(other.app, token=text) for name, text in texts.items()}
        for client in there.values():
            assert await status(client) == 200

        assert (await api.admin.post(REVOCATIONS, json=body)).status_code == 201

        for name in falls:
            await until(lambda client=there[name]: refused(client))
        assert {name for name, client in there.items() if await refused(client)} == falls


async def test_a08_who_has_no_tenant_revokes_for_all_of_them(api: Api) -> None:
    clients = [api.alice, api.globex, api.of(Principal(id="x"))]
    api.clock.step(1)
    operator = api.of(PRINCIPALS["platform"])

    response = await operator.post(REVOCATIONS, json={"issuer": "setpoint-local"})

    assert response.json()["tenantId"] is None
    assert [await status(client) for client in clients] == [401, 401, 401]
    assert await status(operator) == 200, "its own token was issued at that moment"
    problem(await api.of(PRINCIPALS["admin"]).delete(response.headers["Location"]), 404)
    assert (await api.of(PRINCIPALS["admin"]).get(REVOCATIONS)).json()["items"] == []


@pytest.mark.parametrize("way", ["revoked", "rotated"])
async def test_a08_an_api_key_is_refused_on_every_worker_while_warm(api: Api, way: str) -> None:
    key = await made(api.admin)
    async with another(api) as other:
        here, there = bearer(api, key["secret"]), client_of(other.app, token=key["secret"])
        assert (await status(here), await status(there)) == (200, 200)

        if way == "revoked":
            answer = await api.admin.delete(f"{KEYS}/{key['id']}")
        else:
            answer = await api.admin.post(f"{KEYS}/{key['id']}/rotate", json={}, headers={"If-Match": "*"})

        assert answer.is_success
        assert await status(here) == 401
        await until(lambda: refused(there))
        if way == "rotated":
            assert await status(client_of(other.app, token=answer.json()["secret"])) == 200


async def test_a08_what_is_looked_up_while_it_changes_is_not_remembered(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row was read before the revocation and comes back after it."""
    key = await made(api.admin)
    find, reading, go = key_store.find_anywhere, asyncio.Event(), asyncio.Event()

    async def slowly(database: Any, key_id: str) -> Any:
        found = await find(database, key_id)
        reading.set()
        await go.wait()
        return found

    monkeypatch.setattr(check.store, "find_anywhere", slowly)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(status(bearer(api, key["secret"])))
        await reading.wait()
        assert (await api.admin.delete(f"{KEYS}/{key['id']}")).status_code == 204
        go.set()

    assert asking.result() == 401
    assert await status(bearer(api, key["secret"])) == 401


async def test_a08_a_worker_that_starts_knows_what_was_revoked(api: Api) -> None:
    text = token(api, jti="stolen")
    await api.admin.post(REVOCATIONS, json={"jti": "stolen"})

    async with another(api) as other:
        assert await status(client_of(other.app, token=text)) == 401


async def test_a08_a_revocation_ends_with_what_it_concerns(api: Api, db: Connection) -> None:
    """Then the tokens have expired by themselves; a day later the row goes with the next revocation."""
    text = token(api, jti="stolen", exp=int(START.timestamp()) + 10 * 86_400)
    await api.admin.post(REVOCATIONS, json={"jti": "stolen", "expiresAt": "2026-03-04T13:00:00Z"})
    assert await status(client_of(api.app, token=text)) == 401

    api.clock.step(3600)
    await until(lambda: _is(client_of(api.app, token=text), 200))
    assert (await api.of(PRINCIPALS["admin"]).get(REVOCATIONS)).json()["items"] == []

    api.clock.step(86_401)
    await api.of(PRINCIPALS["admin"]).post(REVOCATIONS, json={"jti": "another"})
    assert await db.fetchval("SELECT array_agg(token_id) FROM revocation") == ["another"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": "no idea"},
        {"jti": "a", "subject": "alice"},
        {"jti": "a", "issuedBefore": "2026-03-04T12:00:00Z"},
        {"jti": "a", "expiresAt": "2026-03-04T12:00:00Z"},
    ],
    ids=str,
)
async def test_a_revocation_that_says_too_little_or_too_much_is_refused(
    api: Api, db: Connection, body: dict[str, Any]
) -> None:
    before = await everything(db)

    problem(await api.admin.post(REVOCATIONS, json=body), 422)
    assert await everything(db) == before


async def test_there_is_a_limit_to_revocations(api: Api) -> None:
    async with another(api, max_revocations=1) as other:
        assert (await other.admin.post(REVOCATIONS, json={"jti": "a"})).status_code == 201
        problem(await other.admin.post(REVOCATIONS, json={"jti": "b"}), 422)
        assert (await other.globex.post(REVOCATIONS, json={"jti": "b"})).status_code == 201


async def test_revocations_are_listed_newest_first_and_page_by_page(api: Api) -> None:
    for number in range(3):
        await api.admin.post(REVOCATIONS, json={"jti": str(number)})

    first = (await api.admin.get(REVOCATIONS, params={"limit": 2})).json()
    second = (await api.admin.get(REVOCATIONS, params={"limit": 2, "cursor": first["next"]})).json()

    assert [one["jti"] for one in first["items"] + second["items"]] == ["2", "1", "0"]
    assert second["next"] is None
    forged = (await api.admin.get(KEYS, params={"limit": 1})).json()["next"] or "AAAA"
    problem(await api.admin.get(REVOCATIONS, params={"cursor": forged}), 400)


# ---- While PostgreSQL does not answer ----


async def health(api: Api) -> dict[str, Any]:
    document: dict[str, Any] = (await api.anonymous.get("/api/health")).json()
    return document


async def test_without_news_of_revocations_requests_are_served_and_the_health_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with another(api, revocation_poll_seconds=0.01, revocation_stale_seconds=0.5) as other, asyncio.timeout(10):
        client = client_of(other.app, token=token(api))
        assert await status(client) == 200
        await until(lambda: _revocations_are(other, "up"), within=10)

        with capture_logs(), monkeypatch.context() as patch:
            patch.setattr(Follower, "_read_changes", _fails)
            patch.setattr(Follower, "_read_everything", _fails)
            await until(lambda: _revocations_are(other, "degraded"), within=10)
            assert (await health(other))["state"] == "degraded"
            assert await status(client) == 200

        await until(lambda: _revocations_are(other, "up"), within=10)


async def test_without_news_of_revocations_nobody_gets_in_where_the_operator_wants_it_so(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with another(api, revocation_stale_seconds=0.05, revocation_stale="refuse") as other, asyncio.timeout(10):
        client = client_of(other.app, token=token(api))
        assert await status(client) == 200

        with capture_logs(), monkeypatch.context() as patch:
            patch.setattr(Follower, "_read_changes", _fails)
            patch.setattr(Follower, "_read_everything", _fails)
            await until(lambda: _is(client, 503), within=10)

        await until(lambda: _is(client, 200), within=10)


async def _fails(self: Follower, *_: Any) -> None:
    raise OSError("nobody there")


async def _revocations_are(api: Api, state: str) -> bool:
    found: bool = (await health(api))["parts"]["revocations"]["state"] == state
    return found


async def test_without_postgresql_a_key_that_is_known_is_served_and_another_is_not_refused_but_put_off(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm, cold = [bearer(api, (await made(api.admin))["secret"]) for _ in range(2)]
    assert await status(warm) == 200

    async def fails(*_: Any) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(check.store, "find_anywhere", fails)

    assert await status(warm) == 200
    problem(await cold.get("/api/auth/verify"), 503)


async def test_a_database_that_was_restored_is_read_anew(api: Api, db: Connection) -> None:
    """Positions go back then, and what was revoked after the backup is not revoked any more."""
    client = client_of(api.app, token=token(api, jti="stolen"))
    await api.admin.post(REVOCATIONS, json={"jti": "stolen"})
    assert await status(client) == 401

    await db.execute("SELECT world.reset()")

    await until(lambda: _is(client, 200))


async def test_what_was_missed_is_learned_afterwards(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await made(api.admin)
    text = token(api, jti="stolen")
    async with another(api) as other, asyncio.timeout(10):
        with_key, with_token = (client_of(other.app, token=one) for one in (key["secret"], text))
        assert (await status(with_key), await status(with_token)) == (200, 200)
        with capture_logs() as lines, monkeypatch.context() as patch:
            patch.setattr(Follower, "_read_changes", _fails)
            patch.setattr(Follower, "_read_everything", _fails)
            await api.admin.post(REVOCATIONS, json={"jti": "stolen"})
            await api.admin.delete(f"{KEYS}/{key['id']}")
            await until(lambda: _truth(any(line["event"] == "revocations-not-followed" for line in lines)), within=10)

        await until(lambda: refused(with_key))
        await until(lambda: refused(with_token))


async def test_a_key_is_refused_everywhere_also_when_its_tenant_is_removed_before_anybody_looks(api: Api) -> None:
    tenant = await api.platform.put("/api/tenants/new", json={}, headers={"If-None-Match": "*"})
    key = await made(api.platform, tenantId="new")
    async with another(api, revocation_poll_seconds=0.5) as other:
        client = client_of(other.app, token=key["secret"])
        assert await status(client) == 200

        await api.platform.delete(f"{KEYS}/{key['id']}")
        removed = await api.platform.delete("/api/tenants/new", headers={"If-Match": tenant.headers["ETag"]})

        assert removed.status_code == 204
        await until(lambda: refused(client))


async def _truth(value: bool) -> bool:
    return value


# ---- A37: nothing of a secret gets anywhere ----


async def test_a37_no_secret_and_no_digest_is_in_logs_events_audit_or_answers(api: Api, db: Connection) -> None:
    with capture_logs() as lines:
        key = await made(api.admin)
        answer = await api.admin.post(
            f"{KEYS}/{key['id']}/rotate", json={"overlapSeconds": 60}, headers={"If-Match": key["etag"]}
        )
        secrets = [key["secret"], answer.json()["secret"]]
        wrong = secrets[0][:-1] + ("A" if secrets[0][-1] != "A" else "B")
        answers = [
            await bearer(api, secrets[0]).get("/api/auth/verify"),
            await bearer(api, wrong).get("/api/auth/verify"),
            await bearer(api, secrets[0]).get(f"/api/settings/{secrets[0]}"),
            await api.admin.get(KEYS),
            await api.admin.get(f"{KEYS}/{key['id']}"),
            await api.admin.get("/api/security/audit"),
            await api.admin.delete(f"{KEYS}/{key['id']}"),
            await bearer(api, secrets[0]).get("/api/auth/verify"),
        ]
    digests = await db.fetchrow("SELECT encode(secret_digest, 'hex'), pepper_id FROM api_key")
    told = [json.dumps([dict(line) for line in lines], default=str)]
    told += [response.text for response in answers if secrets[0] not in str(response.url)]
    for table in ("event", "audit_record"):
        told += [row["row"] for row in await db.fetch(f"SELECT t::text AS row FROM {table} t")]

    parts = [one.split("_")[3] for one in secrets]
    for canary in [*secrets, *parts, *(part[:32] for part in parts), *(part[8:24] for part in parts), *digests]:
        assert not [text for text in told if canary in text]
    assert [response.status_code for response in answers] == [200, 401, 404, 200, 200, 200, 204, 401]


# ---- When keys were used last ----


async def test_the_last_use_is_written_down_at_the_end_and_at_most_once_a_minute(api: Api, db: Connection) -> None:
    key = await made(api.admin)

    async def last_use() -> datetime | None:
        found: datetime | None = await db.fetchval("SELECT last_used_at FROM api_key")
        return found

    async with another(api) as other:
        await status(client_of(other.app, token=key["secret"]))
        assert await last_use() is None
    assert await last_use() == START

    for seconds, seen in ((59, START), (1, START + timedelta(seconds=60))):
        api.clock.step(seconds)
        async with another(api) as other:
            await status(client_of(other.app, token=key["secret"]))
            await status(client_of(other.app, token=key["secret"]))
        assert await last_use() == seen
    shown = (await api.of(PRINCIPALS["admin"]).get(f"{KEYS}/{key['id']}")).json()
    assert shown["lastUsedAt"] == "2026-03-04T12:01:00Z"
    assert shown["etag"] == key["etag"]


# ---- A03, A04, A09: issuers and their keys ----

REMOTE = "https://issuer.test"


class KeyServer:
    """An issuer's key server on loopback: answers with `answer`, and counts what it receives."""

    def __init__(self) -> None:
        self.answer: bytes | None = b""
        self.received = 0
        self.url = ""
        self.asked = asyncio.Event()

    async def respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.received += 1
            self.asked.set()
            if self.answer is None:  # never an answer
                await reader.read()
            else:
                writer.write(self.answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture
async def key_server() -> AsyncIterator[KeyServer]:
    served = KeyServer()
    server = await asyncio.start_server(served.respond, "127.0.0.1", 0)
    async with server:
        served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
        yield served
        server.close()


FIRST, SECOND = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def remote_token(key: Ed25519PrivateKey, kid: str, *, issued: datetime = START, **claims: Any) -> str:
    now = int(issued.timestamp())
    said = {"iss": REMOTE, "aud": "setpoint", "sub": "alice", "tenant": "acme", "iat": now, "exp": now + 3600}
    return jwt.encode(said | claims, key, algorithm="EdDSA", headers={"kid": kid})


@asynccontextmanager
async def believing(api: Api, server: KeyServer, **changes: Any) -> AsyncIterator[Api]:
    given: dict[str, Any] = {"jwt_issuer": REMOTE, "jwt_audience": "setpoint", "jwks": server.url}
    async with another(api, **given | changes) as other:
        yield other


async def test_a03_an_unknown_key_id_is_refused_at_once_and_asked_for_once(
    api: Api, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "COOLDOWN_SECONDS", 0.0)
    key_server.answer = http(jwks(jwk(FIRST, kid="k1")))
    async with believing(api, key_server) as other, asyncio.timeout(10):
        assert await status(client_of(other.app, token=remote_token(FIRST, "k1"))) == 200
        assert key_server.received == 1
        key_server.asked.clear()
        key_server.answer = http(jwks(jwk(FIRST, kid="k1"), jwk(SECOND, kid="k2")))
        newer = client_of(other.app, token=remote_token(SECOND, "k2"))

        assert await status(newer) == 401, "nobody waits for a key server"
        await key_server.asked.wait()
        await until(lambda: _is(newer, 200))
        for _ in range(5):
            assert await status(client_of(other.app, token=remote_token(SECOND, "k3"))) == 401
        await until(lambda: _truth(key_server.received == 3))

    assert key_server.received == 3


async def test_a03_invented_key_ids_cause_no_storm(api: Api, key_server: KeyServer) -> None:
    key_server.answer = http(jwks(jwk(FIRST, kid="k1")))
    async with believing(api, key_server) as other:
        for number in range(20):
            assert await status(client_of(other.app, token=remote_token(SECOND, f"k{number}x"))) == 401
        for odd in ("../../dev/null", "' OR 1=1 --", "x" * 4_000):
            assert await status(client_of(other.app, token=remote_token(SECOND, odd))) == 401

    assert key_server.received == 1


async def test_a04_a_key_server_that_a_token_names_hears_nothing(api: Api, key_server: KeyServer) -> None:
    for name in ("jku", "x5u"):
        text = jwt.encode(
            {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(START.timestamp()) + 60},
            FIRST,
            algorithm="EdDSA",
            headers={name: key_server.url, "kid": "k1"},
        )
        assert await status(client_of(api.app, token=text)) == 401

    assert key_server.received == 0


@pytest.mark.parametrize(
    "bad",
    [
        None,
        b"",
        http(b""),
        http(b"<html><body>Sign in</body></html>", "200 OK", "Content-Type: text/html"),
        http(b"", "302 Found", "Location: http://127.0.0.1:1/keys"),
        http(jwks(jwk(SECOND, kid="k2")), "503 Busy"),
        http(b"x" * 200_000),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b" " * 300_000,
        http(b"\x1f\x8b\x08\x00", "200 OK", "Content-Encoding: gzip"),
    ],
    ids=["slow", "nothing", "empty", "html", "redirect", "busy", "long", "100 MB", "compressed"],
)
async def test_a09_a_key_server_gone_wrong_blocks_nobody_and_leaves_the_last_good_keys(
    api: Api, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch, bad: bytes | None
) -> None:
    monkeypatch.setattr(keys, "COOLDOWN_SECONDS", 0.0)
    monkeypatch.setattr(keys, "FETCH_SECONDS", 0.3)
    key_server.answer = http(jwks(jwk(FIRST, kid="k1")))
    with capture_logs() as lines:
        async with believing(api, key_server) as other, asyncio.timeout(10):
            key_server.asked.clear()
            key_server.answer = bad
            assert await status(client_of(other.app, token=remote_token(SECOND, "k2"))) == 401
            await key_server.asked.wait()

            fresh = client_of(other.app, token=remote_token(FIRST, "k1", jti="cold"))
            assert await status(fresh) == 200
            await until(lambda: _truth(any(line["event"] == "jwks-unavailable" for line in lines)), within=10)
            assert await status(fresh) == 200
            assert await status(client_of(other.app, token=remote_token(SECOND, "k2"))) == 401


async def test_a09_a_key_that_was_withdrawn_is_refused_at_once_also_warm(
    api: Api, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "COOLDOWN_SECONDS", 0.0)
    key_server.answer = http(jwks(jwk(FIRST, kid="k1"), jwk(SECOND, kid="k2")))
    async with believing(api, key_server) as other, asyncio.timeout(10):
        old, new = (client_of(other.app, token=remote_token(*one)) for one in ((FIRST, "k1"), (SECOND, "k2")))
        assert (await status(old), await status(new)) == (200, 200)
        key_server.answer = http(jwks(jwk(SECOND, kid="k2")))
        assert await status(client_of(other.app, token=remote_token(FIRST, "k9"))) == 401

        await until(lambda: refused(old))
        assert await status(new) == 200


async def test_a09_keys_that_are_too_old_open_nothing(
    api: Api, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_server.answer = http(jwks(jwk(FIRST, kid="k1")))
    async with believing(api, key_server, jwks_max_stale_seconds=1000) as other:
        client = client_of(other.app, token=remote_token(FIRST, "k1"))
        assert await status(client) == 200
        now = keys.time.monotonic()
        monkeypatch.setattr(keys, "time", type("Later", (), {"monotonic": staticmethod(lambda: now + 1001)}))
        assert await status(client) == 401


# ---- A05: what an issuer may not say ----


async def test_a05_an_issuer_for_some_tenants_speaks_for_no_other_and_for_nobody_in_all(
    api: Api, tmp_path: Path
) -> None:
    (tmp_path / "keys.json").write_bytes(jwks(jwk(FIRST, kid="k1")))
    entry = {
        "issuer": REMOTE,
        "audience": "setpoint",
        "jwks": str(tmp_path / "keys.json"),
        "typ": "at+jwt",
        "claims": {"tenant": "org_id", "roles": "/realm_access/roles"},
        "tenants": ["acme"],
    }
    (tmp_path / "issuers.yaml").write_text(json.dumps([entry]))  # JSON is YAML

    def sent(typ: str | None = "at+jwt", **claims: Any) -> str:
        fields = {"iss": REMOTE, "aud": "setpoint", "sub": "alice", "exp": int(START.timestamp()) + 60, **claims}
        return jwt.encode(fields, FIRST, algorithm="EdDSA", headers={"kid": "k1", "typ": typ})

    async with another(api, issuers=str(tmp_path / "issuers.yaml")) as other:

        async def seen(text: str) -> tuple[int, Any]:
            response = await client_of(other.app, token=text).get("/api/auth/verify")
            return response.status_code, response.json().get("roles")

        roles = {"roles": ["admin", "platform_admin"]}
        assert await seen(sent(org_id="acme", realm_access=roles)) == (200, ["admin"])
        assert await seen(sent(org_id="acme", roles=["admin"])) == (200, [])
        for foreign in ({"org_id": "globex"}, {"tenant": "acme"}, {"org_id": None}, {"org_id": ["acme"]}, {}):
            assert await seen(sent(**foreign)) == (401, None)
        for typ in ("JWT", None, "id+jwt"):
            assert await seen(sent(typ, org_id="acme")) == (401, None)
        assert await seen(sent("application/AT+JWT", org_id="acme")) == (200, [])
        assert await status(other.admin) == 200, "the local issuer stands beside it"


async def test_a_token_may_name_scopes(api: Api) -> None:
    for claim, shown in (("settings:read keys:read", ["keys:read", "settings:read"]), ("", []), (..., None)):
        response = await client_of(api.app, token=token(api, scope=claim)).get("/api/auth/verify")
        assert response.json()["scopes"] == shown
    for wrong in (["settings:read"], 1, None, "a\\b", "é", "a\nb\0"):
        assert await status(client_of(api.app, token=token(api, scope=wrong))) == 401
