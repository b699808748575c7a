"""What an issuer may make of anybody, however its tokens say it."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.claims import ClaimNames, Claims, claims_of, principal_of
from app.domain.access import EVERYWHERE, reach_of
from app.domain.errors import Unauthenticated
from tests.builders import json_values

BASE = {"sub": "alice", "exp": 1}


def test_a_claim_is_found_by_its_name_or_by_a_pointer_into_it() -> None:
    names = ClaimNames(tenant="https://a.test/org", roles="/realm_access/roles", territories="/a~1b/c~0d")
    payload = {
        **BASE,
        "https://a.test/org": "acme",
        "realm_access": {"roles": ["admin"]},
        "a/b": {"c~d": ["DE"]},
        "tenant": "globex",
        "roles": ["platform_admin"],
    }

    found = claims_of(payload, names)

    assert (found.tenant, found.roles, found.territories) == ("acme", ("admin",), ("DE",))


@pytest.mark.parametrize("realm", [None, 1, [], {}, {"roles": None}, {"roles": "admin"}, {"roles": [1]}, "roles"])
def test_what_a_pointer_does_not_find_is_left_out_and_what_is_wrong_is_refused(realm: Any) -> None:
    names = ClaimNames(roles="/realm_access/roles")
    wrong = isinstance(realm, dict) and "roles" in realm

    if wrong:
        with pytest.raises(msgspec.ValidationError):
            claims_of({**BASE, "realm_access": realm}, names)
    else:
        assert claims_of({**BASE, "realm_access": realm}, names).roles == ()


@given(
    tenant=st.sampled_from([None, "acme", "globex", "*"]),
    roles=st.lists(st.sampled_from(["admin", "platform_admin", "user", "x"])),
    tenants=st.sampled_from([None, ("acme",), ("acme", "initech")]),
    allowed=st.sampled_from([None, (), ("user",), ("user", "platform_admin")]),
)
def test_an_issuer_makes_nobody_more_than_it_may(
    tenant: str | None, roles: list[str], tenants: tuple[str, ...] | None, allowed: tuple[str, ...] | None
) -> None:
    said = Claims(sub="alice", exp=1, tenant=tenant, roles=tuple(roles))
    if tenants is not None and tenant not in tenants:
        with pytest.raises(Unauthenticated):
            principal_of(said, tenants=tenants, roles=allowed)
        return

    principal = principal_of(said, tenants=tenants, roles=allowed)

    assert set(principal.roles) <= set(roles)
    assert allowed is None or set(principal.roles) <= set(allowed)
    if tenants is not None:
        assert principal.tenant in tenants
        assert reach_of(principal) != EVERYWHERE


@given(st.dictionaries(st.sampled_from(["sub", "exp", "tenant", "roles", "a", "scope", "jti"]), json_values))
def test_any_payload_is_read_or_refused_as_invalid(payload: dict[str, Any]) -> None:
    with contextlib.suppress(msgspec.ValidationError, Unauthenticated):
        principal_of(claims_of(payload, ClaimNames(roles="/a/b", tenant="a")), tenants=("acme",))
