"""Levels, scopes, contexts and chains."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import Malformed
from app.domain.scope import GLOBAL, Context, Level, Scope, ScopeId, TenantId, chain_of, require_tenant_id, scope_of
from tests.builders import ALICE, chain

BELOW_TENANT = list(Level)[2:]
tenant_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,6}", fullmatch=True)
scope_ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)


@st.composite
def scopes(draw: st.DrawFn) -> Scope:
    level = draw(st.sampled_from(Level))
    tenant = None if level is Level.GLOBAL else draw(tenant_ids)
    return scope_of(level, tenant=tenant, scope_id=draw(scope_ids) if level in BELOW_TENANT else None)


def refusal(level: Level, *, tenant: str | None, scope_id: str | None) -> str:
    with pytest.raises(Malformed) as caught:
        scope_of(level, tenant=tenant, scope_id=scope_id)
    assert len(caught.value.errors) == 1
    return caught.value.errors[0].pointer


def test_levels_stand_from_general_to_specific() -> None:
    assert [level.value for level in sorted(Level, key=lambda level: level.rank)] == [
        "GLOBAL",
        "TENANT",
        "TERRITORY",
        "ACCOUNT",
        "CONTACT_ROLE",
        "CONTACT",
        "USER",
    ]


def test_a_chain_names_all_seven_scopes_general_to_specific() -> None:
    assert [scope.path for scope in chain()] == [
        "GLOBAL",
        "TENANT/acme",
        "TERRITORY/acme/DE",
        "ACCOUNT/acme/a-1",
        "CONTACT_ROLE/acme/buyer",
        "CONTACT/acme/c-1",
        "USER/acme/alice",
    ]


def test_a_context_that_names_nothing_stands_in_global_alone() -> None:
    assert chain_of(Context()) == (GLOBAL,)


def test_levels_between_may_be_missing() -> None:
    assert [scope.path for scope in chain_of(Context(tenant_id="acme", user_id="alice"))] == [
        "GLOBAL",
        "TENANT/acme",
        "USER/acme/alice",
    ]


@pytest.mark.parametrize("field", Context.__struct_fields__[1:])
def test_a_scope_below_tenant_needs_a_tenant(field: str) -> None:
    with pytest.raises(Malformed) as caught:
        chain_of(Context(**{field: "x"}))

    assert [error.pointer for error in caught.value.errors] == ["#/tenantId"]


def test_a_context_is_read_by_the_names_of_the_wire() -> None:
    wire = {
        "tenantId": "acme",
        "territory": "DE",
        "accountId": "a-1",
        "contactRole": "buyer",
        "contactId": "c-1",
        "userId": "alice",
    }

    assert msgspec.convert(wire, Context) == ALICE


@given(scopes(), scopes())
def test_no_two_scopes_share_a_path(one: Scope, other: Scope) -> None:
    assert (one.path == other.path) is (one == other)


@given(tenant_ids, scope_ids, tenant_ids, scope_ids)
def test_slashes_in_scope_ids_do_not_mix_up_paths(tenant: str, scope_id: str, other: str, other_id: str) -> None:
    one = scope_of(Level.ACCOUNT, tenant=tenant, scope_id=f"{other}/{scope_id}")
    two = scope_of(Level.ACCOUNT, tenant=other, scope_id=other_id)

    assert (one.path == two.path) is (one == two)


def test_the_scope_id_of_a_tenant_may_be_left_out() -> None:
    named = scope_of(Level.TENANT, tenant="acme", scope_id="acme")

    assert scope_of(Level.TENANT, tenant="acme", scope_id=None) == named
    assert named.scope_id == "acme"


def test_global_belongs_to_no_tenant() -> None:
    assert scope_of(Level.GLOBAL, tenant="acme", scope_id=None) == GLOBAL


@pytest.mark.parametrize(
    ("level", "tenant", "scope_id", "pointer"),
    [
        (Level.GLOBAL, None, "x", "#/scopeId"),
        (Level.GLOBAL, None, "", "#/scopeId"),
        (Level.TENANT, None, None, "#/tenantId"),
        (Level.TENANT, "acme", "globex", "#/scopeId"),
        (Level.TENANT, "acme", "", "#/scopeId"),
        (Level.TENANT, "ac/me", None, "#/tenantId"),
        (Level.USER, None, "alice", "#/tenantId"),
        (Level.USER, "acme", None, "#/scopeId"),
        (Level.USER, "acme\n", "alice", "#/tenantId"),
    ],
)
def test_what_does_not_fit_together_is_malformed(
    level: Level, tenant: str | None, scope_id: str | None, pointer: str
) -> None:
    assert refusal(level, tenant=tenant, scope_id=scope_id) == pointer


GOOD_IDS = ["a", "DE", "a b", "a/b", "ä", "东京", "😀", "a'b", '"', "%2e", "..", "e\u0301", "x" * 200]
BAD_IDS = [
    "",
    " ",
    " a",
    "a ",
    "a\n",
    "\na",
    "a\nb",
    "a\tb",
    "a\0b",
    "\0",
    "a\x7f",
    "a\x85b",
    "\u00a0a",
    "a\u3000",
    "a\u00adb",  # soft hyphen
    "a\u061cb",  # Arabic letter mark
    "a\u180eb",  # Mongolian vowel separator
    "a\u200bb",  # zero-width space
    "a\u200d",
    "a\u200fb",  # right-to-left mark
    "a\u2028b",
    "a\u202eb",  # right-to-left override
    "a\u2060b",
    "a\u2066b",
    "\ufeffa",
    "a\ufffd",
    "a\ud800",
    "x" * 201,
]


@pytest.mark.parametrize("scope_id", GOOD_IDS, ids=ascii)
@pytest.mark.parametrize("level", BELOW_TENANT)
def test_printable_scope_ids_are_taken(level: Level, scope_id: str) -> None:
    assert scope_of(level, tenant="acme", scope_id=scope_id).scope_id == scope_id


@pytest.mark.parametrize("scope_id", BAD_IDS, ids=ascii)
def test_scope_ids_that_cannot_be_seen_or_stored_are_refused(scope_id: str) -> None:
    assert refusal(Level.USER, tenant="acme", scope_id=scope_id) == "#/scopeId"


@pytest.mark.parametrize("scope_id", GOOD_IDS, ids=ascii)
def test_the_type_of_request_fields_takes_what_the_rule_takes(scope_id: str) -> None:
    assert msgspec.convert(scope_id, ScopeId) == scope_id


@pytest.mark.parametrize("scope_id", BAD_IDS, ids=ascii)
def test_the_type_of_request_fields_refuses_what_the_rule_refuses(scope_id: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(scope_id, ScopeId)


@pytest.mark.parametrize("tenant", ["a", "acme", "ACME", "a.b_c-d", "0", "x" * 200])
def test_tenant_ids(tenant: str) -> None:
    assert require_tenant_id(tenant) == tenant


@pytest.mark.parametrize(
    "tenant", ["", " ", "-a", ".a", "_a", "a/b", "a b", "a\n", "a\0", "ä", "\u0430cme", "\u212aa", "x" * 201], ids=ascii
)
def test_tenant_ids_that_could_be_taken_for_others_are_refused(tenant: str) -> None:
    with pytest.raises(Malformed) as caught:
        require_tenant_id(tenant)

    assert [error.pointer for error in caught.value.errors] == ["#/tenantId"]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(tenant, TenantId)
