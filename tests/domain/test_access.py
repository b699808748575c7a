"""The attributes that rules speak of, and where they come from."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import get_args

import pytest

from app.domain.access import (
    ACTIONS,
    UNKNOWN,
    Action,
    ApiKeyResource,
    AuditResource,
    Circumstances,
    DecisionPointResource,
    DefinitionResource,
    EventResource,
    OperationsResource,
    PolicyResource,
    Principal,
    Resource,
    ScopeFacts,
    ScopeResource,
    SettingResource,
    TenantResource,
    circumstances_at,
    described,
    facts_of,
    setting_at,
)
from app.domain.definition import Sensitivity
from app.domain.scope import GLOBAL, Level
from tests.builders import scope_at

ENTRY = ScopeFacts(territory="FR", owner="bob")


@pytest.mark.parametrize(
    ("scope", "entry", "expected"),
    [
        (GLOBAL, UNKNOWN, ScopeFacts()),
        (scope_at(Level.TENANT), UNKNOWN, ScopeFacts()),
        (scope_at(Level.TERRITORY, "DE"), UNKNOWN, ScopeFacts(territory="DE")),
        (scope_at(Level.TERRITORY, "DE"), ENTRY, ScopeFacts(territory="DE", owner="bob")),
        (scope_at(Level.USER, "alice"), UNKNOWN, ScopeFacts(owner="alice")),
        (scope_at(Level.USER, "alice"), ENTRY, ScopeFacts(territory="FR", owner="alice")),
        (scope_at(Level.ACCOUNT, "a-1"), UNKNOWN, ScopeFacts()),
        (scope_at(Level.ACCOUNT, "a-1"), ENTRY, ENTRY),
        (scope_at(Level.CONTACT_ROLE, "buyer"), ENTRY, ENTRY),
        (scope_at(Level.CONTACT, "c-1"), ENTRY, ENTRY),
    ],
    ids=str,
)
def test_what_a_level_implies_stands_above_what_an_entry_claims(scope: object, entry: object, expected: object) -> None:
    assert facts_of(scope, entry) == expected  # type: ignore[arg-type]


def test_without_an_entry_nothing_is_known() -> None:
    assert facts_of(scope_at(Level.ACCOUNT, "a-1")) == UNKNOWN


def test_a_setting_at_a_scope_has_its_attributes() -> None:
    resource = setting_at(scope_at(Level.USER, "alice"), ScopeFacts(territory="DE", owner="alice"), Sensitivity.SECRET)

    assert resource == SettingResource(
        tenant="acme", level="USER", scope_id="alice", territory="DE", owner="alice", sensitivity=3
    )


def test_a_principal_of_whom_nothing_is_known_has_nothing() -> None:
    somebody = Principal(id="x")

    assert (somebody.tenant, somebody.roles, somebody.territories, somebody.accounts) == (None, (), (), ())
    assert somebody.clearance == Sensitivity.INTERNAL.rank


def test_the_words_of_the_actions_are_those_of_the_policy() -> None:
    assert [action.value for action in Action] == ["resolve", "read", "write", "assert"]
    assert set(ACTIONS) == set(get_args(Resource))


@pytest.mark.parametrize(
    ("resource", "shown"),
    [
        (setting_at(scope_at(Level.ACCOUNT, "a-1"), UNKNOWN, Sensitivity.PUBLIC), "setting/ACCOUNT/acme/a-1"),
        (setting_at(GLOBAL, UNKNOWN, Sensitivity.PUBLIC), "setting/GLOBAL"),
        (
            ScopeResource(tenant="acme", level="USER", scope_id="alice", territory=None, owner="alice"),
            "scope/USER/acme/alice",
        ),
        (DefinitionResource(sensitivity=0), "definition"),
        (TenantResource(tenant="acme"), "tenant/acme"),
        (AuditResource(tenant="acme"), "audit/acme"),
        (ApiKeyResource(tenant="acme", owner="anna"), "api-key/acme"),
        (EventResource(tenant="acme", type="order.paid", aggregate_type="order"), "event/acme/order.paid"),
        (PolicyResource(), "policy"),
        (OperationsResource(tenant="acme"), "operations/acme"),
        (DecisionPointResource(tenant="acme"), "decision-point/acme"),
    ],
    ids=str,
)
def test_every_resource_can_be_named_in_one_line(resource: Resource, shown: str) -> None:
    assert described(resource) == shown


def test_circumstances_are_told_in_utc() -> None:
    """Also where the clock is another: 00:30 on a Monday in Berlin is still Sunday."""
    berlin = datetime(2026, 3, 2, 0, 30, tzinfo=timezone(timedelta(hours=1)))

    assert circumstances_at(berlin) == Circumstances(hour=23, minute=30, weekday=7)
