"""
Tables of the registry, as Piccolo sees them. Imported by migrations and tests only, never by a serving worker.

What Piccolo cannot express stands in the raw migration next to the one made from here: the generated `scope_path`
columns, their unique and prefix indexes, checks and collations. Values are `json`, not `jsonb`: what is stored is
already canonical, and jsonb would rewrite its numbers and order (docs/decisions/0003-canonical-json.md).
"""

from __future__ import annotations

from piccolo.columns import (
    JSON,
    UUID,
    Array,
    BigInt,
    Boolean,
    ForeignKey,
    Integer,
    OnDelete,
    Text,
    Timestamptz,
)
from piccolo.table import Table


class Tenant(Table, tablename="tenant"):
    """A customer whose settings nobody else sees."""

    id = Text(primary_key=True, default=None)
    name = Text(default=None)
    version = Integer(default=None)
    position = BigInt(default=None)
    created_at = Timestamptz(default=None)
    created_by = Text(default=None)
    updated_at = Timestamptz(default=None)
    updated_by = Text(default=None)


class ScopeEntry(Table, tablename="scope"):
    """The scope directory: what is known of a scope besides its values."""

    tenant = ForeignKey(references=Tenant, on_delete=OnDelete.restrict, null=False, default=None)
    level = Text(default=None)
    scope_id = Text(default=None)
    territory = Text(null=True, default=None)
    owner = Text(null=True, default=None)
    attributes = JSON(default=None)
    version = Integer(default=None)
    position = BigInt(default=None)
    created_at = Timestamptz(default=None)
    created_by = Text(default=None)
    updated_at = Timestamptz(default=None)
    updated_by = Text(default=None)


class SettingDefinition(Table, tablename="setting_definition"):
    """What a key is."""

    key = Text(primary_key=True, default=None)
    title = Text(null=True, default=None)
    description = Text(null=True, default=None)
    schema = JSON(default=None)
    default_value = JSON(default=None)
    merge_strategy = Text(default=None)
    levels = Array(base_column=Text(), default=None)
    sensitivity = Text(default=None)
    owner = Text(null=True, default=None)
    tags = Array(base_column=Text(), default=None)
    deprecated = Boolean(default=None)
    version = Integer(default=None)
    position = BigInt(default=None)
    created_at = Timestamptz(default=None)
    created_by = Text(default=None)
    updated_at = Timestamptz(default=None)
    updated_by = Text(default=None)


class SettingValue(Table, tablename="setting_value"):
    """What someone set for a key at one scope."""

    id = UUID(primary_key=True, default=None)
    tenant = ForeignKey(references=Tenant, on_delete=OnDelete.restrict, null=True, default=None)
    level = Text(default=None)
    scope_id = Text(default=None)
    key = ForeignKey(references=SettingDefinition, on_delete=OnDelete.restrict, null=False, default=None)
    value = JSON(default=None)
    metadata = JSON(default=None)
    version = Integer(default=None)
    position = BigInt(default=None)
    created_at = Timestamptz(default=None)
    created_by = Text(default=None)
    updated_at = Timestamptz(default=None)
    updated_by = Text(default=None)


class SettingHistory(Table, tablename="setting_history"):
    """Every version of every value ever, removals too."""

    position = BigInt(primary_key=True, default=None)
    setting_id = UUID(default=None)
    operation = Text(default=None)
    tenant = Text(null=True, default=None)
    level = Text(default=None)
    scope_id = Text(default=None)
    key = Text(default=None)
    value = JSON(null=True, default=None)
    metadata = JSON(null=True, default=None)
    version = Integer(default=None)
    at = Timestamptz(default=None)
    by = Text(default=None)
