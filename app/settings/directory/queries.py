"""Reading tenants and the scope directory."""

from __future__ import annotations

from app.access.caller import Caller
from app.domain.access import Action, ScopeFacts, ScopeResource, TenantResource
from app.domain.errors import NotFound
from app.domain.position import Position
from app.domain.scope import Level, Scope
from app.kit.paging import Page, after_cursor, page_of
from app.settings.directory import store
from app.settings.directory.commands import resource_of
from app.settings.directory.store import ScopeEntry, Tenant
from app.settings.registry import Registry


async def tenants(
    *, cursor: str | None, limit: int, caller: Caller, registry: Registry
) -> tuple[Position, Page[Tenant]]:
    """The tenants that the caller may see, in order of their ids."""
    after = after_cursor(cursor, question="tenants") or ""
    gate = registry.gate
    visible = gate.condition(
        caller, Action.READ, TenantResource, store.TENANT_ATTRIBUTES, start=store.TENANT_VISIBLE_FROM
    )
    async with registry.database.moment(caller.reach) as connection:
        position, found = await store.tenants(connection, after=after, visible=visible, limit=limit + 1)
    if not found:
        gate.require(caller, Action.READ, TenantResource(tenant=""))
    return position, page_of(found, limit=limit, question="tenants", after=[one.id for one in found])


async def entry(scope: Scope, *, caller: Caller, registry: Registry) -> tuple[Position, ScopeEntry]:
    """The directory's entry for a scope. Raises NotFound when there is none, or none to be seen."""
    async with registry.database.moment(caller.reach) as connection:
        position, found = await store.entry_at(connection, scope)
    facts = found[0].facts if found else ScopeFacts()
    registry.gate.require(caller, Action.READ, resource_of(scope, facts))
    if not found:
        raise NotFound
    return position, found[0]


async def entries(
    *,
    tenant: str,
    level: Level | None,
    territory: str | None,
    cursor: str | None,
    limit: int,
    caller: Caller,
    registry: Registry,
) -> tuple[Position, Page[ScopeEntry]]:
    """The entries of a tenant that the caller may see, in order of their scopes' paths."""
    question = f"scopes/{tenant}/{level}/{territory}"
    after = after_cursor(cursor, question=question) or ""
    visible = registry.gate.condition(
        caller,
        Action.READ,
        ScopeResource,
        store.ENTRY_ATTRIBUTES,
        known={"tenant": tenant},
        start=store.ENTRY_VISIBLE_FROM,
    )
    async with registry.database.moment(caller.reach) as connection:
        position, found = await store.entries(
            connection,
            tenant=tenant,
            after=after,
            level=level,
            territory=territory,
            visible=visible,
            limit=limit + 1,
        )
    return position, page_of(found, limit=limit, question=question, after=[one.scope.path for one in found])
