"""What operators see of the cache, and who is an operator."""

from __future__ import annotations

from typing import Any

import pytest

from tests.guarantees.workers import another, flush, until_true
from tests.world import DE_CONTEXT, Api, make, match, problem

pytestmark = pytest.mark.anyio

EFFECTIVE = "/api/settings/effective"
ASKED = {"Setpoint-Server-Timing": "1"}


async def report(api: Api) -> dict[str, Any]:
    response = await api.platform.get("/api/operations/cache")
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


async def test_reads_are_counted_by_the_tier_that_answered(api: Api) -> None:
    for _ in range(4):
        await api.alice.get(EFFECTIVE, params=DE_CONTEXT)

    seen = await report(api)

    assert seen["reads"] == 4
    assert seen["answered"]["l1"] == 3
    assert seen["hitRate"] >= 75
    assert seen["availability"] == 100
    assert seen["tiers"]["views"] == {"hits": 3, "misses": 1}
    assert 0 < seen["tiers"]["l1"]["bytes"] <= seen["tiers"]["l1"]["limitBytes"]
    assert sum(seen["missCauses"].values()) == seen["tiers"]["postgresql"]["fills"]


async def test_a_change_shows_as_what_was_invalidated_and_rebuilds_what_it_touched(api: Api) -> None:
    contexts = [{"userId": "alice"}, {"userId": "bob"}]
    made = await make(api.admin, "ui.theme", "dark", "USER", "alice")
    for context in contexts:
        await api.admin.get(EFFECTIVE, params=context)
    before = await report(api)

    await api.admin.put(f"/api/settings/{made['id']}", json={"value": "auto"}, headers=match(made))
    for context in contexts:
        await api.admin.get(EFFECTIVE, params=context)

    after = await report(api)
    assert after["missCauses"]["invalidated"] - before["missCauses"]["invalidated"] == 1
    assert after["tiers"]["views"]["misses"] - before["tiers"]["views"]["misses"] == 1
    assert after["tiers"]["views"]["hits"] - before["tiers"]["views"]["hits"] == 1


async def test_a_small_cache_keeps_to_its_bytes_and_says_what_had_to_go(api: Api) -> None:
    async with another(api, l1_bytes=40_000, redis_url=None) as worker:
        for _ in range(2):
            for number in range(60):
                assert (await worker.admin.get(EFFECTIVE, params={"userId": f"u{number}"})).status_code == 200
                assert worker.registry.hot.local.bytes <= 40_000

        seen = await report(worker)

    assert seen["tiers"]["l1"]["evictions"] > 0
    assert seen["missCauses"]["evicted"] > 0
    assert seen["tiers"]["l2"]["circuit"] == "none"


async def test_the_tailer_shows_what_it_knows(api: Api) -> None:
    tailer = (await report(api))["tailer"]

    assert tailer["fresh"] is True
    assert tailer["head"] > 0
    assert tailer["floor"] == 0
    assert tailer["failures"] == tailer["resets"] == 0
    await until_true(lambda: bool(api.registry.hot.tailer.doorbell and api.registry.hot.tailer.doorbell.connected))
    assert (await report(api))["tailer"]["listening"] is True


async def test_the_summary_is_a_part_of_the_report(api: Api) -> None:
    await api.alice.get(EFFECTIVE)

    summary = (await api.platform.get("/api/settings/stats/cache")).json()

    for who in ("admin", "auditor", "globex"):  # sums, that name no tenant
        assert (await getattr(api, who).get("/api/settings/stats/cache")).status_code == 200
        problem(await getattr(api, who).get("/api/operations/cache"), 404)
    assert set(summary) == {"hitRate", "availability", "avgResponseTimeMs", "tiers"}
    assert set(summary["tiers"]) == {"views", "l1", "l2", "postgresql"}


@pytest.mark.parametrize("path", ["/api/settings/stats/cache", "/api/operations/cache"])
async def test_who_is_no_operator_does_not_see_it(api: Api, path: str) -> None:
    for who in ("alice", "manager", "service", "nobody"):
        problem(await getattr(api, who).get(path), 404)
    problem(await api.anonymous.get(path), 401)


async def test_an_operator_may_ask_which_tier_answered(api: Api) -> None:
    await flush(api)
    async with another(api, l1_bytes=0) as worker:

        async def tier() -> str | None:
            response = await worker.platform.get(
                EFFECTIVE, params={"tenantId": "acme", "territory": "DE"}, headers=ASKED
            )
            return response.headers.get("Server-Timing")

        assert await tier() == 'cache;desc="postgresql"'
        await until_true(lambda: worker.registry.hot.counters.l2_writes >= 2)
        assert await tier() == 'cache;desc="l2"'
    for path, query in ((EFFECTIVE, {}), ("/api/settings/resolve/ui.theme", {})):
        await api.platform.get(path, params={"tenantId": "acme"} | query)
        response = await api.platform.get(path, params={"tenantId": "acme"} | query, headers=ASKED)
        assert response.headers["Server-Timing"] == 'cache;desc="l1"'


async def test_nobody_else_is_told(api: Api) -> None:
    for who in ("alice", "manager", "service"):
        response = await getattr(api, who).get(EFFECTIVE, headers=ASKED)
        assert response.status_code == 200
        assert "Server-Timing" not in response.headers
    assert "Server-Timing" not in (await api.platform.get(EFFECTIVE)).headers
