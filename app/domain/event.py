"""
What happened to the registry: one frozen class per fact.

Each has a `type`, which names it on the wire, a `tenant` (None for what concerns all), and the `aggregate_type` and
`aggregate_id` of what it happened to.

Facts carry names and versions, never values: whoever may follow the feed need not be cleared for every setting.
Events are read for years, so fields may be added at the end with a default, and neither renamed nor removed.
"""

from __future__ import annotations

import enum
from typing import ClassVar, TypeAlias
from uuid import UUID

import msgspec

from app.domain.scope import Scope


class Feed(enum.IntEnum):
    """A totally ordered log. Numbers are stored; never reuse one."""

    SETTINGS = 1  # changes to the registry itself; drives caches
    DOMAIN = 2  # business events


class _ValueFact(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str]
    aggregate_type: ClassVar[str] = "setting"

    setting_id: UUID
    scope: Scope
    key: str
    version: int

    @property
    def tenant(self) -> str | None:
        return self.scope.tenant

    @property
    def aggregate_id(self) -> str:
        return str(self.setting_id)


class ValueSet(_ValueFact, frozen=True, kw_only=True, rename="camel"):
    """A value was set for a key at a scope, for the first time or anew."""

    type: ClassVar[str] = "setting.value-set"


class ValueUnset(_ValueFact, frozen=True, kw_only=True, rename="camel"):
    """The value of a key at a scope was removed."""

    type: ClassVar[str] = "setting.value-unset"


class _DefinitionFact(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str]
    aggregate_type: ClassVar[str] = "definition"

    key: str
    version: int

    @property
    def tenant(self) -> str | None:
        return None

    @property
    def aggregate_id(self) -> str:
        return self.key


class DefinitionCreated(_DefinitionFact, frozen=True, kw_only=True, rename="camel"):
    """A key was defined."""

    type: ClassVar[str] = "setting.definition-created"


class DefinitionChanged(_DefinitionFact, frozen=True, kw_only=True, rename="camel"):
    """What a key is was changed."""

    type: ClassVar[str] = "setting.definition-changed"


class DefinitionDeleted(_DefinitionFact, frozen=True, kw_only=True, rename="camel"):
    """A key is no longer defined."""

    type: ClassVar[str] = "setting.definition-deleted"


class _ScopeFact(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str]
    aggregate_type: ClassVar[str] = "scope"

    scope: Scope
    version: int

    @property
    def tenant(self) -> str | None:
        return self.scope.tenant

    @property
    def aggregate_id(self) -> str:
        return self.scope.path


class ScopeDescribed(_ScopeFact, frozen=True, kw_only=True, rename="camel"):
    """The directory learned where a scope lies and who owns it, for the first time or anew."""

    type: ClassVar[str] = "setting.scope-described"


class ScopeForgotten(_ScopeFact, frozen=True, kw_only=True, rename="camel"):
    """The directory's entry for a scope was removed."""

    type: ClassVar[str] = "setting.scope-forgotten"


class _TenantFact(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str]
    aggregate_type: ClassVar[str] = "tenant"

    tenant_id: str
    version: int

    @property
    def tenant(self) -> str | None:
        return self.tenant_id

    @property
    def aggregate_id(self) -> str:
        return self.tenant_id


class TenantRegistered(_TenantFact, frozen=True, kw_only=True, rename="camel"):
    """A tenant was created or renamed."""

    type: ClassVar[str] = "setting.tenant-registered"


class TenantRemoved(_TenantFact, frozen=True, kw_only=True, rename="camel"):
    """A tenant was removed."""

    type: ClassVar[str] = "setting.tenant-removed"


class _ApiKeyFact(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str]
    aggregate_type: ClassVar[str] = "api-key"

    key_id: str
    tenant_id: str | None
    version: int

    @property
    def tenant(self) -> str | None:
        return self.tenant_id

    @property
    def aggregate_id(self) -> str:
        return self.key_id


class ApiKeyCreated(_ApiKeyFact, frozen=True, kw_only=True, rename="camel"):
    """An API key was made."""

    type: ClassVar[str] = "access.api-key-created"


class ApiKeyRotated(_ApiKeyFact, frozen=True, kw_only=True, rename="camel"):
    """An API key was given a new secret."""

    type: ClassVar[str] = "access.api-key-rotated"


class ApiKeyRevoked(_ApiKeyFact, frozen=True, kw_only=True, rename="camel"):
    """An API key is good for nothing any more."""

    type: ClassVar[str] = "access.api-key-revoked"


class _RevocationFact(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    type: ClassVar[str]
    aggregate_type: ClassVar[str] = "revocation"

    revocation_id: UUID
    tenant_id: str | None
    version: int

    @property
    def tenant(self) -> str | None:
        return self.tenant_id

    @property
    def aggregate_id(self) -> str:
        return str(self.revocation_id)


class CredentialsRevoked(_RevocationFact, frozen=True, kw_only=True, rename="camel"):
    """Credentials are believed no longer, though they have not expired."""

    type: ClassVar[str] = "access.credentials-revoked"


class RevocationLifted(_RevocationFact, frozen=True, kw_only=True, rename="camel"):
    """Credentials that were revoked are believed again."""

    type: ClassVar[str] = "access.revocation-lifted"


Fact: TypeAlias = (
    ValueSet
    | ValueUnset
    | DefinitionCreated
    | DefinitionChanged
    | DefinitionDeleted
    | ScopeDescribed
    | ScopeForgotten
    | TenantRegistered
    | TenantRemoved
    | ApiKeyCreated
    | ApiKeyRotated
    | ApiKeyRevoked
    | CredentialsRevoked
    | RevocationLifted
)
