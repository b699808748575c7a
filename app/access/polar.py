"""
The one door to Oso: policy files in, pure functions over attributes out.

Loading is: read, refuse what means two things, load into a fresh VM (which runs the inline tests), compile every action
on every class of resource to a Python predicate (app/access/compiler), see that it can be said in SQL as well, and hold
each against the VM. After that Oso is not asked again: its VM needs 70 to 1,200 µs for one decision, a predicate less
than one (docs/decisions/0006-the-gate.md).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oso import Oso, OsoError, Variable
from polar.expression import Expression, Pattern
from polar.host import Host

from app.access.compiler.attributes import check_attributes
from app.access.compiler.conditions import CIRCUMSTANCES, PRINCIPAL, RESOURCE, CannotCompile, Conjunction
from app.access.compiler.factor import factor
from app.access.compiler.partial import Oracle
from app.access.compiler.predicate import decide_all_of, predicate_of
from app.access.compiler.self_test import cases, constants_of, differences
from app.access.compiler.sql import check_sql
from app.access.policy import Compiled, Policy, PolicyError, ResourceType, Rule
from app.access.policy_files import (
    Files,
    digest_of,
    joined,
    placed,
    read_declarations,
    read_files,
    statements_left_out,
)
from app.access.policy_types import declared_types
from app.domain.access import (
    ACTIONS,
    ApiKeyResource,
    AuditResource,
    Circumstances,
    DecisionPointResource,
    DefinitionResource,
    EventResource,
    OperationsResource,
    PolicyResource,
    Principal,
    ScopeResource,
    SettingResource,
    TenantResource,
)

LIMIT_MS = 2_000  # for one rule; a recursive one would otherwise hold the start for Oso's 30 s
VERSION_CHARACTERS = 16
SELF_TEST_CASES = 30  # per action and class of resource; the test suite takes thousands

_NAMES: dict[str, type] = {
    "Setting": SettingResource,
    "Definition": DefinitionResource,
    "ScopeEntry": ScopeResource,
    "Tenant": TenantResource,
    "AuditTrail": AuditResource,
    "ApiKey": ApiKeyResource,
    "Event": EventResource,
    "Policy": PolicyResource,
    "Operations": OperationsResource,
    "DecisionPoint": DecisionPointResource,
}
OUR_TYPES = tuple(ResourceType(name=name, class_=class_, actions=ACTIONS[class_]) for name, class_ in _NAMES.items())

# Oso knows `allow` with three parameters only, and no rule that nobody wrote. In one line, so that lines stay true.
_PRELUDE = (
    "type allow(_principal, _action, _resource, _circumstances);"
    " forbid(_principal, _action, _resource) if false;"
    " forbid(_principal, _action, _resource, _circumstances) if false; "
)


def load_policy(*folders: Path, more_types: Sequence[ResourceType] = ()) -> Policy:
    """
    The policy of all files in these folders, about our own types of resources, those declared there, and `more_types`.

    Raises PolicyError when there is no file, one cannot be read, or Oso or we refuse what stands in it.
    """
    files, declarations = read_files(folders), read_declarations(folders)
    types = (*OUR_TYPES, *more_types)
    types += declared_types(declarations, types)
    os.environ.setdefault("POLAR_TIMEOUT_MS", str(LIMIT_MS))
    try:
        vm = Interpreter(joined(files), types)
    except OsoError as error:
        raise PolicyError(f"The policy is refused: {placed(str(error), files)}") from error
    rules = {
        (action, one.class_): _both(vm, action, one, files=files, types=types)
        for one in types
        for action in one.actions
    }
    digest = digest_of([*files, *declarations])
    return Policy(
        version=digest[:VERSION_CHARACTERS],
        digest=digest,
        files=tuple(name for name, _ in (*files, *declarations)),
        types=types,
        rules=rules,
        self_test_cases=SELF_TEST_CASES * len(rules),
    )


class Interpreter:
    """A policy decided by Oso's own VM: slow, and what every compiled rule is held against."""

    def __init__(self, source: str, types: Sequence[ResourceType] = OUR_TYPES) -> None:
        """Raises OsoError."""
        self.oso = _loaded(source, types)

    def holds(self, rule: str, principal: Principal, action: str, resource: Any, circumstances: Circumstances) -> bool:
        """Whether `allow` or `forbid` holds, in its form with circumstances or the one without."""
        three = self.oso.query_rule(rule, principal, str(action), resource)
        if next(three, None) is not None:
            return True
        four = self.oso.query_rule(rule, principal, str(action), resource, circumstances)
        return next(four, None) is not None

    def allows(self, principal: Principal, action: str, resource: Any, circumstances: Circumstances) -> bool:
        """Whether the policy lets the principal do this."""
        asked = (principal, action, resource, circumstances)
        return self.holds("allow", *asked) and not self.holds("forbid", *asked)


class _Host(Host):  # type: ignore[misc]  # Oso ships no types
    """Makes what inline tests say is `new`: a policy has lists where our Structs have tuples."""

    def make_instance(self, name: str, args: list[Any], kwargs: dict[str, Any], id: int) -> Any:  # noqa: A002 - Oso's
        members = {member: tuple(value) if isinstance(value, list) else value for member, value in kwargs.items()}
        return super().make_instance(name, args, members, id)


def _loaded(source: str, types: Sequence[ResourceType]) -> Oso:
    oso = Oso()
    oso.host.__class__ = _Host  # Oso takes no host of ours, and copies the one it has by its class
    classes = {one.name: one.class_ for one in types}
    for name, class_ in {"Principal": Principal, "Circumstances": Circumstances, **classes}.items():
        oso.register_class(class_, name=name)
    oso.load_str(_PRELUDE + source)
    return oso


def _both(vm: Interpreter, action: str, about: ResourceType, *, files: Files, types: Sequence[ResourceType]) -> Rule:
    """What is said of one action on one class of resource. Raises PolicyError naming the rule that has no meaning."""
    try:
        forbid = _rule(vm, "forbid", action, about)
        allow = _rule(vm, "allow", action, about)
        return _together(allow, forbid if forbid.alternatives else None, action, about)
    except (CannotCompile, OsoError) as error:
        reason = f"{action} on {about.name}: {placed(str(error), files)}"
        place = _place_of_fault(action, about, files=files, types=types)
        raise PolicyError(f"The policy cannot be compiled: {place}{reason}") from error


def _together(allow: Compiled, forbid: Compiled | None, action: str, about: ResourceType) -> Rule:
    """Both rules, and the function that asks both of several resources, held against the two of one."""
    name = f"{action} {about.name}"
    decide_all = decide_all_of(allow.tree, None if forbid is None else forbid.tree, name=name)

    def one_by_one(principal: Principal, first: Any, second: Any, circumstances: Circumstances) -> bool:
        return all(
            allow.decide(principal, one, circumstances)
            and (forbid is None or not forbid.decide(principal, one, circumstances))
            for one in (first, second)
        )

    def at_once(principal: Principal, first: Any, second: Any, circumstances: Circumstances) -> bool:
        return decide_all(principal, (first, second), circumstances)

    known = constants_of([*allow.alternatives, *(() if forbid is None else forbid.alternatives)])
    asked = cases((Principal, about.class_, about.class_, Circumstances), known, count=SELF_TEST_CASES)
    wrong = differences(asked, compiled=at_once, vm=one_by_one)
    if wrong:
        raise CannotCompile(f"{name}: several resources at once are decided otherwise, as {wrong[0]!r}")
    return Rule(allow=allow, forbid=forbid, decide_all=decide_all)


def _place_of_fault(action: str, about: ResourceType, *, files: Files, types: Sequence[ResourceType]) -> str:
    """The file and line of the first statement without which all is well; nothing when it takes more than one."""
    for place, without in statements_left_out(files):
        try:
            vm = Interpreter(joined(without) + "\nallow(_principal, _action, _resource) if false;", types)
            for rule in ("forbid", "allow"):
                _alternatives(vm.oso, rule, action, about)
        except (CannotCompile, OsoError):
            continue
        return f"{place}: "
    return ""


def _rule(vm: Interpreter, rule: str, action: str, about: ResourceType) -> Compiled:
    alternatives = _alternatives(vm.oso, rule, action, about)
    tree = factor(alternatives)
    predicate = predicate_of(tree, name=f"{rule} {action} {about.name}")

    def holds(principal: Principal, resource: Any, circumstances: Circumstances) -> bool:
        return vm.holds(rule, principal, action, resource, circumstances)

    classes = (Principal, about.class_, Circumstances)
    asked = cases(classes, constants_of(list(alternatives)), count=SELF_TEST_CASES)
    wrong = differences(asked, compiled=predicate.decide, vm=holds)
    if wrong:
        raise CannotCompile(f"{rule} {action}: Oso and the compiled rule differ on {wrong[0]!r}")
    return Compiled(
        alternatives=alternatives,
        tree=tree,
        decide=predicate.decide,
        source=predicate.source,
    )


def _alternatives(oso: Oso, rule: str, action: str, about: ResourceType) -> frozenset[Conjunction]:
    """The ways in which a rule holds, by its form with circumstances and the one without."""
    oracle = Oracle(oso, variable=Variable, expression=Expression, pattern=Pattern)
    asked = {PRINCIPAL: "Principal", RESOURCE: about.name}
    found = oracle.alternatives(rule, str(action), asked)
    found |= oracle.alternatives(rule, str(action), {**asked, CIRCUMSTANCES: "Circumstances"})
    check_attributes(found, {PRINCIPAL: Principal, RESOURCE: about.class_, CIRCUMSTANCES: Circumstances})
    check_sql(found, about.class_)
    return frozenset(found)
