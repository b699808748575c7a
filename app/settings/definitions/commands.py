"""Changing definitions, without breaking what is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from app.access.audit.append import write_down
from app.access.audit.record import AuditedChange, masked
from app.access.caller import Caller
from app.domain.access import Action, DefinitionResource
from app.domain.canonical import CanonicalJson, canonical, plain
from app.domain.combination import MergeStrategy
from app.domain.definition import (
    Sensitivity,
    SettingDefinition,
    check_definition,
    check_value,
    is_key,
    require_key,
)
from app.domain.errors import InUse, NotFound, Refused, Violation, counted
from app.domain.event import DefinitionChanged, DefinitionCreated, DefinitionDeleted, Feed
from app.domain.position import Position
from app.domain.precondition import check_put, require_match
from app.domain.scope import Level
from app.domain.tag import change_tag
from app.kit.database import Connection, creating
from app.log.append import Author, append
from app.log.position import current_position
from app.settings.definitions import store
from app.settings.definitions.store import StoredValue
from app.settings.directory.commands import Preconditions
from app.settings.registry import Registry

PAGE_ROWS = 1_000  # stored values looked at a time when a definition changes
MAX_BROKEN = 1_000  # more broken values than this are counted, not listed


class DefinitionDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller wants a key to be."""

    key: str
    title: str | None
    description: str | None
    schema: Any
    default: Any
    merge_strategy: MergeStrategy
    levels: tuple[Level, ...]
    sensitivity: Sensitivity
    owner: str | None
    tags: tuple[str, ...]
    deprecated: bool


class PutOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A definition as it is now, or after a dry run as it would be; and where the registry stands."""

    definition: SettingDefinition
    created: bool
    position: Position


async def put_definition(
    draft: DefinitionDraft, *, preconditions: Preconditions, caller: Caller, registry: Registry, dry_run: bool = False
) -> PutOutcome:
    """
    Define a key or change its definition.

    Raises Refused when it contradicts itself, or with each stored value that it would break (scope, pointer, reason).
    """
    require_key(draft.key, pointer="/path/key")
    author = caller.author(registry.clock)

    async def work() -> PutOutcome:
        async with registry.change(caller) as tx:
            current = await store.lock(tx, draft.key)
            _require_write(draft, current, caller=caller, registry=registry)
            tag = None if current is None else change_tag(current.position)
            check_put(if_match=preconditions.if_match, if_none_match=preconditions.if_none_match, current=tag)
            definition = _drafted(draft, current, author)
            check_definition(definition)
            if current is not None:
                # What breaks is told as discreetly as the values still are: the change is only being judged.
                sensitivity = max(current.sensitivity, definition.sensitivity, key=lambda one: one.rank)
                await _require_unbroken(tx, msgspec.structs.replace(definition, sensitivity=sensitivity))
            if dry_run:
                position = await current_position(tx)
            else:
                definition = await _store(tx, definition, is_new=current is None, author=author)
                position = definition.position
                audited = _audited("definition.put", current, definition, position)
                await write_down(tx, [audited], signature=registry.signature(caller, at=author.at))
        return PutOutcome(definition=definition, created=current is None, position=position)

    return await creating(work)


async def delete_definition(key: str, *, preconditions: Preconditions, caller: Caller, registry: Registry) -> Position:
    """Remove a definition for which nothing is set. Raises InUse with the count otherwise."""
    if not is_key(key):
        raise NotFound
    author = caller.author(registry.clock)
    async with registry.change(caller) as tx:
        current = await store.lock(tx, key)
        if current is None:
            raise NotFound
        registry.gate.require(caller, Action.WRITE, resource_of(current.sensitivity))
        require_match(preconditions.if_match, change_tag(current.position))
        count = await store.count_values(tx, key)
        if count > 0:
            raise InUse(f"{counted(count, 'value is', 'values are')} set for this key; unset first.", count=count)
        fact = DefinitionDeleted(key=key, version=current.version)
        [position] = await append(tx, Feed.SETTINGS, [fact], author=author)
        await store.delete(tx, key)
        audited = _audited("definition.delete", current, None, position)
        await write_down(tx, [audited], signature=registry.signature(caller, at=author.at))
    return position


def resource_of(sensitivity: Sensitivity) -> DefinitionResource:
    """The resource that a definition of this sensitivity is."""
    return DefinitionResource(sensitivity=sensitivity.rank)


def _require_write(
    draft: DefinitionDraft, current: SettingDefinition | None, *, caller: Caller, registry: Registry
) -> None:
    # First what is asked for, which is the same whether or not the caller may see what is there.
    registry.gate.require(caller, Action.WRITE, resource_of(draft.sensitivity))
    if current is not None:
        registry.gate.require(caller, Action.WRITE, resource_of(current.sensitivity))


def _drafted(draft: DefinitionDraft, current: SettingDefinition | None, author: Author) -> SettingDefinition:
    return SettingDefinition(
        key=draft.key,
        title=draft.title,
        description=draft.description,
        schema=plain(canonical(draft.schema)),  # as it will be read, so that one state has one spelling
        default=canonical(draft.default),
        merge_strategy=draft.merge_strategy,
        levels=tuple(sorted(draft.levels, key=lambda level: level.rank)),
        sensitivity=draft.sensitivity,
        owner=draft.owner,
        tags=draft.tags,
        deprecated=draft.deprecated,
        version=1 if current is None else current.version + 1,
        position=Position(0) if current is None else current.position,
        created_at=author.at if current is None else current.created_at,
        created_by=author.id if current is None else current.created_by,
        updated_at=author.at,
        updated_by=author.id,
    )


async def _require_unbroken(tx: Connection, definition: SettingDefinition) -> None:
    broken: list[Violation] = []
    count = 0
    async for value in _all_values(tx, definition.key):
        errors = check_value(definition, plain(value.value), level=value.scope.level)
        count += bool(errors)
        if len(broken) < MAX_BROKEN:
            broken += [msgspec.structs.replace(error, scope=value.scope.path) for error in errors]
    if count:
        raise Refused(
            f"{counted(count, 'stored value', 'stored values')} would break; change or unset first.",
            errors=broken[:MAX_BROKEN],
        )


async def _all_values(tx: Connection, key: str) -> AsyncIterator[StoredValue]:
    after = ""
    while page := await store.values_of(tx, key, after_path=after, limit=PAGE_ROWS):
        for value in page:
            yield value
        after = page[-1].scope.path


def _audited(
    action: str, before: SettingDefinition | None, after: SettingDefinition | None, position: Position
) -> AuditedChange:
    either = before if after is None else after
    assert either is not None  # noqa: S101 - one of the two is what was changed
    return AuditedChange(
        tenant=None,
        action=action,
        resource=f"definition/{either.key}",
        version=either.version,
        position=position,
        before=None if before is None else _written(before),
        after=None if after is None else _written(after),
    )


def _written(definition: SettingDefinition) -> CanonicalJson:
    """All that was defined. A default is as sensitive as the values that take its place."""
    default = masked(definition.default, definition.sensitivity)
    return canonical(
        {
            "schema": definition.schema,
            "default": None if default is None else plain(default),
            "mergeStrategy": definition.merge_strategy.value,
            "levels": [level.value for level in definition.levels],
            "sensitivity": definition.sensitivity.value,
            "deprecated": definition.deprecated,
        }
    )


async def _store(tx: Connection, definition: SettingDefinition, *, is_new: bool, author: Author) -> SettingDefinition:
    kind = DefinitionCreated if is_new else DefinitionChanged
    [position] = await append(tx, Feed.SETTINGS, [kind(key=definition.key, version=definition.version)], author=author)
    stored = msgspec.structs.replace(definition, position=position)
    await store.put(tx, stored, is_new=is_new)
    return stored
