"""
A second resolver, as slow and plain as it can be, written from API.md and ARCHITECTURE.md alone.

It knows nothing of app.domain: dicts as they go over the wire in, a dict as it goes over the wire out. Where the two
disagree, one of them has misread the text.
"""

from __future__ import annotations

import json
from typing import Any

# "LEVEL: the context parameter that names it", from general to specific.
PARAMETER = {
    "TENANT": "tenantId",
    "TERRITORY": "territory",
    "ACCOUNT": "accountId",
    "CONTACT_ROLE": "contactRole",
    "CONTACT": "contactId",
    "USER": "userId",
}


def naive_resolve(definition: dict[str, Any], values: list[dict[str, Any]], context: dict[str, str]) -> dict[str, Any]:
    """`{value, scope, scopeId}` for one key; `values` are those of all tenants and scopes."""
    answer = {"value": definition["default"], "scope": "DEFAULT", "scopeId": None}
    said = [definition["default"]]
    for level in ["GLOBAL", *PARAMETER]:
        for value in values:
            if value["scope"] == level and stands_in(value, context):
                said.append(value["value"])
                answer["scope"] = level
                answer["scopeId"] = value.get("scopeId")
    if definition["mergeStrategy"] == "replace":
        answer["value"] = said[-1]
    if definition["mergeStrategy"] == "merge":
        answer["value"] = said[0]
        for patch in said[1:]:
            answer["value"] = patched(answer["value"], patch)
    if definition["mergeStrategy"] == "append":
        answer["value"] = joined(said)
    return answer


def stands_in(value: dict[str, Any], context: dict[str, str]) -> bool:
    if value["scope"] == "GLOBAL":
        return True
    parameter = PARAMETER[value["scope"]]
    return value["tenantId"] == context.get("tenantId") and value["scopeId"] == context.get(parameter)


def patched(target: Any, patch: Any) -> Any:
    """RFC 7396 section 2, word for word."""
    if isinstance(patch, dict):
        target = json.loads(json.dumps(target)) if isinstance(target, dict) else {}
        for name in patch:
            if patch[name] is None:
                if name in target:
                    del target[name]
            else:
                target[name] = patched(target.get(name), patch[name])
        return target
    return patch


def joined(several: list[list[Any]]) -> list[Any]:
    """All items in order, each once. What is spelled differently as JSON is different: 1, 1.0, true."""
    result: list[Any] = []
    for items in several:
        for item in items:
            if spelled(item) not in [spelled(other) for other in result]:
                result.append(item)
    return result


def spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
