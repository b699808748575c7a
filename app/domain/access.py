"""
The attributes that decide who may do what (NIST SP 800-162): principals, actions and resources.

`policies/*.polar` speak of exactly these fields. A field that is None is unknown, never everywhere: no rule may take
the absence of an attribute for a grant.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Literal, NewType, TypeAlias

import msgspec

from app.domain.definition import Sensitivity
from app.domain.scope import Level, Scope


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who asks. Tuples are sorted, so that equal principals are equal values.

    Raises TypeError for attributes of other types: to a compiled rule, the text "sysadmin" would hold the role "admin".
    """

    id: str
    kind: Literal["user", "service"] = "user"
    tenant: str | None = None
    roles: tuple[str, ...] = ()
    territories: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    clearance: int = Sensitivity.INTERNAL.rank  # rank of the highest sensitivity it is trusted with
    scopes: tuple[str, ...] = ()  # what its credential is good for, in OAuth's sense of the word
    scoped: bool = False  # whether the credential is good for its scopes only

    def __post_init__(self) -> None:
        """Made once for each credential that is verified, so that no decision has to look."""
        texts = (self.id, self.kind, *(() if self.tenant is None else (self.tenant,)))
        lists = (self.roles, self.territories, self.accounts, self.scopes)
        plain = (
            all(type(text) is str for text in texts)
            and all(type(names) is tuple and all(type(name) is str for name in names) for names in lists)
            and type(self.clearance) is int
            and type(self.scoped) is bool
        )
        if not plain:
            raise TypeError("an attribute of a principal has the wrong type")


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What holds when somebody asks, whoever it is (NIST SP 800-162: environment conditions). Times are UTC."""

    hour: int  # 0 to 23
    minute: int  # 0 to 59
    weekday: int  # 1 Monday to 7 Sunday
    override_reason: str | None = None  # why a manager reaches into another territory, in the caller's words


def circumstances_at(moment: datetime, *, override_reason: str | None = None) -> Circumstances:
    """The circumstances of a moment, which is aware."""
    utc = moment.astimezone(UTC)
    return Circumstances(hour=utc.hour, minute=utc.minute, weekday=utc.isoweekday(), override_reason=override_reason)


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
    ASSERT = "assert"  # be believed about the attributes of others


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


class ApiKeyResource(msgspec.Struct, frozen=True, kw_only=True):
    """An API key, or the revocation of credentials: READ, WRITE. The empty tenant is that of platform admins."""

    tenant: str
    owner: str


class EventResource(msgspec.Struct, frozen=True, kw_only=True):
    """A business event: READ, WRITE (publish). The empty tenant is nobody's."""

    tenant: str
    type: str
    aggregate_type: str


class PolicyResource(msgspec.Struct, frozen=True, kw_only=True):
    """The policy itself: READ."""


class OperationsResource(msgspec.Struct, frozen=True, kw_only=True):
    """How the service is doing: READ; what tunes it: WRITE. The empty tenant is all of it."""

    tenant: str


class DecisionPointResource(msgspec.Struct, frozen=True, kw_only=True):
    """What decides for others (AuthZEN): READ asks about others than oneself, ASSERT is believed about them."""

    tenant: str


Resource: TypeAlias = (
    SettingResource
    | DefinitionResource
    | ScopeResource
    | TenantResource
    | AuditResource
    | ApiKeyResource
    | EventResource
    | PolicyResource
    | OperationsResource
    | DecisionPointResource
)

# What can be asked of each class, and all that can be: no policy is asked anything else.
ACTIONS: dict[type, tuple[Action, ...]] = {
    SettingResource: (Action.RESOLVE, Action.READ, Action.WRITE),
    DefinitionResource: (Action.READ, Action.WRITE),
    ScopeResource: (Action.READ, Action.WRITE),
    TenantResource: (Action.READ, Action.WRITE),
    AuditResource: (Action.READ,),
    ApiKeyResource: (Action.READ, Action.WRITE),
    EventResource: (Action.READ, Action.WRITE),
    PolicyResource: (Action.READ,),
    OperationsResource: (Action.READ, Action.WRITE),
    DecisionPointResource: (Action.READ, Action.ASSERT),
}


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was seen or refused and that the audit should know of."""

    outcome: Literal["denied", "read", "overridden"]
    action: str
    resource: str  # as `described` says it
    tenant: str | None  # whose thing it is
    reason: str | None = None  # the caller's words, of an override


def described(resource: Resource) -> str:
    """A resource in one line, the kind first, as the audit names it: `setting/ACCOUNT/acme/a-1`."""
    match resource:
        case SettingResource(level=level, tenant=tenant, scope_id=scope_id):
            return f"{_NAMES[SettingResource]}/{_path(level, tenant, scope_id)}"
        case ScopeResource(level=level, tenant=tenant, scope_id=scope_id):
            return f"{_NAMES[ScopeResource]}/{_path(level, tenant, scope_id)}"
        case EventResource(tenant=tenant, type=type_):
            return f"{_NAMES[EventResource]}/{tenant}/{type_}"
        case DefinitionResource() | PolicyResource():
            return _NAMES[type(resource)]
        case _:
            return f"{_NAMES[type(resource)]}/{resource.tenant}"


def described_all(class_: type) -> str:
    """Resources of a class in a list, nobody knows which, in one line: `setting/*`."""
    return f"{_NAMES[class_]}/*"


_NAMES: dict[type, str] = {
    SettingResource: "setting",
    ScopeResource: "scope",
    EventResource: "event",
    DefinitionResource: "definition",
    PolicyResource: "policy",
    OperationsResource: "operations",
    TenantResource: "tenant",
    AuditResource: "audit",
    ApiKeyResource: "api-key",
    DecisionPointResource: "decision-point",
}


def _path(level: str, tenant: str | None, scope_id: str) -> str:
    return Scope(Level(level), tenant, scope_id).path


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
