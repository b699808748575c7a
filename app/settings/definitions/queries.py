"""Reading definitions."""

from __future__ import annotations

from app.access.caller import Caller
from app.domain.access import Action, DefinitionResource
from app.domain.definition import SettingDefinition, is_key
from app.domain.errors import NotFound
from app.domain.position import Position
from app.kit.paging import Page, after_cursor, page_of
from app.settings.definitions import store
from app.settings.definitions.commands import resource_of
from app.settings.registry import Registry


async def definition(key: str, *, caller: Caller, registry: Registry) -> tuple[Position, SettingDefinition]:
    """The definition of a key. Raises NotFound when there is none, or none to be seen."""
    if not is_key(key):
        raise NotFound
    async with registry.database.connection() as connection:
        position, found = await store.one(connection, key)
    if found is None:
        raise NotFound
    registry.gate.require(caller, Action.READ, resource_of(found.sensitivity))
    return position, found


async def definitions(
    *, prefix: str, cursor: str | None, limit: int, caller: Caller, registry: Registry
) -> tuple[Position, Page[SettingDefinition]]:
    """The definitions that the caller may see, in order of their keys."""
    question = f"definitions/{prefix}"
    after = after_cursor(cursor, question=question) or ""
    visible = registry.gate.condition(
        caller, Action.READ, DefinitionResource, store.ATTRIBUTES, start=store.VISIBLE_FROM
    )
    async with registry.database.connection() as connection:
        position, found = await store.page(connection, after=after, prefix=prefix, visible=visible, limit=limit + 1)
    return position, page_of(found, limit=limit, question=question, after=[one.key for one in found])
