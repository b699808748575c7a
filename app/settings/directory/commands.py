"""Changing tenants and the scope directory."""

from __future__ import annotations

from typing import Any

import msgspec

from app.access.audit.append import write_down
from app.access.audit.record import AuditedChange
from app.access.caller import Caller
from app.domain.access import Action, ScopeFacts, ScopeResource, TenantResource, facts_of
from app.domain.canonical import CanonicalJson, canonical, plain
from app.domain.errors import InUse, NotFound, Refused, Violation
from app.domain.event import Feed, ScopeDescribed, ScopeForgotten, TenantRegistered, TenantRemoved
from app.domain.position import Position
from app.domain.precondition import check_put, require_match
from app.domain.scope import Level, Scope, require_scope_id, require_tenant_id
from app.domain.tag import change_tag
from app.kit.database import creating
from app.log.append import Author, append
from app.settings.directory import store
from app.settings.directory.store import ScopeEntry, Tenant
from app.settings.registry import Registry


class Preconditions(msgspec.Struct, frozen=True, kw_only=True):
    """The conditional headers of a PUT or DELETE, as sent."""

    if_match: str | None = None
    if_none_match: str | None = None


async def put_tenant(
    tenant_id: str, *, name: str, preconditions: Preconditions, caller: Caller, registry: Registry
) -> tuple[Tenant, bool]:
    """Create a tenant or rename it; gives it, and whether it is new."""
    registry.gate.require(caller, Action.WRITE, TenantResource(tenant=require_tenant_id(tenant_id)))
    author = caller.author(registry.clock)

    async def work() -> tuple[Tenant, bool]:
        async with registry.change(caller) as tx:
            current = await store.lock_tenant(tx, tenant_id)
            _check_put(preconditions, current)
            version = 1 if current is None else current.version + 1
            fact = TenantRegistered(tenant_id=tenant_id, version=version)
            [position] = await append(tx, Feed.SETTINGS, [fact], author=author)
            tenant = Tenant(id=tenant_id, name=name, **_signed(current, version, position, author))
            await (store.insert_tenant if current is None else store.update_tenant)(tx, tenant)
            audited = _audited_tenant("tenant.put", current, tenant, position)
            await write_down(tx, [audited], signature=registry.signature(caller, at=author.at))
        return tenant, current is None

    return await creating(work)


async def delete_tenant(
    tenant_id: str, *, preconditions: Preconditions, caller: Caller, registry: Registry
) -> Position:
    """Remove a tenant that has neither values, directory entries nor API keys any more."""
    registry.gate.require(caller, Action.WRITE, TenantResource(tenant=require_tenant_id(tenant_id)))
    author = caller.author(registry.clock)
    async with registry.change(caller) as tx:
        current = await store.lock_tenant(tx, tenant_id)
        if current is None:
            raise NotFound
        require_match(preconditions.if_match, change_tag(current.position))
        values, scopes, keys = await store.count_dependents(tx, tenant_id)
        if values + scopes + keys > 0:
            left = f"{values} values, {scopes} directory entries and {keys} API keys"
            raise InUse(f"The tenant still has {left}; remove them first.", count=values + scopes + keys)
        fact = TenantRemoved(tenant_id=tenant_id, version=current.version)
        [position] = await append(tx, Feed.SETTINGS, [fact], author=author)
        await store.delete_tenant(tx, tenant_id)
        audited = _audited_tenant("tenant.delete", current, None, position)
        await write_down(tx, [audited], signature=registry.signature(caller, at=author.at))
    return position


async def put_entry(
    scope: Scope,
    *,
    facts: ScopeFacts,
    attributes: CanonicalJson,
    preconditions: Preconditions,
    caller: Caller,
    registry: Registry,
) -> tuple[ScopeEntry, bool]:
    """Say what is known of a scope; gives its entry, and whether it is new."""
    _check_facts(scope, facts)
    registry.gate.require(caller, Action.WRITE, resource_of(scope, facts))
    author = caller.author(registry.clock)

    async def work() -> tuple[ScopeEntry, bool]:
        async with registry.change(caller) as tx:
            if not await store.lock_tenants(tx, [scope.tenant or ""]):
                raise NotFound
            current = await store.lock_entry(tx, scope)
            if current is not None:
                # Both ends of a move count: where the scope lies now, and where it is to lie.
                registry.gate.require(caller, Action.WRITE, resource_of(scope, current.facts))
            _check_put(preconditions, current)
            version = 1 if current is None else current.version + 1
            fact = ScopeDescribed(scope=scope, version=version)
            [position] = await append(tx, Feed.SETTINGS, [fact], author=author)
            signed = _signed(current, version, position, author)
            entry = ScopeEntry(scope=scope, facts=facts, attributes=attributes, **signed)
            await (store.insert_entry if current is None else store.update_entry)(tx, entry)
            audited = _audited_entry("scope.put", current, entry, position)
            await write_down(tx, [audited], signature=registry.signature(caller, at=author.at))
        return entry, current is None

    return await creating(work)


async def delete_entry(scope: Scope, *, preconditions: Preconditions, caller: Caller, registry: Registry) -> Position:
    """Forget what is known of a scope. Values set there stay."""
    author = caller.author(registry.clock)
    async with registry.change(caller) as tx:
        current = await store.lock_entry(tx, scope)
        facts = ScopeFacts() if current is None else current.facts
        registry.gate.require(caller, Action.WRITE, resource_of(scope, facts))
        if current is None:
            raise NotFound
        require_match(preconditions.if_match, change_tag(current.position))
        fact = ScopeForgotten(scope=scope, version=current.version)
        [position] = await append(tx, Feed.SETTINGS, [fact], author=author)
        await store.delete_entry(tx, scope)
        audited = _audited_entry("scope.delete", current, None, position)
        await write_down(tx, [audited], signature=registry.signature(caller, at=author.at))
    return position


def resource_of(scope: Scope, facts: ScopeFacts) -> ScopeResource:
    """The resource that the entry of a scope is."""
    implied = facts_of(scope, facts)
    return ScopeResource(
        tenant=scope.tenant or "",
        level=scope.level.value,
        scope_id=scope.scope_id,
        territory=implied.territory,
        owner=implied.owner,
    )


def _audited_tenant(action: str, before: Tenant | None, after: Tenant | None, position: Position) -> AuditedChange:
    either = before if after is None else after
    assert either is not None  # noqa: S101 - one of the two is what was changed
    return AuditedChange(
        tenant=None,  # tenants come and go at the platform's word, so it is in the platform's chain
        action=action,
        resource=f"tenant/{either.id}",
        version=either.version,
        position=position,
        before=None if before is None else canonical({"name": before.name}),
        after=None if after is None else canonical({"name": after.name}),
    )


def _audited_entry(
    action: str, before: ScopeEntry | None, after: ScopeEntry | None, position: Position
) -> AuditedChange:
    either = before if after is None else after
    assert either is not None  # noqa: S101 - one of the two is what was changed
    return AuditedChange(
        tenant=either.scope.tenant,
        action=action,
        resource=f"scope/{either.scope.path}",
        version=either.version,
        position=position,
        before=None if before is None else _written(before),
        after=None if after is None else _written(after),
    )


def _written(entry: ScopeEntry) -> CanonicalJson:
    return canonical(
        {
            "territory": entry.facts.territory,
            "owner": entry.facts.owner,
            "attributes": plain(entry.attributes),
        }
    )


def _signed(current: Tenant | ScopeEntry | None, version: int, position: Position, author: Author) -> dict[str, Any]:
    """The members that say which version this is, and who made the first and this one."""
    return {
        "version": version,
        "position": position,
        "created_at": author.at if current is None else current.created_at,
        "created_by": author.id if current is None else current.created_by,
        "updated_at": author.at,
        "updated_by": author.id,
    }


def _check_put(preconditions: Preconditions, current: Tenant | ScopeEntry | None) -> None:
    tag = None if current is None else change_tag(current.position)
    check_put(if_match=preconditions.if_match, if_none_match=preconditions.if_none_match, current=tag)


def _check_facts(scope: Scope, facts: ScopeFacts) -> None:
    """Facts name scopes by their ids, and what a level implies cannot be said otherwise."""
    for name, scope_id in (("territory", facts.territory), ("owner", facts.owner)):
        if scope_id is not None:
            require_scope_id(scope_id, pointer=f"#/{name}")
    errors = []
    if scope.level is Level.TERRITORY and facts.territory not in (None, scope.scope_id):
        detail = "A TERRITORY scope lies in itself; leave territory out."
        errors.append(Violation(pointer="#/territory", code="implied", detail=detail))
    if scope.level is Level.USER and facts.owner not in (None, scope.scope_id):
        detail = "A USER scope is owned by that user; leave owner out."
        errors.append(Violation(pointer="#/owner", code="implied", detail=detail))
    if errors:
        raise Refused(errors=errors)
