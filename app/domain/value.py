"""What someone set for a key at one scope."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from app.domain.canonical import CanonicalJson, plain
from app.domain.errors import Refused, Violation
from app.domain.merge_patch import merge_patch
from app.domain.position import Position
from app.domain.scope import Scope


class SettingValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value set at a scope. `position` is that of its last change and serves as its entity tag."""

    id: UUID
    scope: Scope
    key: str
    value: CanonicalJson
    metadata: CanonicalJson
    version: int
    position: Position
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class ValuePatch(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge patch makes of a value: its new plain value and metadata."""

    value: Any
    metadata: Any


def patched(current: SettingValue, patch: dict[str, Any]) -> ValuePatch:
    """
    The value and metadata after a JSON merge patch on `{value, metadata}`.

    A patch cannot remove the value: a null stored by a patch would look the same as one. Raises Refused.
    """
    if "value" in patch and patch["value"] is None:
        detail = "A merge patch cannot remove the value. Use DELETE to unset it, or PUT to set it to null."
        raise Refused(detail, errors=[Violation(pointer="#/value", code="value-removed", detail=detail)])
    before = {"value": plain(current.value), "metadata": plain(current.metadata)}
    after = merge_patch(before, patch)
    return ValuePatch(value=after["value"], metadata=after.get("metadata", {}))


def size_violations(value: CanonicalJson, *, max_bytes: int, at: str = "value") -> list[Violation]:
    """Whether a value is too long to be stored."""
    if len(value) <= max_bytes:
        return []
    detail = f"It takes {len(value)} bytes as JSON; at most {max_bytes} are allowed."
    return [Violation(pointer=f"#/{at}", code="too-long", detail=detail)]
