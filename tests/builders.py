"""Valid things. A test changes what it is about and leaves the rest to these."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from app.access.caller import Caller
from app.domain.access import (
    Circumstances,
    DefinitionResource,
    Principal,
    ScopeFacts,
    SettingResource,
    circumstances_at,
    facts_of,
    setting_at,
)
from app.domain.canonical import canonical
from app.domain.combination import MergeStrategy
from app.domain.definition import ResolutionRule, Sensitivity, SettingDefinition
from app.domain.position import Position
from app.domain.resolution import Contribution
from app.domain.scope import Chain, Context, Level, Scope, chain_of, scope_of
from app.domain.value import SettingValue

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVERYWHERE = tuple(Level)
FALSY: tuple[Any, ...] = (0, False, "", [], {}, None)
# Alice at ACME in Germany, with all seven levels named.
ALICE = Context(
    tenant_id="acme", territory="DE", account_id="a-1", contact_role="buyer", contact_id="c-1", user_id="alice"
)


def definition(*, default: Any = None, **changes: Any) -> SettingDefinition:
    """A definition of `ui.theme` that takes anything anywhere."""
    fields: dict[str, Any] = {
        "key": "ui.theme",
        "schema": True,
        "levels": EVERYWHERE,
        "version": 1,
        "position": Position(1),
        "created_at": AT,
        "created_by": "alice",
        "updated_at": AT,
        "updated_by": "alice",
    }
    return SettingDefinition(**(fields | changes), default=canonical(default))


def rule(strategy: MergeStrategy = MergeStrategy.REPLACE, *, default: Any = None) -> ResolutionRule:
    """What resolution knows of a key."""
    return ResolutionRule(key="ui.theme", default=canonical(default), merge_strategy=strategy)


def contribution(value: Any, *, version: int = 1) -> Contribution:
    """What a scope says."""
    return Contribution(value=canonical(value), version=version, updated_at=AT, updated_by="alice")


def setting_value(value: Any, *, metadata: Any = None, **changes: Any) -> SettingValue:
    """A stored value of `ui.theme` for the tenant ACME."""
    fields: dict[str, Any] = {
        "id": UUID(int=1),
        "scope": scope_of(Level.TENANT, tenant="acme", scope_id=None),
        "key": "ui.theme",
        "version": 1,
        "position": Position(1),
        "created_at": AT,
        "created_by": "alice",
        "updated_at": AT,
        "updated_by": "alice",
    }
    stored = {"value": canonical(value), "metadata": canonical({} if metadata is None else metadata)}
    return SettingValue(**(fields | changes), **stored)


def scope_at(level: Level, scope_id: str | None = None, *, tenant: str = "acme") -> Scope:
    """A scope of ACME."""
    return scope_of(level, tenant=tenant, scope_id=scope_id)


def chain() -> Chain:
    """All seven scopes that Alice stands in, general to specific."""
    return chain_of(ALICE)


def principal(**changes: Any) -> Principal:
    """Alice, whom no role allows anything."""
    fields: dict[str, Any] = {"id": "alice", "tenant": "acme"}
    return Principal(**(fields | changes))


NOW = circumstances_at(AT)


def caller(somebody: Principal | None = None, *, circumstances: Circumstances = NOW) -> Caller:
    """Somebody who asks now, for no reason."""
    return Caller(principal=somebody or principal(), request_id="r-1", circumstances=circumstances)


def setting_resource(
    level: Level = Level.TENANT,
    scope_id: str | None = None,
    *,
    facts: ScopeFacts | None = None,
    sensitivity: Sensitivity = Sensitivity.INTERNAL,
) -> SettingResource:
    """An ordinary setting at a scope of ACME."""
    scope = scope_at(level, scope_id)
    return setting_at(scope, facts_of(scope, facts or ScopeFacts()), sensitivity)


def definition_resource(sensitivity: Sensitivity = Sensitivity.INTERNAL) -> DefinitionResource:
    """An ordinary definition."""
    return DefinitionResource(sensitivity=sensitivity.rank)


# Text that UTF-8 can carry and PostgreSQL can store: no NUL, no halves of surrogate pairs.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
numbers = st.one_of(
    st.integers(),
    st.integers(min_value=-(10**40), max_value=10**40),
    st.sampled_from([2**53 - 1, 2**53 + 1, 2**63, 2**64, -(2**64)]),
    st.floats(allow_nan=False, allow_infinity=False),
)
scalars = st.one_of(st.sampled_from([None, False, True, 0, 1, 0.0, 1.0, "", "a"]), texts, numbers)
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
# Few names and few values, so that members meet.
colliding: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, False, True, 0, 1, 1.0, "", "a", [], {}]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from(["a", "b", "c"]), colliding, max_size=3)
lists = st.lists(colliding, max_size=4)
VALUES_FOR: dict[MergeStrategy, st.SearchStrategy[Any]] = {
    MergeStrategy.REPLACE: st.one_of(st.sampled_from(FALSY), json_values),
    MergeStrategy.MERGE: objects,
    MergeStrategy.APPEND: lists,
}
