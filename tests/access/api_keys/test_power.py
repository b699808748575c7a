"""Nobody hands on what they do not have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.api_keys.power import Power, excess
from app.domain.access import Principal
from app.domain.definition import Sensitivity
from tests.world import PRINCIPALS

ROLES = ["platform_admin", "admin", "manager", "user", "auditor", "service", "pricing"]


def power(**changes: Any) -> Power:
    fields: dict[str, Any] = {
        "tenant": "acme",
        "roles": ("service",),
        "territories": (),
        "accounts": (),
        "clearance": Sensitivity.INTERNAL,
        "scopes": None,
    }
    return Power(**(fields | changes))


@pytest.mark.parametrize(
    ("who", "changes", "beyond"),
    [
        ("admin", {}, []),
        ("admin", {"roles": ("admin", "auditor", "manager", "service", "user")}, []),
        ("admin", {"territories": ("anywhere",), "accounts": ("any",), "clearance": Sensitivity.SECRET}, []),
        ("admin", {"roles": ("platform_admin",)}, ["#/roles"]),
        ("admin", {"roles": ("pricing",)}, ["#/roles"]),
        ("admin", {"tenant": "globex"}, ["#/tenantId"]),
        ("admin", {"tenant": None}, ["#/tenantId"]),
        ("clerk", {"clearance": Sensitivity.CONFIDENTIAL}, ["#/clearance"]),
        ("manager", {"roles": ("manager",), "territories": ("DE",)}, []),
        ("manager", {"roles": ("manager",), "territories": ("CH", "DE")}, ["#/territories"]),
        ("manager", {"roles": ("manager",), "accounts": ("adler",)}, ["#/accounts"]),
        ("manager", {"roles": ("user",)}, ["#/roles"]),
        ("platform", {"tenant": "globex", "roles": ("pricing", "platform_admin")}, []),
        ("platform", {"tenant": None, "clearance": Sensitivity.SECRET}, []),
    ],
)
def test_what_is_beyond_whom(who: str, changes: dict[str, Any], beyond: list[str]) -> None:
    assert [one.pointer for one in excess(power(**changes), over=PRINCIPALS[who])] == beyond


names = st.lists(st.sampled_from(["DE", "CH"]), unique=True).map(tuple)
powers = st.builds(
    Power,
    tenant=st.sampled_from([None, "acme", "globex"]),
    roles=st.lists(st.sampled_from(ROLES), unique=True).map(tuple),
    territories=names,
    accounts=names,
    clearance=st.sampled_from(Sensitivity),
    scopes=st.none() | names,
)


def bearer(of: Power) -> Principal:
    return Principal(
        id="key",
        tenant=of.tenant,
        roles=of.roles,
        territories=of.territories,
        accounts=of.accounts,
        clearance=of.clearance.rank,
        scopes=of.scopes or (),
        scoped=of.scopes is not None,
    )


@given(powers)
def test_everybody_may_hand_on_exactly_what_they_have(mine: Power) -> None:
    assert excess(mine, over=bearer(mine)) == []


@given(powers, powers, powers)
def test_handing_on_twice_gives_no_more_than_handing_on_once(first: Power, second: Power, third: Power) -> None:
    """A key made by a key is within the power of whoever made the first."""
    if not excess(second, over=bearer(first)) and not excess(third, over=bearer(second)):
        assert excess(third, over=bearer(first)) == []
