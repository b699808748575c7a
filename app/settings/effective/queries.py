"""What holds for a context, and why."""

from __future__ import annotations

import msgspec

from app.access.caller import Caller
from app.domain.access import UNKNOWN, Action, ScopeFacts, facts_of, setting_at
from app.domain.definition import Sensitivity, is_key
from app.domain.errors import NotFound
from app.domain.position import Position
from app.domain.resolution import EffectiveValue, Step, explain, hidden, resolve
from app.domain.scope import Chain, Scope
from app.settings.effective import store
from app.settings.effective.store import DefinedKey, Selection, Snapshot
from app.settings.registry import Registry


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One effective value, and its explanation as far as the caller may see it; no steps unless asked for."""

    position: Position
    effective: EffectiveValue
    steps: tuple[Step, ...]


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """Effective values in order of their keys, as far as the caller's clearance goes."""

    position: Position
    values: list[EffectiveValue]


async def effective_value(chain: Chain, key: str, *, explained: bool, caller: Caller, registry: Registry) -> Explained:
    """
    What holds for one key. Raises NotFound when it is not defined or above the caller's clearance, or when the
    context names a scope that the caller may not read from.
    """
    if not is_key(key):
        raise NotFound
    snapshot = await _snapshot(chain, Selection(keys=(key,)), caller=caller, registry=registry)
    visible = _visible(snapshot, chain, caller=caller, registry=registry)
    if not visible:
        for one in snapshot.keys:  # it is defined, and above the caller's clearance
            caller.note_hidden(chain[-1], one.rule.key, action=Action.RESOLVE)
        raise NotFound
    [defined] = visible
    caller.note_shown(chain[-1], key, defined.sensitivity, action=Action.RESOLVE)
    values = snapshot.values.get(key, {})
    steps: tuple[Step, ...] = ()
    if explained:
        steps = tuple(
            _shown(step, defined, snapshot, caller=caller, registry=registry)
            for step in explain(defined.rule, values, chain)
        )
    return Explained(position=snapshot.position, effective=resolve(defined.rule, values, chain), steps=steps)


async def effective_values(chain: Chain, selection: Selection, *, caller: Caller, registry: Registry) -> Effective:
    """
    What holds for many keys. Keys that are not defined or above the caller's clearance are left out alike.

    Raises NotFound when the context names a scope that the caller may not read from.
    """
    snapshot = await _snapshot(chain, selection, caller=caller, registry=registry)
    visible = _visible(snapshot, chain, caller=caller, registry=registry)
    for one in visible:
        caller.note_shown(chain[-1], one.rule.key, one.sensitivity, action=Action.RESOLVE)
    return Effective(
        position=snapshot.position,
        values=[resolve(one.rule, snapshot.values.get(one.rule.key, {}), chain) for one in visible],
    )


async def _snapshot(chain: Chain, selection: Selection, *, caller: Caller, registry: Registry) -> Snapshot:
    """The snapshot, once every scope of the chain has let the caller in: a context is refused whole."""
    async with registry.database.connection() as connection:
        snapshot = await store.snapshot(connection, chain, selection, reach=caller.reach)
    if len(chain) > 1 and not snapshot.tenant_exists:
        raise NotFound
    for scope in chain:
        resource = setting_at(scope, _facts(scope, snapshot), Sensitivity.PUBLIC)
        registry.gate.require_visible(caller, Action.RESOLVE, resource)
    return snapshot


def _visible(snapshot: Snapshot, chain: Chain, *, caller: Caller, registry: Registry) -> list[DefinedKey]:
    """The keys that the caller is cleared for at every scope of the chain."""
    cleared = {
        sensitivity
        for sensitivity in {one.sensitivity for one in snapshot.keys}
        if all(
            registry.gate.allows(caller, Action.RESOLVE, setting_at(scope, _facts(scope, snapshot), sensitivity))
            for scope in chain
        )
    }
    return [one for one in snapshot.keys if one.sensitivity in cleared]


def _shown(step: Step, defined: DefinedKey, snapshot: Snapshot, *, caller: Caller, registry: Registry) -> Step:
    """A step, without its details unless the caller may read what is set there."""
    if step.scope is None:
        return step
    resource = setting_at(step.scope, _facts(step.scope, snapshot), defined.sensitivity)
    return step if registry.gate.allows(caller, Action.READ, resource) else hidden(step)


def _facts(scope: Scope, snapshot: Snapshot) -> ScopeFacts:
    return facts_of(scope, snapshot.facts.get(scope.path, UNKNOWN))
