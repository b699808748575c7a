"""Which entry of the cache an event changes."""

from __future__ import annotations

import msgspec

from app.domain.event import (
    DefinitionChanged,
    DefinitionCreated,
    DefinitionDeleted,
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


class _OfScope(msgspec.Struct, frozen=True):
    scope: Scope


_decoder = msgspec.json.Decoder(_OfScope)
_VALUES = {ValueSet.type, ValueUnset.type}
_ENTRIES = {ScopeDescribed.type, ScopeForgotten.type}
_TENANTS = {TenantRegistered.type, TenantRemoved.type}
_DEFINITIONS = {DefinitionCreated.type, DefinitionChanged.type, DefinitionDeleted.type}


def subject_of(event: Event) -> str | None:
    """
    The path of the scope whose entry an event changes, or DEFINITIONS; None when it may have changed anything.

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
    return None
