"""
Definitions from a document: our own form, or that of the freshplan sales platform.

Our own form is what `GET /api/definitions` gives: a list of definitions, `{"items": […]}` or `{"definitions": […]}`;
members that only the registry can know (version, etag, who and when) are left out. The other form is mapped:

| there                                | here                                        |
|--------------------------------------|---------------------------------------------|
| `keys: […]`                          | the list                                    |
| `jsonSchema`, `defaultValue`         | `schema`, `default`                         |
| `scope: ["global", …]`               | `levels: ["GLOBAL", …]`, general to specific |
| `mergeStrategy: scalar`, `replace`   | `replace`                                   |
| `mergeStrategy: object`              | `merge`                                     |
| `mergeStrategy: list`                | `append`                                    |
| `description`                        | `description`                               |
| `type`, `version`                    | nothing: the schema says the first, we count the second |
"""

from __future__ import annotations

from typing import Any

from app.domain.errors import Malformed, Violation
from app.domain.scope import Level

_OURS = (
    "key",
    "title",
    "description",
    "schema",
    "default",
    "mergeStrategy",
    "levels",
    "sensitivity",
    "owner",
    "tags",
    "deprecated",
)
_STRATEGIES = {"scalar": "replace", "replace": "replace", "object": "merge", "list": "append"}


def definitions_in(document: Any) -> list[dict[str, Any]]:
    """
    The definitions of a document, each as the body of `PUT /api/definitions/{key}` with its `key`.

    Raises Malformed naming the entry that cannot be understood.
    """
    if isinstance(document, dict) and isinstance(document.get("keys"), list):
        return [_mapped(entry, index) for index, entry in enumerate(document["keys"])]
    entries = document
    if isinstance(document, dict):
        entries = document.get("items", document.get("definitions"))
    if not isinstance(entries, list):
        raise Malformed('Expected a list of definitions, or an object with "definitions" or "keys".')
    return [_own(entry, index) for index, entry in enumerate(entries)]


def _own(entry: Any, index: int) -> dict[str, Any]:
    _require_key(entry, index)
    # A default of null is a value; any other null says that the member is not there.
    return {name: entry[name] for name in _OURS if name in entry and (entry[name] is not None or name == "default")}


def _mapped(entry: Any, index: int) -> dict[str, Any]:
    _require_key(entry, index)
    try:
        levels = [Level(str(name).upper()) for name in entry["scope"]]
        return {
            "key": entry["key"],
            "schema": entry["jsonSchema"],
            "default": entry["defaultValue"],
            "mergeStrategy": _STRATEGIES[entry["mergeStrategy"]],
            "levels": [level.value for level in sorted(levels, key=lambda level: level.rank)],
            **({"description": entry["description"]} if entry.get("description") else {}),
        }
    except (KeyError, ValueError, TypeError) as error:
        raise _not_understood(index, f"{entry['key']}: {error} is missing or unknown") from error


def _require_key(entry: Any, index: int) -> None:
    if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
        raise _not_understood(index, "it has no key")


def _not_understood(index: int, why: str) -> Malformed:
    detail = f"Entry {index} cannot be understood: {why}."
    return Malformed(detail, errors=[Violation(pointer=f"#/{index}", code="definition", detail=detail, index=index)])
