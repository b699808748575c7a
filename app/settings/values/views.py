"""How values look on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from app.domain.definition import KEY_PATTERN, MAX_KEY_CHARACTERS
from app.domain.scope import Level, ScopeId, TenantId
from app.domain.tag import change_tag
from app.domain.value import SettingValue
from app.settings.values.changes import Done
from app.settings.values.store import Version

Key = Annotated[str, msgspec.Meta(max_length=MAX_KEY_CHARACTERS, pattern=KEY_PATTERN)]


class Setting(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A value set at a scope."""

    id: str
    scope: Level
    scope_id: str | None
    tenant_id: str | None
    key: str
    value: Any
    metadata: Any
    version: int
    etag: str
    position: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class HistoryItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One version of a value. A removal (`unset`) has no value."""

    setting_id: str
    operation: Literal["set", "unset"]
    scope: Level
    scope_id: str | None
    tenant_id: str | None
    key: str
    value: Any = msgspec.UNSET
    metadata: Any = msgspec.UNSET
    version: int
    etag: str
    position: int
    at: datetime
    by: str


class NewSetting(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A value to set."""

    scope: Level
    key: Key
    value: Any
    scope_id: ScopeId | None = None
    tenant_id: TenantId | None = None
    metadata: dict[str, Any] = {}


class Replacement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to put in the place of a value. Metadata that is left out stays as it is."""

    value: Any
    metadata: dict[str, Any] | None = None


class Patch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON merge patch on a value and its metadata. What is left out stays as it is."""

    value: Any = msgspec.UNSET
    metadata: Any = msgspec.UNSET


class BatchOperation(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    One change of a batch.

    A set without `ifMatch` creates; with it, it replaces the value that has this tag (`*`: any). An unset needs it.
    """

    op: Literal["set", "unset"]
    scope: Level
    key: Key
    scope_id: ScopeId | None = None
    tenant_id: TenantId | None = None
    value: Any = msgspec.UNSET
    metadata: dict[str, Any] | None = None
    if_match: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None


class BatchBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Changes to make together or not at all."""

    operations: Annotated[tuple[BatchOperation, ...], msgspec.Meta(min_length=1)]
    dry_run: bool = False


class BatchResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of one operation. A dry run has no tags to give."""

    index: int
    op: Literal["set", "unset"]
    id: str
    scope: Level
    scope_id: str | None
    tenant_id: str | None
    key: str
    version: int
    etag: str | None


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of a batch."""

    results: tuple[BatchResult, ...]
    dry_run: bool


def setting_view(value: SettingValue) -> Setting:
    """A value as callers see it."""
    return Setting(
        id=str(value.id),
        scope=value.scope.level,
        scope_id=value.scope.scope_id or None,
        tenant_id=value.scope.tenant,
        key=value.key,
        value=msgspec.Raw(value.value),
        metadata=msgspec.Raw(value.metadata),
        version=value.version,
        etag=change_tag(value.position),
        position=value.position,
        created_at=value.created_at,
        created_by=value.created_by,
        updated_at=value.updated_at,
        updated_by=value.updated_by,
    )


def history_view(version: Version) -> HistoryItem:
    """A version as callers see it."""
    return HistoryItem(
        setting_id=str(version.setting_id),
        operation=version.operation,
        scope=version.scope.level,
        scope_id=version.scope.scope_id or None,
        tenant_id=version.scope.tenant,
        key=version.key,
        value=msgspec.UNSET if version.value is None else msgspec.Raw(version.value),
        metadata=msgspec.UNSET if version.metadata is None else msgspec.Raw(version.metadata),
        version=version.version,
        etag=change_tag(version.position),
        position=version.position,
        at=version.at,
        by=version.by,
    )


def batch_result(index: int, done: Done, *, dry_run: bool) -> BatchResult:
    """What one operation of a batch did."""
    value = done.value
    return BatchResult(
        index=index,
        op="unset" if done.change.unsets else "set",
        id=str(value.id),
        scope=value.scope.level,
        scope_id=value.scope.scope_id or None,
        tenant_id=value.scope.tenant,
        key=value.key,
        version=value.version,
        etag=None if dry_run or done.change.unsets else change_tag(value.position),
    )
