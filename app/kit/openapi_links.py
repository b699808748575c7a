"""
How operations of the OpenAPI document lead to each other: what an answer holds is what another call asks for.

Stateful contract tests follow them; without one, what an operation makes is never looked at again.
"""

from __future__ import annotations

from typing import Any

# Each operation with a tag leads back to itself: asked for with the tag it gave, it answers 304.
_HAVING_IT = {"header.If-None-Match": "$response.header.ETag"}
_BY_ID = {"setting_id": "$response.body#/id"}
_MATCHING = {**_BY_ID, "header.If-Match": "$response.header.ETag"}
_LINKS: dict[str, dict[str, tuple[str, dict[str, str]]]] = {
    "createSetting": {
        "Read": ("getSettingById", _BY_ID),
        "Replace": ("replaceSetting", _MATCHING),
        "Patch": ("patchSetting", _MATCHING),
        "Unset": ("unsetSetting", _MATCHING),
        "History": ("getSettingHistory", _BY_ID),
        "Resolve": ("resolveSetting", {"key": "$response.body#/key"}),
    },
    "getSettingById": {
        "Revalidate": ("getSettingById", {**_BY_ID, **_HAVING_IT}),
        "Replace": ("replaceSetting", _MATCHING),
        "Unset": ("unsetSetting", _MATCHING),
    },
    "replaceSetting": {"Read": ("getSettingById", _BY_ID), "Unset": ("unsetSetting", _MATCHING)},
    "listSettings": {"First": ("getSettingById", {"setting_id": "$response.body#/items/0/id"})},
    "listDefinitions": {
        "First": ("getDefinition", {"key": "$response.body#/items/0/key"}),
        "Resolve": ("resolveSetting", {"key": "$response.body#/items/0/key"}),
    },
    "getDefinition": {
        "Revalidate": ("getDefinition", {"key": "$response.body#/key", **_HAVING_IT}),
        "Resolve": ("resolveSetting", {"key": "$response.body#/key"}),
        "Change": ("putDefinition", {"key": "$response.body#/key", "header.If-Match": "$response.header.ETag"}),
    },
    "getScope": {
        "Revalidate": (
            "getScope",
            {"level": "$response.body#/scope", "scope_id": "$response.body#/scopeId", **_HAVING_IT},
        ),
    },
    "putDefinition": {
        "Read": ("getDefinition", {"key": "$response.body#/key"}),
        "Delete": (
            "deleteDefinition",
            {"key": "$response.body#/key", "header.If-Match": "$response.header.ETag"},
        ),
    },
    "createApiKey": {
        "Read": ("getApiKey", {"key_id": "$response.body#/id"}),
        "Rotate": ("rotateApiKey", {"key_id": "$response.body#/id", "header.If-Match": "$response.header.ETag"}),
        "Revoke": ("revokeApiKey", {"key_id": "$response.body#/id"}),
    },
    "addRevocation": {"Lift": ("liftRevocation", {"revocation_id": "$response.body#/id"})},
    "putTenant": {
        "Delete": (
            "deleteTenant",
            {"tenant_id": "$response.body#/tenantId", "header.If-Match": "$response.header.ETag"},
        ),
    },
    "putScope": {
        "Read": ("getScope", {"level": "$response.body#/scope", "scope_id": "$response.body#/scopeId"}),
        "Delete": (
            "deleteScope",
            {
                "level": "$response.body#/scope",
                "scope_id": "$response.body#/scopeId",
                "header.If-Match": "$response.header.ETag",
            },
        ),
    },
}


def links_of(operation_id: str) -> dict[str, Any]:
    """The links of a successful answer of this operation, by their names."""
    return {
        name: {"operationId": target, "parameters": parameters}
        for name, (target, parameters) in _LINKS.get(operation_id, {}).items()
    }
