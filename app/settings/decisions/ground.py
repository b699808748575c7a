"""What is stored of the things that one request asks about, and what an action on each would ask of the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from app.access.authzen.source import Demand, Entry, Reference
from app.access.policy_types import OUR_NAMES
from app.domain.access import (
    ACTIONS,
    UNKNOWN,
    Action,
    AuditResource,
    DecisionPointResource,
    DefinitionResource,
    OperationsResource,
    PolicyResource,
    Resource,
    SettingResource,
    TenantResource,
    facts_of,
    setting_at,
)
from app.domain.definition import Sensitivity
from app.domain.scope import GLOBAL, Level, Scope
from app.settings.decisions.names import Place, place_at, scope_at
from app.settings.directory.commands import resource_of

CURRENT = "current"  # the id of the one policy there is


class StoredGround(msgspec.Struct, frozen=True, kw_only=True):
    """All of one moment. Directory entries are by path."""

    entries: Mapping[str, Entry]
    sensitivities: Mapping[str, Sensitivity]
    tenants: frozenset[str]

    def entry(self, scope: Scope) -> Entry | None:
        """The directory's entry for one of the scopes; None without one."""
        return self.entries.get(scope.path)

    def demands(self, reference: Reference, action: str) -> tuple[Demand, ...] | None:
        """All that the gate has to grant for this action on a thing of ours; None when there is none."""
        if action not in ACTIONS[OUR_NAMES[reference.type]]:
            return None
        if reference.type == "setting":
            return self._of_setting(place_at(reference.id), Action(action))
        make = _RESOURCES.get(reference.type)
        resource = None if make is None else make(self, reference.id)
        return None if resource is None else (Demand(Action(action), resource),)

    def _of_setting(self, place: Place | None, action: Action) -> tuple[Demand, ...] | None:
        """
        What HTTP asks before it lets somebody resolve, read or write a setting.

        A context is refused whole: whoever resolves at a scope has to pass at its tenant and at GLOBAL too. Whoever
        writes has to be let in at the scope first, and to see the key. A place where nothing is set is there
        nevertheless, if its tenant and its key are.
        """
        if place is None or place.key not in self.sensitivities:
            return None
        if place.scope.tenant is not None and place.scope.tenant not in self.tenants:
            return None
        match action:
            case Action.RESOLVE:
                passed = [resource for scope in _chain(place.scope) for resource in self._at(scope, place.key)]
                return tuple(Demand(action, resource) for resource in passed)
            case Action.WRITE:
                lowest, actual = self._at(place.scope, place.key)
                return Demand(action, lowest), Demand(Action.READ, actual), Demand(action, actual)
            case _:
                return (Demand(action, self._at(place.scope, place.key)[1]),)

    def _at(self, scope: Scope, key: str) -> tuple[SettingResource, SettingResource]:
        """The scope as the least sensitive setting there would be, and this setting at it."""
        entry = self.entry(scope)
        facts = facts_of(scope, UNKNOWN if entry is None else entry.facts)
        return setting_at(scope, facts, Sensitivity.PUBLIC), setting_at(scope, facts, self.sensitivities[key])

    def scope_resource(self, path: str) -> Resource | None:
        """An entry of the scope directory."""
        scope = scope_at(path)
        entry = None if scope is None else self.entry(scope)
        return None if scope is None or entry is None else resource_of(scope, entry.facts)

    def definition_resource(self, key: str) -> Resource | None:
        """A definition."""
        sensitivity = self.sensitivities.get(key)
        return None if sensitivity is None else DefinitionResource(sensitivity=sensitivity.rank)

    def tenant_resource(self, tenant: str) -> Resource | None:
        """A tenant."""
        return TenantResource(tenant=tenant) if tenant in self.tenants else None


# API keys and events are not asked about here: what rules may know of them is not in the registry.
_RESOURCES: dict[str, Callable[[StoredGround, str], Resource | None]] = {
    "scope": StoredGround.scope_resource,
    "definition": StoredGround.definition_resource,
    "tenant": StoredGround.tenant_resource,
    "audit": lambda _, tenant: AuditResource(tenant=tenant),
    "operations": lambda _, tenant: OperationsResource(tenant=tenant),
    "decision-point": lambda _, tenant: DecisionPointResource(tenant=tenant),
    "policy": lambda _, name: PolicyResource() if name == CURRENT else None,
}


def _chain(scope: Scope) -> list[Scope]:
    if scope.tenant is None:
        return [GLOBAL]
    return list(dict.fromkeys([GLOBAL, Scope(Level.TENANT, scope.tenant, scope.tenant), scope]))
