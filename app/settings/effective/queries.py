"""What holds for a context, and why."""

from __future__ import annotations

import msgspec

from app.access.caller import Caller
from app.domain.access import UNKNOWN, Action, ScopeFacts, facts_of, setting_at
from app.domain.definition import Sensitivity, is_key
from app.domain.errors import NotFound
from app.domain.position import Position
from app.domain.resolution import Contribution, EffectiveValue, Step, explain, hidden, resolve
from app.domain.scope import Chain, Scope
from app.settings.cache.cache import Moment
from app.settings.cache.entry import DefinedKey, Entry
from app.settings.registry import Registry


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which keys: the named ones, or all with a prefix."""

    keys: tuple[str, ...] | None = None
    prefix: str = ""


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One effective value, and its explanation as far as the caller may see it; no steps unless asked for."""

    position: Position
    stale_seconds: int | None
    effective: EffectiveValue
    steps: tuple[Step, ...]


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """Effective values in order of their keys, as far as the caller's clearance goes."""

    position: Position
    stale_seconds: int | None
    values: list[EffectiveValue]


async def effective_value(chain: Chain, key: str, *, explained: bool, caller: Caller, registry: Registry) -> Explained:
    """
    What holds for one key. Raises NotFound when it is not defined or above the caller's clearance, or when the
    context names a scope that the caller may not read from.
    """
    if not is_key(key):
        raise NotFound
    moment = await _moment(chain, caller=caller, registry=registry)
    visible = _visible(moment.definitions.of([key]), moment, chain, caller=caller, registry=registry)
    if not visible:
        raise NotFound
    [defined] = visible
    values = _contributions(key, moment, chain)
    steps: tuple[Step, ...] = ()
    if explained:
        steps = tuple(
            _shown(step, defined, moment, chain, caller=caller, registry=registry)
            for step in explain(defined.rule, values, chain)
        )
    return Explained(
        position=moment.position,
        stale_seconds=moment.stale_seconds,
        effective=resolve(defined.rule, values, chain),
        steps=steps,
    )


async def effective_values(chain: Chain, selection: Selection, *, caller: Caller, registry: Registry) -> Effective:
    """
    What holds for many keys. Keys that are not defined or above the caller's clearance are left out alike.

    Raises NotFound when the context names a scope that the caller may not read from.
    """
    moment = await _moment(chain, caller=caller, registry=registry)
    visible = _visible(_selected(moment, selection), moment, chain, caller=caller, registry=registry)
    return Effective(
        position=moment.position,
        stale_seconds=moment.stale_seconds,
        values=[resolve(one.rule, _contributions(one.rule.key, moment, chain), chain) for one in visible],
    )


async def _moment(chain: Chain, *, caller: Caller, registry: Registry) -> Moment:
    """The moment, once every scope of the chain has let the caller in: a context is refused whole."""
    moment = await registry.hot.moment(chain, reach=caller.reach)
    if len(chain) > 1 and not moment.entries[1].tenant_exists:
        raise NotFound
    for scope, entry in zip(chain, moment.entries, strict=True):
        resource = setting_at(scope, _facts(scope, entry), Sensitivity.PUBLIC)
        registry.gate.require_visible(caller, Action.RESOLVE, resource)
    return moment


def _selected(moment: Moment, selection: Selection) -> list[DefinedKey]:
    if selection.keys is not None:
        return moment.definitions.of(selection.keys)
    return moment.definitions.starting_with(selection.prefix)


def _visible(
    defined: list[DefinedKey], moment: Moment, chain: Chain, *, caller: Caller, registry: Registry
) -> list[DefinedKey]:
    """The keys that the caller is cleared for at every scope of the chain."""
    cleared = {
        sensitivity
        for sensitivity in {one.sensitivity for one in defined}
        if all(
            registry.gate.allows(caller, Action.RESOLVE, setting_at(scope, _facts(scope, entry), sensitivity))
            for scope, entry in zip(chain, moment.entries, strict=True)
        )
    }
    return [one for one in defined if one.sensitivity in cleared]


def _contributions(key: str, moment: Moment, chain: Chain) -> dict[Scope, Contribution]:
    """What the scopes of the chain say about a key."""
    return {
        scope: Contribution(
            value=said.value, version=said.version, updated_at=said.updated_at, updated_by=said.updated_by
        )
        for scope, entry in zip(chain, moment.entries, strict=True)
        if (said := entry.values.get(key)) is not None
    }


def _shown(
    step: Step, defined: DefinedKey, moment: Moment, chain: Chain, *, caller: Caller, registry: Registry
) -> Step:
    """A step, without its details unless the caller may read what is set there."""
    if step.scope is None:
        return step
    entry = moment.entries[chain.index(step.scope)]
    resource = setting_at(step.scope, _facts(step.scope, entry), defined.sensitivity)
    return step if registry.gate.allows(caller, Action.READ, resource) else hidden(step)


def _facts(scope: Scope, entry: Entry) -> ScopeFacts:
    return facts_of(scope, UNKNOWN if entry.facts is None else entry.facts)
