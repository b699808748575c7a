"""What a path and a query ask for: the three reads that the fast lane answers, in the words of their handlers."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import msgspec

from app.domain.access import EVERYWHERE, Action, Principal, SettingResource, reach_of
from app.domain.definition import Sensitivity, is_key
from app.domain.errors import SetpointError
from app.domain.scope import Chain, Context, chain_of, scope_of
from app.kit.http import may_name, principal_salt
from app.kit.query import parse_query
from app.settings.cache.cache import Cache, Moment
from app.settings.cache.entry import View
from app.settings.effective import queries
from app.settings.effective.http import (
    EffectiveQuery,
    ResolveQuery,
    selection_in,
    setting_view,
    settings_view,
)
from app.settings.effective.queries import Selection
from app.settings.values.http import PlaceQuery, value_view

VALUE = "/api/settings"
EFFECTIVE = "/api/settings/effective"
RESOLVE = "/api/settings/resolve/"

Resources: TypeAlias = tuple[SettingResource, ...]

BITS = {one: 1 << one.rank for one in Sensitivity}


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the gate is to be asked before a question is answered.

    All of `needed` has to be allowed. Of `shown`, each sensitivity (a bit) whose resources are all allowed is shown;
    one without any is covered by what is needed.
    """

    action: Action
    needed: Resources
    shown: tuple[tuple[int, Resources], ...] = ()


class Question(Protocol):
    """One read. It depends on nothing but the path, the query, and the tenant and reach of who asks."""

    @property
    def chain(self) -> Chain:
        """The scopes it is answered from."""

    def judged(self, moment: Moment) -> Judged | None:
        """What the gate is to be asked; None when nothing is there, or the audit is to hear of it."""

    def view(self, moment: Moment, cleared: frozenset[Sensitivity], hot: Cache) -> View:
        """The answer for who may be shown these sensitivities."""


class Resolve(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a key."""

    chain: Chain
    key: str
    salt: str

    def judged(self, moment: Moment) -> Judged | None:
        """The context at its most open, and the key at every scope."""
        defined = moment.definitions.by_key.get(self.key)
        if defined is None or defined.sensitivity is Sensitivity.SECRET or not _there(moment):
            return None
        needed = _resources(moment, Sensitivity.PUBLIC) + _beyond_public(moment, defined.sensitivity)
        return Judged(action=Action.RESOLVE, needed=needed)

    def view(self, moment: Moment, cleared: frozenset[Sensitivity], hot: Cache) -> View:
        """The same for all who may see it."""
        del cleared
        return setting_view(moment.definitions.by_key[self.key], moment, salt=self.salt, hot=hot)


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for many keys."""

    chain: Chain
    selection: Selection
    salt: str

    def judged(self, moment: Moment) -> Judged | None:
        """The context at its most open, and each sensitivity that is among the keys."""
        if not _there(moment):
            return None
        among = {one.sensitivity for one in queries.selected(self.selection, moment)}
        shown = tuple((BITS[one], _beyond_public(moment, one)) for one in Sensitivity if one in among)
        return Judged(action=Action.RESOLVE, needed=_resources(moment, Sensitivity.PUBLIC), shown=shown)

    def view(self, moment: Moment, cleared: frozenset[Sensitivity], hot: Cache) -> View:
        """The keys of these sensitivities."""
        return settings_view(self.selection, moment, clearance=cleared, explain=False, salt=self.salt, hot=hot)


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """What is set at a scope."""

    chain: Chain  # of one scope
    key: str

    def judged(self, moment: Moment) -> Judged | None:
        """Reading the key there."""
        [entry] = moment.entries
        defined = moment.definitions.by_key.get(self.key)
        if defined is None or defined.sensitivity is Sensitivity.SECRET or self.key not in entry.values:
            return None
        return Judged(action=Action.READ, needed=(entry.resource(defined.sensitivity),))

    def view(self, moment: Moment, cleared: frozenset[Sensitivity], hot: Cache) -> View:
        """The same for all who may see it."""
        del cleared
        return value_view(moment.entries[0].values[self.key], moment, hot=hot)


def question_of(path: str, query: bytes, principal: Principal, *, max_keys: int) -> Question | None:
    """What a principal asks for; None for what is anything but usual, mistakes and foreign tenants among it."""
    try:
        question = _question(path, query, principal, max_keys=max_keys)
    except SetpointError:
        return None
    if question is None or reach_of(principal) not in (EVERYWHERE, question.chain[-1].tenant or reach_of(principal)):
        return None
    return question


def _question(path: str, query: bytes, principal: Principal, *, max_keys: int) -> Question | None:
    if path == VALUE:
        return _value(parse_query(query, PlaceQuery), principal)
    if path == EFFECTIVE:
        asked = parse_query(query, EffectiveQuery)
        chain = _chain(asked, principal)
        if chain is None or asked.explain:
            return None
        return Effective(chain=chain, selection=selection_in(asked, max_keys=max_keys), salt=principal_salt(principal))
    key = path.removeprefix(RESOLVE)
    wanted = parse_query(query, ResolveQuery)
    chain = _chain(wanted, principal)
    if chain is None or wanted.explain or not is_key(key):
        return None
    return Resolve(chain=chain, key=key, salt=principal_salt(principal))


def _value(asked: PlaceQuery, principal: Principal) -> Question | None:
    if not may_name(principal, asked.tenant_id):
        return None
    tenant = principal.tenant if asked.tenant_id is None else asked.tenant_id
    return Value(chain=(scope_of(asked.scope, tenant=tenant, scope_id=asked.scope_id),), key=asked.key)


def _chain(context: Context, principal: Principal) -> Chain | None:
    if not may_name(principal, context.tenant_id):
        return None
    tenant = principal.tenant if context.tenant_id is None else context.tenant_id
    return chain_of(msgspec.structs.replace(context, tenant_id=tenant))


def _there(moment: Moment) -> bool:
    return len(moment.entries) == 1 or moment.entries[1].tenant_exists


def _resources(moment: Moment, sensitivity: Sensitivity) -> Resources:
    return tuple(entry.resource(sensitivity) for entry in moment.entries)


def _beyond_public(moment: Moment, sensitivity: Sensitivity) -> Resources:
    """The resources of a sensitivity, but for those that letting anybody into a context asks for already."""
    return () if sensitivity is Sensitivity.PUBLIC else _resources(moment, sensitivity)
