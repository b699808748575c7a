"""What holds for a context, and why."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.access.caller import Caller
from app.domain.access import Action
from app.domain.definition import Sensitivity, is_key
from app.domain.errors import NotFound
from app.domain.resolution import Contribution, EffectiveValue, Step, explain, hidden, resolve
from app.domain.scope import Chain, Scope
from app.settings.cache.cache import Moment
from app.settings.cache.entry import DefinedKey
from app.settings.registry import Registry


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which keys: the named ones, or all with a prefix."""

    keys: tuple[str, ...] | None = None
    prefix: str = ""


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One effective value, and its explanation as far as the caller may see it; no steps unless asked for."""

    effective: EffectiveValue
    steps: tuple[Step, ...] = ()


async def admitted(chain: Chain, *, caller: Caller, registry: Registry) -> Moment:
    """
    What there is to answer a question about a context from, once every scope of it has let the caller in.

    A context is refused whole: raises NotFound when it names a scope that the caller may not read from.
    """
    moment = await registry.hot.moment(chain, reach=caller.reach)
    if len(chain) > 1 and not moment.entries[1].tenant_exists:
        raise NotFound
    for entry in moment.entries:
        registry.gate.require_visible(caller, Action.RESOLVE, entry.resource(Sensitivity.PUBLIC))
    return moment


def defined_key(key: str, moment: Moment, *, caller: Caller, registry: Registry) -> DefinedKey:
    """What a key is. Raises NotFound when it is not defined, or above the caller's clearance."""
    defined = moment.definitions.by_key.get(key) if is_key(key) else None
    if defined is None:
        raise NotFound
    scope = moment.entries[-1].scope
    if not _cleared(defined.sensitivity, moment, caller=caller, registry=registry):
        caller.note_hidden(scope, key, action=Action.RESOLVE)
        raise NotFound
    caller.note_shown(scope, key, defined.sensitivity, action=Action.RESOLVE)
    return defined


def selected(selection: Selection, moment: Moment) -> list[DefinedKey]:
    """The keys that are asked for, as far as they are defined."""
    if selection.keys is not None:
        return moment.definitions.of(selection.keys)
    return moment.definitions.starting_with(selection.prefix)


def clearance(
    defined: Sequence[DefinedKey], moment: Moment, *, caller: Caller, registry: Registry
) -> frozenset[Sensitivity]:
    """The sensitivities of these keys that the caller is cleared for at every scope of the chain."""
    return frozenset(
        sensitivity
        for sensitivity in {one.sensitivity for one in defined}
        if _cleared(sensitivity, moment, caller=caller, registry=registry)
    )


def note_shown(defined: Sequence[DefinedKey], moment: Moment, *, caller: Caller) -> None:
    """Have the audit told of the secret ones among these keys: they are shown to the caller."""
    for one in defined:
        caller.note_shown(moment.entries[-1].scope, one.rule.key, one.sensitivity, action=Action.RESOLVE)


def effective_value(defined: DefinedKey, moment: Moment) -> EffectiveValue:
    """What holds for one key."""
    return resolve(defined.rule, _contributions(defined.rule.key, moment), chain_in(moment))


def explained_value(defined: DefinedKey, moment: Moment, *, caller: Caller, registry: Registry) -> Explained:
    """What holds for one key, and why, as far as the caller may see it."""
    values, chain = _contributions(defined.rule.key, moment), chain_in(moment)
    steps = (
        _shown(step, defined, moment, caller=caller, registry=registry) for step in explain(defined.rule, values, chain)
    )
    return Explained(effective=resolve(defined.rule, values, chain), steps=tuple(steps))


def chain_in(moment: Moment) -> Chain:
    """The scopes of a moment, general to specific."""
    return tuple(entry.scope for entry in moment.entries)


def _cleared(sensitivity: Sensitivity, moment: Moment, *, caller: Caller, registry: Registry) -> bool:
    return all(registry.gate.allows(caller, Action.RESOLVE, entry.resource(sensitivity)) for entry in moment.entries)


def _contributions(key: str, moment: Moment) -> dict[Scope, Contribution]:
    """What the scopes of the chain say about a key."""
    return {
        entry.scope: Contribution(
            value=said.value, version=said.version, updated_at=said.updated_at, updated_by=said.updated_by
        )
        for entry in moment.entries
        if (said := entry.values.get(key)) is not None
    }


def _shown(step: Step, defined: DefinedKey, moment: Moment, *, caller: Caller, registry: Registry) -> Step:
    """A step, without its details unless the caller may read what is set there."""
    if step.scope is None:
        return step
    [entry] = [entry for entry in moment.entries if entry.scope == step.scope]
    return step if registry.gate.allows(caller, Action.READ, entry.resource(defined.sensitivity)) else hidden(step)
