"""Every kind of change there is, as one request each, with the event that it should leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import httpx

from tests.world import CREATE, DEFINITIONS, LEVELS, Api, make, match, place

Send = Callable[[], Awaitable[httpx.Response]]
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


class Mutation(NamedTuple):
    """`prepare` makes what is to be changed and gives the request; `events` are types in order."""

    operation: str
    prepare: Callable[[Api], Awaitable[Send]]
    events: tuple[str, ...]
    tenant: str | None


async def _create(api: Api) -> Send:
    body = {"key": "ui.theme", "value": "dark", **place("TENANT")}
    return lambda: api.root.post("/api/settings", json=body)


async def _create_global(api: Api) -> Send:
    body = {"key": "ui.theme", "value": "dark", **place("GLOBAL")}
    return lambda: api.root.post("/api/settings", json=body)


async def _replace(api: Api) -> Send:
    made = await make(api.root, "ui.theme", "dark")
    return lambda: api.root.put(f"/api/settings/{made['id']}", json={"value": "auto"}, headers=match(made))


async def _patch(api: Api) -> Send:
    made = await make(api.root, "ui.theme", "dark")
    headers = match(made) | MERGE_PATCH
    return lambda: api.root.patch(f"/api/settings/{made['id']}", json={"value": "auto"}, headers=headers)


async def _unset(api: Api) -> Send:
    made = await make(api.root, "ui.theme", "dark")
    return lambda: api.root.delete(f"/api/settings/{made['id']}", headers=match(made))


async def _batch(api: Api) -> Send:
    doomed = await make(api.root, "ui.theme", "dark")
    operations: list[dict[str, Any]] = [
        {"op": "set", "key": "ui.density", "value": 1, **place("TENANT")},
        {"op": "unset", "key": "ui.theme", "ifMatch": doomed["etag"], **place("TENANT")},
        {"op": "set", "key": "ui.density", "value": 2, **place("USER", "alice")},
    ]
    headers = {"Idempotency-Key": "once"}
    return lambda: api.root.post("/api/settings/batch", json={"operations": operations}, headers=headers)


async def _define(api: Api) -> Send:
    body = {"schema": True, "default": 0, "levels": LEVELS}
    return lambda: api.root.put("/api/definitions/new.key", json=body, headers=CREATE)


async def _redefine(api: Api) -> Send:
    current = await api.root.get("/api/definitions/ui.theme")
    body = {"levels": LEVELS, **DEFINITIONS["ui.theme"], "default": "dark"}
    return lambda: api.root.put("/api/definitions/ui.theme", json=body, headers=match(current))


async def _undefine(api: Api) -> Send:
    current = await api.root.get("/api/definitions/ui.theme")
    return lambda: api.root.delete("/api/definitions/ui.theme", headers=match(current))


async def _describe(api: Api) -> Send:
    return lambda: api.root.put("/api/scopes/USER/dora", json={"territory": "DE"}, headers=CREATE)


async def _move(api: Api) -> Send:
    current = await api.root.get("/api/scopes/ACCOUNT/adler")
    return lambda: api.root.put("/api/scopes/ACCOUNT/adler", json={"territory": "CH"}, headers=match(current))


async def _forget(api: Api) -> Send:
    current = await api.root.get("/api/scopes/ACCOUNT/adler")
    return lambda: api.root.delete("/api/scopes/ACCOUNT/adler", headers=match(current))


async def _register(api: Api) -> Send:
    return lambda: api.root.put("/api/tenants/initech", json={}, headers=CREATE)


async def _rename(api: Api) -> Send:
    current = await (await _register(api))()
    return lambda: api.root.put("/api/tenants/initech", json={"name": "I"}, headers=match(current))


async def _remove(api: Api) -> Send:
    current = await (await _register(api))()
    return lambda: api.root.delete("/api/tenants/initech", headers=match(current))


API_KEYS, REVOCATIONS = "/api/security/api-keys", "/api/security/revocations"


async def _key(api: Api) -> Send:
    body = {"name": "reader", "roles": ["service"]}
    return lambda: api.root.post(API_KEYS, json=body)


async def _rotate(api: Api) -> Send:
    made = (await (await _key(api))()).json()
    return lambda: api.root.post(f"{API_KEYS}/{made['id']}/rotate", json={"overlapSeconds": 9}, headers=match(made))


async def _end_key(api: Api) -> Send:
    made = (await (await _key(api))()).json()
    return lambda: api.root.delete(f"{API_KEYS}/{made['id']}")


async def _revoke(api: Api) -> Send:
    return lambda: api.root.post(REVOCATIONS, json={"jti": "stolen", "reason": "lost"})


async def _lift(api: Api) -> Send:
    made = (await (await _revoke(api))()).json()
    return lambda: api.root.delete(f"{REVOCATIONS}/{made['id']}")


SET, UNSET = "setting.value-set", "setting.value-unset"
MUTATIONS = {
    "create": Mutation("createSetting", _create, (SET,), "acme"),
    "create globally": Mutation("createSetting", _create_global, (SET,), None),
    "replace": Mutation("replaceSetting", _replace, (SET,), "acme"),
    "patch": Mutation("patchSetting", _patch, (SET,), "acme"),
    "unset": Mutation("unsetSetting", _unset, (UNSET,), "acme"),
    "batch": Mutation("applyBatch", _batch, (SET, UNSET, SET), "acme"),
    "define": Mutation("putDefinition", _define, ("setting.definition-created",), None),
    "redefine": Mutation("putDefinition", _redefine, ("setting.definition-changed",), None),
    "undefine": Mutation("deleteDefinition", _undefine, ("setting.definition-deleted",), None),
    "describe": Mutation("putScope", _describe, ("setting.scope-described",), "acme"),
    "move": Mutation("putScope", _move, ("setting.scope-described",), "acme"),
    "forget": Mutation("deleteScope", _forget, ("setting.scope-forgotten",), "acme"),
    "register": Mutation("putTenant", _register, ("setting.tenant-registered",), "initech"),
    "rename": Mutation("putTenant", _rename, ("setting.tenant-registered",), "initech"),
    "create a key": Mutation("createApiKey", _key, ("access.api-key-created",), "acme"),
    "rotate a key": Mutation("rotateApiKey", _rotate, ("access.api-key-rotated",), "acme"),
    "revoke a key": Mutation("revokeApiKey", _end_key, ("access.api-key-revoked",), "acme"),
    "revoke": Mutation("addRevocation", _revoke, ("access.credentials-revoked",), "acme"),
    "lift": Mutation("liftRevocation", _lift, ("access.revocation-lifted",), "acme"),
    "remove": Mutation("deleteTenant", _remove, ("setting.tenant-removed",), "initech"),
}
