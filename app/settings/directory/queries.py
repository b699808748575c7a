"""Reading tenants and the scope directory."""

from __future__ import annotations

from app.access.caller import Caller
from app.domain.access import Action, ScopeFacts, TenantResource
from app.domain.errors import NotFound
from app.domain.position import Position
from app.domain.scope import Level, Scope
from app.kit.paging import Page, after_cursor, page_of
from app.settings.directory import store
from app.settings.directory.commands import resource_of
from app.settings.directory.store import ScopeEntry, Tenant
from app.settings.registry import Registry

FETCH_ROWS = 1_000  # rows looked at a time while filling a page with what may be seen


async def tenants(
    *, cursor: str | None, limit: int, caller: Caller, registry: Registry
) -> tuple[Position, Page[Tenant]]:
    """The tenants that the caller may see, in order of their ids."""
    after = after_cursor(cursor, question="tenants") or ""
    async with registry.database.moment(caller.reach) as connection:
        position, found = await store.tenants(connection, after=after, limit=limit + 1)
    gate = registry.gate
    seen = [one for one in found if gate.allows(caller, Action.READ, TenantResource(tenant=one.id))]
    if not seen:
        gate.require(caller, Action.READ, TenantResource(tenant=""))
    return position, page_of(seen, limit=limit, question="tenants", after=[one.id for one in seen])


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
    seen: list[ScopeEntry] = []
    async with registry.database.moment(caller.reach) as connection:
        while True:
            position, found = await store.entries(
                connection, tenant=tenant, after=after, level=level, territory=territory, limit=FETCH_ROWS
            )
            seen += [one for one in found if _may_read(one, caller, registry)]
            if len(seen) > limit or len(found) < FETCH_ROWS:
                break
            after = found[-1].scope.path
    return position, page_of(seen, limit=limit, question=question, after=[one.scope.path for one in seen])


def _may_read(one: ScopeEntry, caller: Caller, registry: Registry) -> bool:
    return registry.gate.allows(caller, Action.READ, resource_of(one.scope, one.facts))
