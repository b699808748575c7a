"""Evaluation with `explain`: condition by condition, to who may read the rules, of what they may see."""

from __future__ import annotations

from typing import Any

import pytest

from tests.world import Api, make

pytestmark = pytest.mark.anyio


def asked(action: str, key: str = "ui.theme", **more: Any) -> dict[str, Any]:
    return {"action": action, "resource": {"type": "setting", "scope": "TENANT", "key": key}, "explain": True, **more}


async def test_an_admin_is_told_which_rule_grants(api: Api) -> None:
    answer = (await api.admin.post("/api/security/evaluate", json=asked("write"))).json()

    assert answer["decision"] is True
    assert answer["explanation"]
    for one in answer["explanation"]:
        assert (one["decision"], one["policyVersion"]) == (True, answer["policyVersion"])
        holding = [way for way in one["allow"] if way["holds"]]
        assert "'admin' in p.roles" in [condition["condition"] for condition in holding[0]["conditions"]]


async def test_an_auditor_is_told_what_is_missing(api: Api) -> None:
    answer = (await api.auditor.post("/api/security/evaluate", json=asked("write"))).json()

    assert (answer["decision"], answer["reason"]) == (False, "forbidden")
    nearest = answer["explanation"][0]["allow"][0]
    assert nearest["holds"] is False
    assert [one["holds"] for one in nearest["conditions"]].count(False) == 1


@pytest.mark.parametrize("who", ["alice", "manager", "service"])
async def test_who_may_not_read_the_rules_gets_the_decision_alone(api: Api, who: str) -> None:
    answer = (await getattr(api, who).post("/api/security/evaluate", json=asked("resolve"))).json()

    assert "explanation" not in answer


async def test_what_may_not_be_seen_is_not_explained(api: Api) -> None:
    """The conditions would tell that it is there, and how sensitive it is."""
    await make(api.admin, "limit.secret", 4711)
    hidden = (await api.clerk.post("/api/security/evaluate", json=asked("read", "limit.secret"))).json()
    absent = (await api.clerk.post("/api/security/evaluate", json=asked("read", "limit.absent"))).json()

    assert hidden.keys() == absent.keys()
    assert "explanation" not in hidden
