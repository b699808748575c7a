"""`GET /api/security/policy`, and what health says of a policy that cannot be used."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.config import Config
from tests.fixtures import running
from tests.world import Api, SteppableClock, problem

pytestmark = pytest.mark.anyio

RULES = (
    'allow(p: Principal, "read", _p: Policy) if "admin" in p.roles;\n'
    'allow(p: Principal, "write", t: Tenant) if "platform_admin" in p.roles and t.tenant != "acme";\n'
)


async def test_who_may_sees_the_rules_as_they_were_compiled(api: Api) -> None:
    found = (await api.auditor.get("/api/security/policy")).json()

    assert found["files"] == ["access.polar", "events.polar", "registry.polar", "scopes.polar", "settings.polar"]
    assert found["digest"].startswith(found["version"])
    assert found["lastError"] is None
    assert found["selfTest"] == {"cases": 30 * len(found["rules"]), "mismatches": 0}
    [rule] = [one for one in found["rules"] if (one["type"], one["action"]) == ("Tenant", "write")]
    assert rule["allow"] == "def decide(p, r, c):\n    return ('platform_admin' in p.roles)\n"
    assert rule["forbid"] is not None


@pytest.mark.parametrize("who", ["alice", "manager", "service", "nobody"])
async def test_others_do_not(api: Api, who: str) -> None:
    problem(await getattr(api, who).get("/api/security/policy"), 404)


async def test_a_policy_that_cannot_be_used_is_in_health_with_file_line_and_reason(
    api: Api, tmp_path: Path, clock: SteppableClock
) -> None:
    file = tmp_path / "own.polar"
    file.write_text(RULES)
    config: Config = msgspec.structs.replace(api.config, policies_dir=str(tmp_path))
    async with running(config, clock=clock) as other:
        before = (await other.admin.get("/api/security/policy")).json()["version"]
        assert (await other.anonymous.get("/api/health")).json()["parts"]["policy"]["state"] == "up"

        file.write_text(RULES + 'allow(p: Principal, "read", _t: Tenant) if\n    p.rolls = "x";\n')
        health = await _health_when_policy_is(other, "degraded")
        assert health["state"] == "degraded"
        assert "own.polar:3: read on Tenant: p.rolls" in health["parts"]["policy"]["lastError"]
        assert (await other.anonymous.get("/api/health/ready")).status_code == 200
        found = (await other.admin.get("/api/security/policy")).json()
        assert found["version"] == before
        assert found["lastError"] == health["parts"]["policy"]["lastError"]

        file.write_text(RULES + READ_TENANTS)
        await _health_when_policy_is(other, "up")
        assert (await other.admin.get("/api/security/policy")).json()["version"] != before


READ_TENANTS = 'allow(p: Principal, "read", _t: Tenant) if "admin" in p.roles;\n'


async def _health_when_policy_is(api: Api, state: str) -> dict[str, Any]:
    """The files are looked at every second, and a change counts at the second look."""
    async with asyncio.timeout(20):
        while True:
            health: dict[str, Any] = (await api.anonymous.get("/api/health")).json()
            if health["parts"]["policy"]["state"] == state:
                return health
            await asyncio.sleep(0.05)
