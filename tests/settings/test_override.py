"""A manager with a reason reaches into the other territories of its tenant, and the audit keeps the reason."""

from __future__ import annotations

import pytest

from tests.world import Api, make, match, pointers, problem

pytestmark = pytest.mark.anyio

REASON = {"Setpoint-Override-Reason": "Büro in CH brennt"}
AT_BERN = {"scope": "ACCOUNT", "scopeId": "bern", "key": "ui.theme"}


async def test_a_reason_opens_another_territory_and_stands_in_the_record(api: Api) -> None:
    made = await make(api.admin, "ui.theme", "dark", "ACCOUNT", "bern")
    path = f"/api/settings/{made['id']}"
    problem(await api.manager.get("/api/settings", params=AT_BERN), 404)
    problem(await api.manager.put(path, json={"value": "light"}, headers=match(made)), 404)

    read = await api.manager.get("/api/settings", params=AT_BERN, headers=_utf8(REASON))
    changed = await api.manager.put(path, json={"value": "light"}, headers={**match(read), **_utf8(REASON)})

    assert (read.status_code, changed.status_code) == (200, 200)
    record = (await api.auditor.get("/api/security/audit", params={"limit": 1})).json()["items"][0]
    assert (record["action"], record["actor"]["id"], record["reason"]) == ("setting.set", "maria", "Büro in CH brennt")


async def test_a_reason_is_good_for_one_request(api: Api) -> None:
    await make(api.admin, "ui.theme", "dark", "ACCOUNT", "bern")
    assert (await api.manager.get("/api/settings", params=AT_BERN, headers=_utf8(REASON))).status_code == 200

    problem(await api.manager.get("/api/settings", params=AT_BERN), 404)


async def test_a_reason_opens_nothing_to_others_and_no_other_tenant(api: Api) -> None:
    await make(api.admin, "ui.theme", "dark", "ACCOUNT", "bern")
    for client in (api.alice, api.nobody, api.globex, api.service):
        problem(await client.get("/api/settings", params=AT_BERN, headers=_utf8(REASON)), 404)
    elsewhere = {**AT_BERN, "scopeId": "initech", "tenantId": "globex"}
    problem(await api.manager.get("/api/settings", params=elsewhere, headers=_utf8(REASON)), 404)


@pytest.mark.parametrize("reason", [b"", b"  ", b"\xff", b"x" * 501, b"a\tb"])
async def test_a_reason_that_is_none_is_malformed(api: Api, reason: bytes) -> None:
    response = await api.manager.get("/api/settings", params=AT_BERN, headers={b"Setpoint-Override-Reason": reason})

    assert pointers(response, 400) == ["/header/Setpoint-Override-Reason"]


def _utf8(headers: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}
