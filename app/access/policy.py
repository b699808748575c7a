"""A loaded policy: what it decides, what it was made of, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from app.access.compiler.conditions import Conjunction, Plain
from app.access.compiler.factor import Tree
from app.access.compiler.predicate import Decide, DecideAll
from app.access.compiler.sql import NOTHING, Asked, SqlCondition, sql_condition
from app.domain.access import Circumstances, Principal


class PolicyError(Exception):
    """The policy cannot be used; the message names the file and the reason."""


class ResourceType(msgspec.Struct, frozen=True, kw_only=True):
    """A class of resources as policies name it, with the actions that it knows."""

    name: str
    class_: type
    actions: tuple[str, ...]


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """All that the policy says by one rule (`allow` or `forbid`) of one action on one class of resource."""

    alternatives: frozenset[Conjunction]  # the ways in which it holds
    tree: Tree  # the same, factored
    decide: Decide  # the same as a function
    source: str  # of the function


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy says of one action on one class of resource."""

    allow: Compiled
    forbid: Compiled | None  # None when nothing is ever forbidden
    decide_all: DecideAll  # both, of several resources


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded policy. It never changes; whoever wants another loads another."""

    version: str  # the beginning of the digest: long enough to tell policies apart, short enough to be read out
    digest: str  # sha256 over names and sources of the files
    files: tuple[str, ...]
    types: tuple[ResourceType, ...]
    rules: Mapping[tuple[str, type], Rule]
    self_test_cases: int

    def allows(self, principal: Principal, action: str, resource: Any, circumstances: Circumstances) -> bool:
        """Whether it lets the principal do this. Raises when asked about what it does not know."""
        rule = self.rules[action, type(resource)]
        if rule.forbid is not None and rule.forbid.decide(principal, resource, circumstances) is not False:
            return False
        return rule.allow.decide(principal, resource, circumstances) is True

    def allows_all(
        self, principal: Principal, action: str, resources: Sequence[Any], circumstances: Circumstances
    ) -> bool:
        """
        Whether it lets the principal do this with each of these, one at least and all of one class.

        Raises when asked about what it does not know.
        """
        return self.rules[action, type(resources[0])].decide_all(principal, resources, circumstances) is True

    def condition(
        self,
        principal: Principal,
        action: str,
        class_: type,
        circumstances: Circumstances,
        *,
        columns: Mapping[str, str],
        known: Mapping[str, Plain] = NOTHING,
        start: int = 1,
    ) -> SqlCondition:
        """
        Which rows it lets the principal do this with.

        `columns` are the attributes of the resource in SQL, but for those that are `known` to be the same for all rows.
        Raises when asked about what it does not know.
        """
        rule = self.rules[action, class_]
        asked = Asked(principal=principal, circumstances=circumstances, class_=class_, columns=columns, known=known)
        forbid = None if rule.forbid is None else rule.forbid.tree
        return sql_condition(rule.allow.tree, forbid, asked, start=start)
