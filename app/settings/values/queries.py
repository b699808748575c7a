"""Reading what is set at scopes, as opposed to what holds in a context."""

from __future__ import annotations

from uuid import UUID

import msgspec

from app.access.caller import Caller
from app.access.compiler.sql import SqlCondition
from app.access.gate import NO_ROWS
from app.domain.access import UNKNOWN, Action, ScopeFacts, SettingResource, facts_of, setting_at
from app.domain.definition import Sensitivity
from app.domain.errors import NotFound
from app.domain.position import Position
from app.domain.scope import Scope
from app.domain.value import SettingValue
from app.kit.paging import Page, after_cursor, bad_cursor, page_of
from app.settings.cache.cache import Moment
from app.settings.definitions import store as definitions
from app.settings.directory import store as directory
from app.settings.registry import Registry
from app.settings.values import store
from app.settings.values.store import Found, Version

_LATEST = 2**31 - 1  # before this version: all of them


async def value_at(scope: Scope, key: str, *, caller: Caller, registry: Registry) -> tuple[Moment, SettingValue]:
    """The value set for a key at a scope, and when. Raises NotFound when there is none, or none to be seen."""
    moment = await registry.hot.moment((scope,), reach=caller.reach)
    [entry] = moment.entries
    value, defined = entry.values.get(key), moment.definitions.by_key.get(key)
    if value is None or defined is None:
        raise NotFound
    registry.gate.require(caller, Action.READ, entry.resource(defined.sensitivity))
    caller.note_shown(scope, key, defined.sensitivity, action=Action.READ)
    return moment, value


async def value_by_id(setting_id: UUID, *, caller: Caller, registry: Registry) -> Found:
    """The value with this id. Raises NotFound when there is none, or none to be seen."""
    async with registry.database.connection() as connection:
        found = await store.by_id(connection, setting_id, reach=caller.reach)
    return _readable(found, caller=caller, registry=registry)


async def values_at(
    scope: Scope, *, prefix: str, cursor: str | None, limit: int, caller: Caller, registry: Registry
) -> tuple[Position, Page[SettingValue]]:
    """What is set at a scope, in order of the keys. Raises NotFound when the caller may see nothing there."""
    question = f"settings/{scope.path}/{prefix}"
    after = after_cursor(cursor, question=question) or ""
    # What is set there is judged by where the scope lay at that moment: it may move between two statements.
    async with registry.database.moment(caller.reach) as connection:
        entries = await directory.facts_at(connection, [scope])
        facts = facts_of(scope, entries.get(scope.path, UNKNOWN))
        visible = _visible(scope, facts, caller=caller, registry=registry)
        position, found = await store.page(
            connection, scope, after=after, prefix=prefix, visible=visible, limit=limit + 1
        )
    page = page_of(found, limit=limit, question=question, after=[one.value.key for one in found])
    for one in page.items:
        caller.note_shown(scope, one.value.key, one.sensitivity, action=Action.READ)
    return position, Page(items=tuple(one.value for one in page.items), next=page.next)


async def history(
    setting_id: UUID, *, cursor: str | None, limit: int, caller: Caller, registry: Registry
) -> tuple[Position, Page[Version]]:
    """Every version of a value, its removal too, newest first. Raises NotFound when there are none to be seen."""
    question = f"history/{setting_id}"
    before = _version_in(after_cursor(cursor, question=question))
    async with registry.database.moment(caller.reach) as connection:
        position, found = await store.history(connection, setting_id, before=before, limit=limit + 1)
        if not found:
            raise NotFound
        entries = await directory.facts_at(connection, [found[0].scope])
        _, definition = await definitions.one(connection, found[0].key)
    # The definition of what is long unset may be gone; nobody then knows how sensitive it was, so it counts as secret.
    sensitivity = Sensitivity.SECRET if definition is None else definition.sensitivity
    facts = facts_of(found[0].scope, entries.get(found[0].scope.path, UNKNOWN))
    registry.gate.require(caller, Action.READ, setting_at(found[0].scope, facts, sensitivity))
    caller.note_shown(found[0].scope, found[0].key, sensitivity, action=Action.READ)
    return position, page_of(found, limit=limit, question=question, after=[str(one.version) for one in found])


def _version_in(after: str | None) -> int:
    """The version a cursor resumes at; one that we did not make may hold anything."""
    if after is None:
        return _LATEST
    if not (after.isascii() and after.isdigit() and len(after) <= len(str(_LATEST))):
        raise bad_cursor()
    return min(int(after), _LATEST)


def _readable(found: Found | None, *, caller: Caller, registry: Registry) -> Found:
    if found is None:
        raise NotFound
    facts = facts_of(found.value.scope, found.facts)
    registry.gate.require(caller, Action.READ, setting_at(found.value.scope, facts, found.sensitivity))
    caller.note_shown(found.value.scope, found.value.key, found.sensitivity, action=Action.READ)
    return found


def _visible(scope: Scope, facts: ScopeFacts, *, caller: Caller, registry: Registry) -> SqlCondition:
    """Which of the values at a scope the caller may see. Raises NotFound when it could see none, whatever was set."""
    resource = msgspec.structs.asdict(setting_at(scope, facts, Sensitivity.PUBLIC))
    known = {name: value for name, value in resource.items() if name not in store.ATTRIBUTES}
    visible = registry.gate.condition(
        caller, Action.READ, SettingResource, store.ATTRIBUTES, known=known, start=store.VISIBLE_FROM
    )
    if visible == NO_ROWS:
        registry.gate.require_visible(caller, Action.READ, setting_at(scope, facts, Sensitivity.PUBLIC))
        raise NotFound
    return visible
