"""
Where a value can be set, and in what order scopes speak.

A *level* is a step from general to specific, a *scope* one place at a level, a *context* what a reader stands in, and
its *chain* the scopes it names, general to specific. The levels are declared here and nowhere else: adding one means
a member of `Level`, a field of `Context`, and a migration for the check on the `level` columns.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec

from app.domain.errors import Malformed, Violation

MAX_ID_CHARACTERS = 200
# Printable: no control, zero-width or direction-changing characters, and no space at either end.
_INVISIBLE = (
    r"\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\ufeff\ufff0-\uffff\ud800-\udfff"
)
_END = r"$(?!\n)"  # to Python, `$` alone also stands before a trailing line feed
SCOPE_ID_PATTERN = rf"^[^\s{_INVISIBLE}]([^{_INVISIBLE}]*[^\s{_INVISIBLE}])?{_END}"
TENANT_ID_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._-]*{_END}"  # ASCII, so that no two ids that differ look the same

ScopeId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=SCOPE_ID_PATTERN)]
TenantId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=TENANT_ID_PATTERN)]


class Level(enum.StrEnum):
    """A step of the hierarchy. Members stand from general to specific."""

    GLOBAL = "GLOBAL"
    TENANT = "TENANT"
    TERRITORY = "TERRITORY"
    ACCOUNT = "ACCOUNT"
    CONTACT_ROLE = "CONTACT_ROLE"
    CONTACT = "CONTACT"
    USER = "USER"

    @property
    def rank(self) -> int:
        """0 for the most general level, rising with specificity."""
        return _RANK[self]


_RANK = {level: rank for rank, level in enumerate(Level)}


class Scope(msgspec.Struct, frozen=True, rename="camel"):
    """One place where values can be set. `tenant` is None and `scope_id` empty for GLOBAL only."""

    level: Level
    tenant: str | None = None
    scope_id: str = ""

    @property
    def path(self) -> str:
        """
        The scope as one string, unique over all tenants: `GLOBAL`, `TENANT/acme`, `TERRITORY/acme/DE`.

        Tenant ids hold no slash and the scope id stands last, so no two scopes share a path. PostgreSQL keeps the same
        string as a generated column, and reads find rows by it.
        """
        if self.level is Level.GLOBAL:
            return "GLOBAL"
        if self.level is Level.TENANT:
            return f"TENANT/{self.tenant}"
        return f"{self.level}/{self.tenant}/{self.scope_id}"


GLOBAL = Scope(level=Level.GLOBAL)

Chain: TypeAlias = tuple[Scope, ...]


class Context(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a reader stands in. Each field after `tenant_id` names the scope of one level below TENANT."""

    tenant_id: TenantId | None = None
    territory: ScopeId | None = None
    account_id: ScopeId | None = None
    contact_role: ScopeId | None = None
    contact_id: ScopeId | None = None
    user_id: ScopeId | None = None


_BELOW_TENANT = tuple(zip(tuple(Level)[2:], Context.__struct_fields__[1:], strict=True))


def chain_of(context: Context) -> Chain:
    """
    The scopes a context names, general to specific; GLOBAL is always the first.

    Raises Malformed when a scope below TENANT is named without a tenant, or an id is none.
    """
    chain = [GLOBAL]
    if context.tenant_id is not None:
        chain.append(scope_of(Level.TENANT, tenant=context.tenant_id, scope_id=None))
    for level, field in _BELOW_TENANT:
        scope_id = getattr(context, field)
        if scope_id is not None:
            chain.append(scope_of(level, tenant=context.tenant_id, scope_id=scope_id))
    return tuple(chain)


def scope_of(level: Level, *, tenant: str | None, scope_id: str | None) -> Scope:
    """
    The scope that a level, a tenant and an id name together, as callers write them.

    Raises Malformed when they do not fit: an id for GLOBAL, none for a level below TENANT, a foreign id for TENANT.
    """
    if level is Level.GLOBAL:
        if scope_id is not None:
            raise _bad_scope_id("GLOBAL has no scopeId; leave it out.")
        return GLOBAL
    if tenant is None:
        raise _bad_tenant(f"A scope at {level} belongs to a tenant; name its tenantId.")
    require_tenant_id(tenant)
    if level is Level.TENANT:
        if scope_id is not None and scope_id != tenant:
            raise _bad_scope_id("The scopeId of TENANT is the tenant's own id; it may be left out.")
        return Scope(level, tenant, tenant)
    if scope_id is None:
        raise _bad_scope_id(f"A scope at {level} needs a scopeId.")
    return Scope(level, tenant, require_scope_id(scope_id))


def require_scope_id(text: str, *, pointer: str = "#/scopeId") -> str:
    """The text, if it may be the id of a scope; raises Malformed with the rule if not."""
    if not _is_id(_is_scope_id, text):
        detail = f"An id has 1 to {MAX_ID_CHARACTERS} printable characters and no space at its ends."
        raise Malformed(detail, errors=[Violation(pointer=pointer, code="scope-id", detail=detail)])
    return text


def require_tenant_id(text: str) -> str:
    """The text, if it may be the id of a tenant; raises Malformed with the rule if not."""
    if not _is_id(_is_tenant_id, text):
        raise _bad_tenant(f"A tenantId matches {TENANT_ID_PATTERN} and has at most {MAX_ID_CHARACTERS} characters.")
    return text


_is_scope_id = re.compile(SCOPE_ID_PATTERN).fullmatch
_is_tenant_id = re.compile(TENANT_ID_PATTERN).fullmatch


def _is_id(matches: Callable[[str], object], text: str) -> bool:
    return len(text) <= MAX_ID_CHARACTERS and matches(text) is not None


def _bad_scope_id(detail: str) -> Malformed:
    return Malformed(detail, errors=[Violation(pointer="#/scopeId", code="scope-id", detail=detail)])


def _bad_tenant(detail: str) -> Malformed:
    return Malformed(detail, errors=[Violation(pointer="#/tenantId", code="tenant-id", detail=detail)])
