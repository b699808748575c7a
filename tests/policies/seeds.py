"""
The resources of a table as rows of the real tables: settings with their definitions and directory entries.

A table may say two things of one scope (`alice` in DE, `alice` nowhere), so it is seeded in stages: in each of them
every scope has one entry.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from app.domain.access import ApiKeyResource, Resource, ScopeResource, SettingResource
from app.domain.definition import Sensitivity
from app.domain.scope import Level, Scope
from app.kit.database import Connection
from tests.policies.tables import Case, Table
from tests.world import LEVELS, START

Stage: TypeAlias = dict[str, Resource]
"""Resources by their names in the table."""

_SIGNED = "1, 1, $1, 'case', $1, 'case'"
_SIGNATURE = "version, position, created_at, created_by, updated_at, updated_by"


def key_of(sensitivity: int) -> str:
    """The key of the definition that is this sensitive."""
    return f"cases.{list(Sensitivity)[sensitivity].value}"


def id_of(resource: ApiKeyResource) -> str:
    """The id of the API key that it is."""
    return f"key{resource.tenant}".ljust(10, "0")


def scope_of(resource: SettingResource | ScopeResource) -> Scope:
    """Where a setting or an entry is."""
    return Scope(Level(resource.level), resource.tenant, resource.scope_id)


def stages_of(table: Table) -> list[Stage]:
    """The resources of a table, in as few stages as their scopes allow."""
    stages: list[Stage] = []
    for name, resource in {case.what: case.resource for case in table.cases}.items():
        stage = next((one for one in stages if _goes_into(one, resource)), None)
        if stage is None:
            stages.append(stage := {})
        stage[name] = resource
    return stages


def cases_in(stage: Stage, table: Table) -> Iterable[Case]:
    """The cells about what is there at a stage."""
    return [case for case in table.cases if case.what in stage]


async def seed_definitions(db: Connection) -> None:
    """A definition of every sensitivity."""
    for sensitivity in Sensitivity:
        await db.execute(
            f"""
            INSERT INTO setting_definition (key, schema, default_value, merge_strategy, levels, sensitivity, tags,
                deprecated, {_SIGNATURE})
            VALUES ($2, 'true', 'null', 'replace', $3, $4, '{{}}', false, {_SIGNED})
            """,
            *(START, key_of(sensitivity.rank), LEVELS, sensitivity.value),
        )


async def seed(db: Connection, stage: Stage) -> dict[str, uuid.UUID]:
    """What is there at this stage and nothing else; the ids of the values by the names of the resources."""
    await db.execute("DELETE FROM setting_value; DELETE FROM scope; DELETE FROM api_key")
    ids: dict[str, uuid.UUID] = {}
    for path in dict.fromkeys(scope_of(one).path for one in _located(stage.values())):
        same = [one for one in _located(stage.values()) if scope_of(one).path == path]
        if scope_of(same[0]).level is not Level.GLOBAL:
            await _seed_entry(db, same)
    for name, resource in stage.items():
        if isinstance(resource, SettingResource):
            ids[name] = await _seed_value(db, resource)
        if isinstance(resource, ApiKeyResource):
            await _seed_key(db, resource)
    return ids


async def _seed_entry(db: Connection, at_one_scope: Sequence[SettingResource | ScopeResource]) -> None:
    """What its resources say of a scope; nothing when none of them says anything and none is the entry itself."""
    one = at_one_scope[0]
    if one.territory is None and one.owner is None and not any(isinstance(one, ScopeResource) for one in at_one_scope):
        return
    await db.execute(
        f"""
        INSERT INTO scope (tenant, level, scope_id, territory, owner, attributes, {_SIGNATURE})
        VALUES ($2, $3, $4, $5, $6, '{{}}', {_SIGNED})
        """,
        *(START, one.tenant, one.level, one.scope_id, one.territory, one.owner),
    )


async def _seed_value(db: Connection, resource: SettingResource) -> uuid.UUID:
    made = uuid.uuid4()
    await db.execute(
        f"""
        INSERT INTO setting_value (id, tenant, level, scope_id, key, value, metadata, {_SIGNATURE})
        VALUES ($2, $3, $4, $5, $6, '1', '{{}}', {_SIGNED})
        """,
        *(START, made, resource.tenant, resource.level, resource.scope_id, key_of(resource.sensitivity)),
    )
    return made


async def _seed_key(db: Connection, resource: ApiKeyResource) -> None:
    await db.execute(
        f"""
        INSERT INTO api_key (id, tenant, owner, name, kind, roles, territories, accounts, clearance, secret_digest,
            pepper_id, expires_at, {_SIGNATURE})
        VALUES ($2, nullif($3, ''), $4, '', 'service', '{{}}', '{{}}', '{{}}', 'public', '', '', 'infinity', {_SIGNED})
        """,
        *(START, id_of(resource), resource.tenant, resource.owner),
    )


def _goes_into(stage: Stage, resource: Resource) -> bool:
    """Whether a stage says nothing else of the same scope, and has nothing of the same key there."""
    if not isinstance(resource, SettingResource | ScopeResource):
        return True
    return all(
        (one.territory, one.owner) == (resource.territory, resource.owner) and _thing(one) != _thing(resource)
        for one in _located(stage.values())
        if scope_of(one) == scope_of(resource)
    )


def _thing(resource: SettingResource | ScopeResource) -> tuple[type, int]:
    return type(resource), resource.sensitivity if isinstance(resource, SettingResource) else 0


def _located(resources: Iterable[Resource]) -> list[SettingResource | ScopeResource]:
    return [one for one in resources if isinstance(one, SettingResource | ScopeResource)]
