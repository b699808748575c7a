"""
The rules of policies/settings.polar, said once more for the engines that the gate is measured beside.

Each engine is used as its documentation recommends for attributes, and has to agree on every case before it is timed.
Cedar is asked in both of its ways: with the entities given for each call, and with a prepared set of them.
"""

from __future__ import annotations

import json
from typing import Any

import casbin
import cedarpy

from app.domain.access import Circumstances, Principal, SettingResource

_MODEL = """
[request_definition]
r = sub, act, obj, ctx
[policy_definition]
p = role, acts, rule
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = p.role in r.sub.roles && regexMatch(r.act, p.acts) && r.obj.sensitivity <= r.sub.clearance && \
    (r.sub.scoped == False || needed(r.act) in r.sub.scopes) && eval(p.rule)
"""
_OWN = "r.obj.tenant == r.sub.tenant"
_SEE, _ALL = "^(resolve|read)$", "^(resolve|read|write)$"
_ROWS = [
    ("platform_admin", _ALL, "1 == 1"),
    *((role, _SEE, "r.obj.level == 'GLOBAL'") for role in ("admin", "manager", "user", "auditor")),
    *((role, _SEE, f"r.obj.level == 'TENANT' && {_OWN}") for role in ("admin", "manager", "user", "auditor")),
    ("admin", _ALL, _OWN),
    ("auditor", _SEE, _OWN),
    ("service", "^resolve$", f"r.obj.level == 'GLOBAL' || {_OWN}"),
    ("manager", _ALL, f"{_OWN} && r.obj.territory in r.sub.territories"),
    ("user", _SEE, f"{_OWN} && r.obj.territory in r.sub.territories"),
    *((role, _ALL, f"{_OWN} && r.obj.owner == r.sub.id") for role in ("user", "manager")),
    ("manager", _ALL, f"{_OWN} && r.obj.territory != None && r.ctx.override_reason != None"),
]

_CEDAR = """
permit(principal, action, resource) when { principal.roles.contains("platform_admin") };
permit(principal, action in [Action::"resolve", Action::"read"], resource) when {
    resource.level == "GLOBAL" && principal.roles.containsAny(["admin", "manager", "user", "auditor"]) };
permit(principal, action in [Action::"resolve", Action::"read"], resource) when {
    resource.level == "TENANT" && resource has tenant && principal has tenant && resource.tenant == principal.tenant &&
    principal.roles.containsAny(["admin", "manager", "user", "auditor"]) };
permit(principal, action, resource) when {
    resource has tenant && principal has tenant && resource.tenant == principal.tenant &&
    principal.roles.contains("admin") };
permit(principal, action in [Action::"resolve", Action::"read"], resource) when {
    resource has tenant && principal has tenant && resource.tenant == principal.tenant &&
    principal.roles.contains("auditor") };
permit(principal, action == Action::"resolve", resource) when { principal.roles.contains("service") &&
    (resource.level == "GLOBAL" ||
     (resource has tenant && principal has tenant && resource.tenant == principal.tenant)) };
permit(principal, action, resource) when {
    resource has tenant && principal has tenant && resource.tenant == principal.tenant &&
    principal.roles.contains("manager") && resource has territory &&
    (principal.territories.contains(resource.territory) || context has override_reason) };
permit(principal, action in [Action::"resolve", Action::"read"], resource) when {
    resource has tenant && principal has tenant && resource.tenant == principal.tenant &&
    principal.roles.contains("user") && resource has territory && principal.territories.contains(resource.territory) };
permit(principal, action, resource) when {
    resource has tenant && principal has tenant && resource.tenant == principal.tenant &&
    principal.roles.containsAny(["user", "manager"]) && resource has owner && resource.owner == principal.name };
forbid(principal, action, resource) unless { resource.sensitivity <= principal.clearance };
forbid(principal, action in [Action::"resolve", Action::"read"], resource) when {
    principal.scoped && !principal.scopes.contains("settings:read") };
forbid(principal, action == Action::"write", resource) when {
    principal.scoped && !principal.scopes.contains("settings:write") };
"""

Asked = tuple[Principal, str, SettingResource, Circumstances]


class Casbin:
    """casbin with one matcher, and a row of policy for each role and rule."""

    name = "casbin"

    def __init__(self) -> None:
        model = casbin.Enforcer.new_model(text=_MODEL)
        self._enforcer = casbin.Enforcer(model)
        self._enforcer.add_function("needed", lambda act: "settings:write" if act == "write" else "settings:read")
        for row in _ROWS:
            self._enforcer.add_policy(*row)

    def allows(self, asked: Asked) -> bool:
        """Decide."""
        principal, action, resource, circumstances = asked
        return bool(self._enforcer.enforce(principal, action, resource, circumstances))


class Cedar:
    """cedarpy, with the policies parsed once and the entities given for each call."""

    name = "cedarpy, entities per call"

    def __init__(self) -> None:
        self._policies = cedarpy.PolicySet.from_str(_CEDAR)

    def allows(self, asked: Asked) -> bool:
        """Decide."""
        return self._decide(asked, json.dumps(entities_of(asked)))

    def _decide(self, asked: Asked, entities: Any) -> bool:
        _, action, _, circumstances = asked
        context = {}
        if circumstances.override_reason is not None:
            context["override_reason"] = circumstances.override_reason
        request = {
            "principal": 'User::"p"',
            "action": f'Action::"{action}"',
            "resource": 'Setting::"r"',
            "context": context,
        }
        return bool(cedarpy.is_authorized(request, self._policies, entities).allowed)


class PreparedCedar(Cedar):
    """cedarpy with both policies and entities prepared: what cannot be done for attributes that come with requests."""

    name = "cedarpy, all prepared"

    def __init__(self) -> None:
        super().__init__()
        self._entities: dict[int, Any] = {}

    def allows(self, asked: Asked) -> bool:
        """Decide."""
        prepared = self._entities.get(id(asked))
        if prepared is None:
            text = json.dumps(entities_of(asked))
            prepared = self._entities[id(asked)] = cedarpy.Entities.from_json_str(text)
        return self._decide(asked, prepared)


def entities_of(asked: Asked) -> list[dict[str, Any]]:
    """Principal and resource as Cedar wants them: what is unknown is left out."""
    principal, _, resource, _ = asked
    who = {
        "name": principal.id,
        "tenant": principal.tenant,
        "roles": list(principal.roles),
        "territories": list(principal.territories),
        "clearance": principal.clearance,
        "scopes": list(principal.scopes),
        "scoped": principal.scoped,
    }
    what = {name: getattr(resource, name) for name in resource.__struct_fields__}
    return [_entity("User", "p", who), _entity("Setting", "r", what)]


def _entity(type_: str, id_: str, attributes: dict[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in attributes.items() if value is not None}
    return {"uid": {"type": type_, "id": id_}, "attrs": known, "parents": []}
