"""Which entry of the cache an event changes."""

from __future__ import annotations

import msgspec

from app.domain.event import (
    ApiKeyCreated,
    ApiKeyRevoked,
    ApiKeyRotated,
    CredentialsRevoked,
    DefinitionChanged,
    DefinitionCreated,
    DefinitionDeleted,
    RevocationLifted,
    ScopeDescribed,
    ScopeForgotten,
    TenantRegistered,
    TenantRemoved,
    ValueSet,
    ValueUnset,
)
from app.domain.scope import Level, Scope
from app.log.read import Event

DEFINITIONS = "DEFINITIONS"  # all definitions together; no path of a scope is called so
CREDENTIALS = "CREDENTIALS"  # nothing that is held here; whoever knows credentials follows them


class _OfScope(msgspec.Struct, frozen=True):
    scope: Scope


_decoder = msgspec.json.Decoder(_OfScope)
_VALUES = {ValueSet.type, ValueUnset.type}
_ENTRIES = {ScopeDescribed.type, ScopeForgotten.type}
_TENANTS = {TenantRegistered.type, TenantRemoved.type}
_DEFINITIONS = {DefinitionCreated.type, DefinitionChanged.type, DefinitionDeleted.type}
_CREDENTIALS = {one.type for one in (ApiKeyCreated, ApiKeyRotated, ApiKeyRevoked, CredentialsRevoked, RevocationLifted)}


def subject_of(event: Event) -> str | None:
    """
    The path of the scope whose entry an event changes, or DEFINITIONS, or CREDENTIALS; None when it may have changed
    anything.

    A type that we do not know was written by a newer release, and we cannot know what it changed.
    """
    if event.type in _VALUES:
        return _decoder.decode(event.payload).scope.path
    if event.type in _DEFINITIONS:
        return DEFINITIONS
    if event.type in _ENTRIES:
        return event.aggregate_id
    if event.type in _TENANTS:
        return Scope(Level.TENANT, event.aggregate_id, event.aggregate_id).path
    return CREDENTIALS if event.type in _CREDENTIALS else None
