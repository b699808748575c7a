"""What an import would do is decided by meaning, not by spelling."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.cli.definition_changes import DEFAULTS, changes_between, lines_of
from app.settings.definitions.http import DefinitionBody

THERE: dict[str, Any] = {
    "key": "a",
    "schema": {"type": "integer", "minimum": 1},
    "default": 1,
    "levels": ["GLOBAL", "TENANT"],
    "title": None,
    "description": None,
    "mergeStrategy": "replace",
    "sensitivity": "internal",
    "owner": None,
    "tags": [],
    "deprecated": False,
    "version": 3,
    "etag": '"v9"',
}
WANTED = {name: THERE[name] for name in ("key", "schema", "default", "levels")}


def test_members_that_are_left_out_are_taken_for_what_the_interface_takes_them_for() -> None:
    body = msgspec.to_builtins(DefinitionBody(schema=True, default=0, levels=()))

    assert {name: list(body[name]) if name == "tags" else body[name] for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"levels": ["TENANT", "GLOBAL"]},
        {"schema": {"minimum": 1, "type": "integer"}},
        {"tags": [], "deprecated": False, "mergeStrategy": "replace"},
    ],
)
def test_another_spelling_is_no_change(same: dict[str, Any]) -> None:
    [change] = changes_between([WANTED | same], {"a": THERE})

    assert change.kind == "unchanged"
    assert lines_of(change) == []


@pytest.mark.parametrize("default", [1.0, True, "1", [1]])
def test_what_python_takes_for_equal_is_a_change(default: Any) -> None:
    [change] = changes_between([WANTED | {"default": default}], {"a": THERE})

    assert change.kind == "changed"


def test_a_change_tells_what_was_and_is_bound_to_it() -> None:
    [change] = changes_between([WANTED | {"default": 2, "title": "A"}], {"a": THERE})

    assert lines_of(change) == ["~ a", "    default: 1 -> 2", '    title: null -> "A"']
    assert change.headers == {"If-Match": '"v9"', "If-None-Match": None}


def test_a_member_that_is_left_out_goes_back_to_its_default() -> None:
    [change] = changes_between([WANTED], {"a": THERE | {"sensitivity": "secret"}})

    assert change.members == {"sensitivity": ("secret", "internal")}


def test_a_new_definition_is_made_only_if_it_is_still_not_there() -> None:
    [change] = changes_between([WANTED], {})

    assert lines_of(change) == ["+ a"]
    assert change.headers == {"If-Match": None, "If-None-Match": "*"}
