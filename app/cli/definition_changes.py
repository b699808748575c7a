"""What an import would do to the definitions that are there: decided here, without asking anyone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from app.cli.arguments import LEVELS
from app.cli.text import compact, printable

# What PUT /api/definitions takes for a member that is left out; tests/cli/test_definition_changes.py compares.
DEFAULTS: dict[str, Any] = {
    "mergeStrategy": "replace",
    "sensitivity": "internal",
    "title": None,
    "description": None,
    "owner": None,
    "tags": [],
    "deprecated": False,
}
MEMBERS = ("schema", "default", "levels", *DEFAULTS)

_MARKS = {"new": "+", "changed": "~", "unchanged": "="}


class Change(NamedTuple):
    """One definition of an import. `members` are those that change, each with what it was and will be."""

    key: str
    kind: Literal["new", "changed", "unchanged"]
    body: Mapping[str, Any]
    etag: str | None = None
    members: Mapping[str, tuple[Any, Any]] = {}

    @property
    def headers(self) -> dict[str, str | None]:
        """The condition under which it may be carried out: nobody changed it since it was compared."""
        return {"If-Match": self.etag, "If-None-Match": None if self.etag else "*"}


def changes_between(wanted: Sequence[Mapping[str, Any]], there: Mapping[str, Mapping[str, Any]]) -> list[Change]:
    """Compare definitions, each with its `key`, with those that are there by key; in the order they are wanted."""
    return [_change(definition, there.get(definition["key"])) for definition in wanted]


def lines_of(change: Change) -> list[str]:
    """A change as a person reads it. What is unchanged has no lines: it is counted."""
    if change.kind == "unchanged":
        return []
    head = f"{_MARKS[change.kind]} {printable(change.key)}"
    return [head, *(f"    {name}: {compact(old)} -> {compact(new)}" for name, (old, new) in change.members.items())]


def report_of(change: Change) -> dict[str, Any]:
    """A change as a program reads it."""
    return {
        "key": change.key,
        "change": change.kind,
        "members": {name: {"from": old, "to": new} for name, (old, new) in change.members.items()},
    }


def _change(definition: Mapping[str, Any], current: Mapping[str, Any] | None) -> Change:
    body = {name: value for name, value in definition.items() if name != "key"}
    if current is None:
        return Change(key=definition["key"], kind="new", body=body)
    whole = DEFAULTS | body
    members = {
        name: (current.get(name), whole[name])
        for name in MEMBERS
        if name in whole and _spelling(name, current.get(name)) != _spelling(name, whole[name])
    }
    kind: Literal["changed", "unchanged"] = "changed" if members else "unchanged"
    return Change(key=definition["key"], kind=kind, body=body, etag=current["etag"], members=members)


def _spelling(name: str, value: Any) -> str:
    """One spelling for equal values. Python alone takes 1, 1.0 and true for the same; levels have no order."""
    if name == "levels" and isinstance(value, list):
        value = sorted(value, key=lambda level: LEVELS.index(level) if level in LEVELS else len(LEVELS))
    return json.dumps(value, sort_keys=True)
