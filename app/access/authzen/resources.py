"""From the resource and action of a question to an instance of a type that a policy file declares."""

from __future__ import annotations

from typing import Any

import msgspec

from app.access.authzen.errors import CannotDecide
from app.access.authzen.source import Entry, Ground
from app.access.authzen.subjects import Asker
from app.access.authzen.wire import ActionReference, EntityReference
from app.access.policy_types import ACTION_PREFIX, DeclaredType, is_required
from app.domain.scope import Scope


def scope_of_resource(resource: EntityReference, type_: DeclaredType, asker: Asker) -> Scope | None:
    """Where the directory would have the resource."""
    if type_.stored is None or asker.tenant is None:
        return None
    return Scope(type_.stored, asker.tenant, resource.id)


def instance_of(
    type_: DeclaredType, resource: EntityReference, action: ActionReference, asker: Asker, ground: Ground
) -> Any | None:
    """
    The resource as rules see it; None when it is stored, and not there.

    What a caller says who holds `assert` stands over what is stored. Raises CannotDecide when an attribute that has
    to be known is not, or is of another type; of what is stored, only who may ask about others hears that.
    """
    of_action = _of_action(type_, action, asker)  # first, so that it is said whether or not the resource is there
    scope = scope_of_resource(resource, type_, asker)
    entry = None if scope is None else ground.entry(scope)
    asserted = resource.properties if asker.asserts else {}
    if type_.stored is not None and entry is None and not asserted:
        return None
    values = {**_stored(entry, type_), **{name: asserted[name] for name in type_.attributes if name in asserted}}
    try:
        return msgspec.convert({**values, **of_action, "id": resource.id, "tenant": asker.tenant or ""}, type_.class_)
    except msgspec.ValidationError as error:
        if entry is not None and not asker.asks_about_others:
            return None
        raise CannotDecide(400, f"The resource lacks what rules about {type_.name} need: {error}.") from error


def _stored(entry: Entry | None, type_: DeclaredType) -> dict[str, Any]:
    """What the directory says of it, its territory and owner too if the type asks for them."""
    if entry is None:
        return {}
    known = {**entry.attributes, "territory": entry.facts.territory, "owner": entry.facts.owner}
    return {name: known[name] for name in type_.attributes if name in known}


def _of_action(type_: DeclaredType, action: ActionReference, asker: Asker) -> dict[str, Any]:
    said = action.properties if asker.asserts else {}
    kinds = type_.action_attributes[action.name]
    for name, kind in kinds.items():
        if is_required(kind) and said.get(name) is None:
            raise CannotDecide(400, f"The action lacks what rules about {type_.name} need: the property {name}.")
    return {ACTION_PREFIX + name: said[name] for name in kinds if name in said}
