"""
Types of resources that other services own, declared in `*.types.yaml` files beside the rules about them.

    record:                  # its name, in rules and in questions
      stored: ACCOUNT        # optional: each directory entry of this level is one, its attributes are the entry's
      attributes:
        status: string       # string, integer, boolean or strings; with `?` where it may be unknown (nil)
        owner: string?
      actions:
        read:
        delete:
          soft: boolean      # a property of the action itself; rules see it as `action_soft`

Every resource also has `id` and `tenant`. A declared type becomes a Struct like those of our own, so that rules about
it are looked through, compiled and tested as all others are (docs/decisions/0015-authzen.md).
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec
import yaml

from app.access.policy import PolicyError, ResourceType
from app.access.policy_files import Files
from app.domain.access import (
    ApiKeyResource,
    AuditResource,
    DecisionPointResource,
    DefinitionResource,
    EventResource,
    OperationsResource,
    PolicyResource,
    ScopeResource,
    SettingResource,
    TenantResource,
)
from app.domain.scope import Level
from app.kit.yaml import parse_yaml_strictly

# Our own types as questions name them. No file may declare these.
OUR_NAMES: dict[str, type] = {
    "setting": SettingResource,
    "definition": DefinitionResource,
    "scope": ScopeResource,
    "tenant": TenantResource,
    "audit": AuditResource,
    "api-key": ApiKeyResource,
    "event": EventResource,
    "policy": PolicyResource,
    "operations": OperationsResource,
    "decision-point": DecisionPointResource,
}
ACTION_PREFIX = "action_"

# A list that may be unknown is not taken: `not (x in r.list)` would grant where nobody knows.
KINDS: dict[str, Any] = {
    "string": str,
    "string?": str | None,
    "integer": int,
    "integer?": int | None,
    "boolean": bool,
    "boolean?": bool | None,
    "strings": tuple[str, ...],
}

Kinds: TypeAlias = dict[str, str]

_LEVELS = tuple(level.value for level in Level if level is not Level.GLOBAL)
_MEMBERS = ("stored", "attributes", "actions")
_POLAR_WORDS = {
    *("if", "and", "or", "not", "in", "matches", "new", "cut", "debug", "print", "isa", "forall", "type"),
    *("true", "false", "nil", "mod", "rem", "resource", "actor", "relations"),
}
_POLAR_CLASSES = {
    *("Integer", "Float", "Number", "String", "Boolean", "List", "Dictionary", "PathResolver"),
    *("Actor", "Resource", "Principal", "Circumstances"),
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_ACTION = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,99}")


class DeclaredType(ResourceType, frozen=True, kw_only=True):
    """A type of resource that another service owns."""

    stored: Level | None  # the level whose directory entries are its instances
    attributes: Mapping[str, str]  # kinds by name, without id and tenant
    action_attributes: Mapping[str, Mapping[str, str]]  # by action


def declared_types(files: Files, taken: Iterable[ResourceType]) -> tuple[DeclaredType, ...]:
    """
    The types that these files declare, beside those whose names are taken.

    Raises PolicyError naming the file and the member that is wrong.
    """
    names = {one.name for one in taken} | OUR_NAMES.keys() | _POLAR_WORDS | _POLAR_CLASSES
    found: list[DeclaredType] = []
    for file, source in files:
        for name, body in _members(_document(file, source), file).items():
            place = f"{file}: {name}"
            if name in names or not _NAME.fullmatch(name):
                raise PolicyError(f"{place}: this cannot be the name of a type; it is taken, or no plain name.")
            names.add(name)
            found.append(_declared(name, body, place))
    return tuple(found)


def is_required(kind: str) -> bool:
    """Whether an attribute of this kind has to be known."""
    return not kind.endswith("?")


def _declared(name: str, body: Any, place: str) -> DeclaredType:
    members = _members(body, place)
    for member in members:
        if member not in _MEMBERS:
            raise PolicyError(f"{place}.{member}: there is no such member; there are {', '.join(_MEMBERS)}.")
    stored = members.get("stored")
    if stored is not None and stored not in _LEVELS:
        raise PolicyError(f"{place}.stored: {stored!r} is no level; there are {', '.join(_LEVELS)}.")
    attributes = _kinds(members.get("attributes"), f"{place}.attributes")
    actions = _actions(members.get("actions"), f"{place}.actions")
    return DeclaredType(
        name=name,
        class_=_class(name, attributes, _of_actions(actions, place)),
        actions=tuple(actions),
        stored=None if stored is None else Level(stored),
        attributes=attributes,
        action_attributes=actions,
    )


def _class(name: str, attributes: Kinds, action_attributes: Kinds) -> type:
    """The Struct whose fields rules may speak of. What belongs to an action is nil when another is asked for."""
    fields: list[Any] = [("id", str), ("tenant", str)]  # the empty tenant is nobody's
    fields += [_field(one, kind) for one, kind in attributes.items()]
    fields += [(ACTION_PREFIX + one, KINDS[kind] | None, None) for one, kind in action_attributes.items()]
    return msgspec.defstruct(name, fields, frozen=True, kw_only=True, module=__name__)


def _field(name: str, kind: str) -> Any:
    return (name, KINDS[kind]) if is_required(kind) else (name, KINDS[kind], None)


def _actions(body: Any, place: str) -> dict[str, Kinds]:
    actions = {}
    for name, attributes in _members(body, place).items():
        if not _ACTION.fullmatch(name):
            raise PolicyError(f"{place}.{name}: this cannot be the name of an action.")
        actions[name] = _kinds(attributes, f"{place}.{name}", prefix=ACTION_PREFIX)
    if not actions:
        raise PolicyError(f"{place}: name at least one action.")
    return actions


def _of_actions(actions: Mapping[str, Kinds], place: str) -> Kinds:
    """The attributes of all actions together. They share the resource's class, so one name has one kind."""
    together: Kinds = {}
    for action, attributes in actions.items():
        for name, kind in attributes.items():
            plain = kind.removesuffix("?")
            if plain == "strings":
                raise PolicyError(f"{place}.actions.{action}.{name}: a property of an action is no list.")
            if together.setdefault(name, plain) != plain:
                raise PolicyError(f"{place}.actions.{action}.{name}: it is of another kind in another action.")
    return together


def _kinds(body: Any, place: str, *, prefix: str = "") -> Kinds:
    kinds = {}
    for name, kind in _members(body, place).items():
        field = prefix + name
        if not _NAME.fullmatch(name) or field in _POLAR_WORDS or keyword.iskeyword(field):
            raise PolicyError(f"{place}.{name}: this cannot be the name of an attribute.")
        if field in ("id", "tenant") or name.startswith(ACTION_PREFIX):
            raise PolicyError(f"{place}.{name}: id, tenant and {ACTION_PREFIX}… are there without being declared.")
        if not isinstance(kind, str) or kind not in KINDS:
            raise PolicyError(f"{place}.{name}: {kind!r} is no kind; there are {', '.join(KINDS)}.")
        kinds[name] = kind
    return kinds


def _members(body: Any, place: str) -> dict[str, Any]:
    if body is None:
        return {}
    if not isinstance(body, dict) or not all(isinstance(name, str) for name in body):
        raise PolicyError(f"{place}: it takes members with names.")
    return body


def _document(file: str, source: str) -> Any:
    try:
        return parse_yaml_strictly(source)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PolicyError(f"{file}: it is not YAML: {' '.join(str(error).split())[:200]}.") from error
