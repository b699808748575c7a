"""What a setting is: its schema, its default, how values of several scopes combine, and where it may be set."""

from __future__ import annotations

import enum
import re
from datetime import datetime
from typing import Any

import msgspec

from app.domain.canonical import CanonicalJson, canonical, plain
from app.domain.combination import MergeStrategy, combine
from app.domain.errors import Malformed, Refused, Violation
from app.domain.position import Position
from app.domain.schema import declares_type, schema_violations, value_violations
from app.domain.scope import Level

KEY_PATTERN = r"^[a-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$"
MAX_KEY_CHARACTERS = 200

_TYPE_FOR = {MergeStrategy.MERGE: "object", MergeStrategy.APPEND: "array"}


class Sensitivity(enum.StrEnum):
    """How widely a setting may be known. Members stand from open to closed."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    SECRET = "secret"

    @property
    def rank(self) -> int:
        """0 for public, rising; a clearance of the same or a higher rank opens it."""
        return _SENSITIVITY_RANK[self]


_SENSITIVITY_RANK = {sensitivity: rank for rank, sensitivity in enumerate(Sensitivity)}


class SettingDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is. `position` is that of its last change and serves as its entity tag."""

    key: str
    title: str | None = None
    description: str | None = None
    schema: Any
    default: CanonicalJson
    merge_strategy: MergeStrategy = MergeStrategy.REPLACE
    levels: tuple[Level, ...]
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    owner: str | None = None
    tags: tuple[str, ...] = ()
    deprecated: bool = False
    version: int
    position: Position
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str

    @property
    def rule(self) -> ResolutionRule:
        """The part of the definition that resolution looks at."""
        return ResolutionRule(key=self.key, default=self.default, merge_strategy=self.merge_strategy)


class ResolutionRule(msgspec.Struct, frozen=True, kw_only=True):
    """What resolving one key needs to know."""

    key: str
    default: CanonicalJson
    merge_strategy: MergeStrategy


_is_key = re.compile(KEY_PATTERN).fullmatch


def is_key(text: str) -> bool:
    """Whether a text may be the key of a setting."""
    return len(text) <= MAX_KEY_CHARACTERS and _is_key(text) is not None


def require_key(text: str, *, pointer: str) -> str:
    """The text, if it may be a key; raises Malformed with the rule if not."""
    if is_key(text):
        return text
    detail = f"A key matches {KEY_PATTERN} and has at most {MAX_KEY_CHARACTERS} characters."
    raise Malformed(detail, errors=[Violation(pointer=pointer, code="key", detail=detail)])


def check_definition(definition: SettingDefinition) -> None:
    """Raise Refused with every reason why a definition contradicts itself."""
    errors = schema_violations(definition.schema)
    if not errors:
        errors = [*_strategy_violations(definition), *_default_violations(definition)]
    errors += _level_violations(definition)
    if errors:
        raise Refused("The definition contradicts itself.", errors=errors)


def check_value(definition: SettingDefinition, value: Any, *, level: Level, at: str = "value") -> list[Violation]:
    """
    Why a value may not be set for a definition at a level; empty when it may.

    What is checked is what the value makes of the default, by the merge strategy: a partial object of a `merge`
    setting need not repeat the members its schema requires.
    """
    if level not in definition.levels:
        allowed = ", ".join(definition.levels)
        detail = f"{definition.key} may be set at {allowed}, not at {level}."
        return [Violation(pointer="#/scope", code="level-not-allowed", detail=detail)]
    wanted = _TYPE_FOR.get(definition.merge_strategy)
    if wanted is not None and not isinstance(value, _PYTHON_TYPE[wanted]):
        detail = f"A setting that is combined by {definition.merge_strategy} takes an {wanted}."
        return [Violation(pointer=f"#/{at}", code="type", detail=detail)]
    combined = combine(definition.merge_strategy, [plain(definition.default), value])
    errors = _discreet(definition, value_violations(definition.schema, combined, at=at))
    if definition.merge_strategy is MergeStrategy.APPEND:
        return [_pointing_into(value, combined, error, at) for error in errors]
    return errors


def _discreet(definition: SettingDefinition, errors: list[Violation]) -> list[Violation]:
    """Violations as they may be told and logged: their words quote the value."""
    if definition.sensitivity.rank < Sensitivity.CONFIDENTIAL.rank:
        return errors
    return [msgspec.structs.replace(one, detail="This part breaks the schema.") for one in errors]


_PYTHON_TYPE: dict[str, type] = {"object": dict, "array": list}


def _pointing_into(value: list[Any], combined: list[Any], error: Violation, at: str) -> Violation:
    """The violation of a combined list, pointing to the caller's own item where it is one."""
    step, *rest = error.pointer.removeprefix(f"#/{at}").removeprefix("/").split("/")
    if not step.isdigit():
        return error
    wrong = canonical(combined[int(step)])
    own = next((index for index, item in enumerate(value) if canonical(item) == wrong), None)
    if own is None:
        return error
    return msgspec.structs.replace(error, pointer="/".join([f"#/{at}", str(own), *rest]))


def _strategy_violations(definition: SettingDefinition) -> list[Violation]:
    wanted = _TYPE_FOR.get(definition.merge_strategy)
    if wanted is None or declares_type(definition.schema, wanted):
        return []
    detail = f'mergeStrategy {definition.merge_strategy} needs a schema with "type": "{wanted}".'
    return [Violation(pointer="#/mergeStrategy", code="merge-strategy", detail=detail)]


def _default_violations(definition: SettingDefinition) -> list[Violation]:
    return _discreet(definition, value_violations(definition.schema, plain(definition.default), at="default"))


def _level_violations(definition: SettingDefinition) -> list[Violation]:
    if not definition.levels:
        return [Violation(pointer="#/levels", code="levels", detail="Name at least one level.")]
    if len(set(definition.levels)) != len(definition.levels):
        return [Violation(pointer="#/levels", code="levels", detail="Name each level once.")]
    return []
