"""Facts name what they happened to, and never say what a value is."""

from __future__ import annotations

import typing
from uuid import UUID

import msgspec
import pytest

from app.domain.event import (
    ApiKeyCreated,
    ApiKeyRevoked,
    ApiKeyRotated,
    CredentialsRevoked,
    DefinitionChanged,
    DefinitionCreated,
    DefinitionDeleted,
    Fact,
    Feed,
    RevocationLifted,
    ScopeDescribed,
    ScopeForgotten,
    TenantRegistered,
    TenantRemoved,
    ValueSet,
    ValueUnset,
)
from app.domain.scope import GLOBAL, Level
from tests.builders import scope_at

USER = scope_at(Level.USER, "alice")
ID = UUID(int=7)

# the fact, its type, tenant, aggregate type and aggregate id
FACTS: list[tuple[Fact, str, str | None, str, str]] = [
    (
        ValueSet(setting_id=ID, scope=USER, key="ui.theme", version=1),
        "setting.value-set",
        "acme",
        "setting",
        str(ID),
    ),
    (
        ValueUnset(setting_id=ID, scope=GLOBAL, key="ui.theme", version=2),
        "setting.value-unset",
        None,
        "setting",
        str(ID),
    ),
    (DefinitionCreated(key="ui.theme", version=1), "setting.definition-created", None, "definition", "ui.theme"),
    (DefinitionChanged(key="ui.theme", version=2), "setting.definition-changed", None, "definition", "ui.theme"),
    (DefinitionDeleted(key="ui.theme", version=3), "setting.definition-deleted", None, "definition", "ui.theme"),
    (ScopeDescribed(scope=USER, version=1), "setting.scope-described", "acme", "scope", "USER/acme/alice"),
    (ScopeForgotten(scope=USER, version=2), "setting.scope-forgotten", "acme", "scope", "USER/acme/alice"),
    (TenantRegistered(tenant_id="acme", version=1), "setting.tenant-registered", "acme", "tenant", "acme"),
    (TenantRemoved(tenant_id="acme", version=2), "setting.tenant-removed", "acme", "tenant", "acme"),
    (ApiKeyCreated(key_id="k1", tenant_id="acme", version=1), "access.api-key-created", "acme", "api-key", "k1"),
    (ApiKeyRotated(key_id="k1", tenant_id="acme", version=2), "access.api-key-rotated", "acme", "api-key", "k1"),
    (ApiKeyRevoked(key_id="k1", tenant_id=None, version=3), "access.api-key-revoked", None, "api-key", "k1"),
    (
        CredentialsRevoked(revocation_id=ID, tenant_id="acme", version=1),
        "access.credentials-revoked",
        "acme",
        "revocation",
        str(ID),
    ),
    (
        RevocationLifted(revocation_id=ID, tenant_id=None, version=2),
        "access.revocation-lifted",
        None,
        "revocation",
        str(ID),
    ),
]


@pytest.mark.parametrize(("fact", "type_", "tenant", "aggregate_type", "aggregate_id"), FACTS)
def test_what_a_fact_says_of_itself(
    fact: Fact, type_: str, tenant: str | None, aggregate_type: str, aggregate_id: str
) -> None:
    assert (fact.type, fact.tenant, fact.aggregate_type, fact.aggregate_id) == (
        type_,
        tenant,
        aggregate_type,
        aggregate_id,
    )


def test_the_table_is_complete_and_no_two_facts_share_a_type() -> None:
    assert {type(fact) for fact, *_ in FACTS} == set(typing.get_args(Fact))
    assert len({fact.type for fact, *_ in FACTS}) == len(FACTS)


@pytest.mark.parametrize("fact", [fact for fact, *_ in FACTS], ids=lambda fact: fact.type)
def test_facts_are_camel_case_on_the_wire_and_can_be_read_back(fact: Fact) -> None:
    wire = msgspec.json.encode(fact)

    assert b"_" not in b"".join(name.encode() for name in msgspec.json.decode(wire))
    assert b'"value"' not in wire
    assert msgspec.json.decode(wire, type=type(fact)) == fact


def test_the_numbers_of_the_feeds_are_stored_and_stay() -> None:
    assert {feed.name: feed.value for feed in Feed} == {"SETTINGS": 1, "DOMAIN": 2}
