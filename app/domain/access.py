"""
The attributes that decide who may do what (NIST SP 800-162): principals, actions and resources.

`policies/*.polar` speak of exactly these fields. A field that is None is unknown, never everywhere: no rule may take
the absence of an attribute for a grant.
"""

from __future__ import annotations

import enum
from typing import Literal, NewType, TypeAlias

import msgspec

from app.domain.definition import Sensitivity
from app.domain.scope import Level, Scope


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. Tuples are sorted, so that equal principals are equal values."""

    id: str
    kind: Literal["user", "service"] = "user"
    tenant: str | None = None
    roles: tuple[str, ...] = ()
    territories: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    clearance: int = Sensitivity.INTERNAL.rank  # rank of the highest sensitivity it is trusted with


Reach = NewType("Reach", str)
"""Whose rows the database lets a statement touch: a tenant's id, `*` for everybody's, nothing for nobody's."""

EVERYWHERE = Reach("*")  # no tenant has such an id


def reach_of(principal: Principal) -> Reach:
    """
    As far as row-level security lets a principal, whatever the gate has said of it.

    Coarser than the policy on purpose: it is the second lock, made of nothing that a policy file could get wrong.
    """
    return EVERYWHERE if "platform_admin" in principal.roles else Reach(principal.tenant or "")


class Action(enum.StrEnum):
    """What can be asked for. Which of them a resource knows is said beside it."""

    RESOLVE = "resolve"  # use an effective value, without seeing where it was set
    READ = "read"
    WRITE = "write"


class SettingResource(msgspec.Struct, frozen=True, kw_only=True):
    """A setting at one scope: RESOLVE, READ, WRITE. Territory and owner come from the scope directory."""

    tenant: str | None
    level: str
    scope_id: str
    territory: str | None
    owner: str | None
    sensitivity: int


class DefinitionResource(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is, for all tenants: READ, WRITE."""

    sensitivity: int


class ScopeResource(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the scope directory: READ, WRITE."""

    tenant: str
    level: str
    scope_id: str
    territory: str | None
    owner: str | None


class TenantResource(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant: READ, WRITE."""

    tenant: str


class AuditResource(msgspec.Struct, frozen=True, kw_only=True):
    """The audit of a tenant; the empty one is that of what belongs to no tenant: READ."""

    tenant: str


Resource: TypeAlias = SettingResource | DefinitionResource | ScopeResource | TenantResource | AuditResource


class ScopeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the scope directory knows of a scope. Everything may be unknown."""

    territory: str | None = None
    owner: str | None = None


UNKNOWN = ScopeFacts()


def facts_of(scope: Scope, entry: ScopeFacts = UNKNOWN) -> ScopeFacts:
    """
    The facts that hold for a scope: what its level implies, else what its directory entry says.

    A TERRITORY scope lies in itself and a USER scope is owned by that user, whatever an entry claims.
    """
    if scope.level is Level.TERRITORY:
        return ScopeFacts(territory=scope.scope_id, owner=entry.owner)
    if scope.level is Level.USER:
        return ScopeFacts(territory=entry.territory, owner=scope.scope_id)
    return entry


def setting_at(scope: Scope, facts: ScopeFacts, sensitivity: Sensitivity) -> SettingResource:
    """The resource that a setting of this sensitivity is at this scope."""
    return SettingResource(
        tenant=scope.tenant,
        level=scope.level.value,
        scope_id=scope.scope_id,
        territory=facts.territory,
        owner=facts.owner,
        sensitivity=sensitivity.rank,
    )
