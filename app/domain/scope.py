"""
Where a value can be set, and in what order scopes speak.

A *level* is a step from general to specific, a *scope* one place at a level, a *context* what a reader stands in, and
its *chain* the scopes it names, general to specific. The levels are declared here and nowhere else: adding one means
a member of `Level`, a field of `Context`, and a migration for the check on the `level` columns.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import msgspec

from app.domain.errors import Malformed, Violation

MAX_SCOPE_ID_CHARACTERS = 200


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


class Scope(msgspec.Struct, frozen=True):
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

    tenant_id: str | None = None
    territory: str | None = None
    account_id: str | None = None
    contact_role: str | None = None
    contact_id: str | None = None
    user_id: str | None = None


_BELOW_TENANT = tuple(zip(tuple(Level)[2:], Context.__struct_fields__[1:], strict=True))


def chain_of(context: Context) -> Chain:
    """
    The scopes a context names, general to specific; GLOBAL is always the first.

    Raises Malformed when a scope below TENANT is named without a tenant.
    """
    chain = [GLOBAL]
    if context.tenant_id is not None:
        chain.append(Scope(Level.TENANT, context.tenant_id, context.tenant_id))
    for level, field in _BELOW_TENANT:
        scope_id = getattr(context, field)
        if scope_id is None:
            continue
        if context.tenant_id is None:
            raise Malformed("A context below GLOBAL needs a tenantId.")
        chain.append(Scope(level, context.tenant_id, scope_id))
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
        raise Malformed(
            f"A scope at {level} belongs to a tenant; name its tenantId.",
            errors=[Violation(pointer="#/tenantId", code="required", detail="Name the tenant.")],
        )
    if level is Level.TENANT:
        if scope_id is not None and scope_id != tenant:
            raise _bad_scope_id("The scopeId of TENANT is the tenant's own id; it may be left out.")
        return Scope(level, tenant, tenant)
    if scope_id is None:
        raise _bad_scope_id(f"A scope at {level} needs a scopeId.")
    return Scope(level, tenant, scope_id)


def _bad_scope_id(detail: str) -> Malformed:
    return Malformed(detail, errors=[Violation(pointer="#/scopeId", code="scope-id", detail=detail)])


def is_scope_id(text: str) -> bool:
    """Whether a text may be a scope id: 1 to 200 printable characters, without space at either end."""
    return 0 < len(text) <= MAX_SCOPE_ID_CHARACTERS and text.isprintable() and text == text.strip()
