"""What the cache holds: everything about one scope, or all definitions, as of a position."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from app.domain.access import UNKNOWN, ScopeFacts, SettingResource, facts_of, setting_at
from app.domain.definition import ResolutionRule, Sensitivity
from app.domain.position import Position
from app.domain.scope import Scope
from app.domain.value import SettingValue
from app.log.trail import Mark

# Bytes of Python objects beside the texts; tests/settings/cache/test_local.py holds them against the real thing.
ENTRY_BYTES = 900
VALUE_BYTES = 650


class Stamped(msgspec.Struct, kw_only=True):
    """
    Something read from PostgreSQL as of a position; mark and position name the history it was read in.

    `good` is up to where it has been found unchanged since. It is the only thing that ever changes here.
    """

    position: Position
    mark: Mark
    good: Position


class Entry(Stamped, kw_only=True):
    """
    Everything that is set at one scope, and what the directory says of it; a scope with nothing at all has one too.

    `facts` is None when the directory does not know the scope. `tenant_exists` is only said of a TENANT scope.
    """

    scope: Scope
    path: str
    tenant_exists: bool
    facts: ScopeFacts | None
    values: dict[str, SettingValue]
    resources: dict[Sensitivity, SettingResource] = msgspec.field(default_factory=dict)  # made when first asked for

    def resource(self, sensitivity: Sensitivity) -> SettingResource:
        """What the gate is asked about: a setting of this sensitivity at this scope."""
        made = self.resources.get(sensitivity)
        if made is None:
            facts = facts_of(self.scope, UNKNOWN if self.facts is None else self.facts)
            made = self.resources[sensitivity] = setting_at(self.scope, facts, sensitivity)
        return made

    @property
    def cost(self) -> int:
        """Bytes that it takes in memory, near enough."""
        return ENTRY_BYTES + sum(
            VALUE_BYTES + len(value.key) + len(value.value) + len(value.metadata) for value in self.values.values()
        )


class DefinedKey(msgspec.Struct, frozen=True, kw_only=True):
    """What resolving a key needs of its definition, and what the gate does."""

    rule: ResolutionRule
    sensitivity: Sensitivity


class Definitions(Stamped, kw_only=True):
    """All definitions, in order of their keys."""

    by_key: dict[str, DefinedKey]
    names: list[str]
    all: list[DefinedKey]

    def of(self, keys: Sequence[str]) -> list[DefinedKey]:
        """Those of these keys that are defined."""
        return [self.by_key[key] for key in keys if key in self.by_key]

    def starting_with(self, prefix: str) -> list[DefinedKey]:
        """Those whose key has a prefix; the empty one gives all."""
        if not prefix:
            return self.all
        found = []
        for name in self.names[bisect_left(self.names, prefix) :]:
            if not name.startswith(prefix):
                break
            found.append(self.by_key[name])
        return found


class View(msgspec.Struct, frozen=True, kw_only=True):
    """An answer's bytes and their tag, made of entries and definitions as of these positions."""

    stamps: tuple[Position, ...]
    body: bytes
    tag: str
