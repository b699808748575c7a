"""
The one door to Oso: policy files in, a pure function over attributes out.

Loading is: read, refuse what means two things, load into a fresh VM, compile every action on every class of resource
to a Python predicate (app/access/compiler), and hold each against the VM. A loaded policy never changes; whoever wants
another loads another. After that Oso is not asked again: its VM needs 70 to 1,200 µs for one decision, a predicate
less than one (docs/decisions/0006-the-gate.md).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
from oso import Oso, OsoError, Variable
from polar.expression import Expression, Pattern

from app.access.compiler.attributes import check_attributes
from app.access.compiler.conditions import PRINCIPAL, RESOURCE, CannotCompile
from app.access.compiler.factor import factor
from app.access.compiler.partial import Oracle
from app.access.compiler.predicate import Predicate, predicate_of
from app.access.compiler.self_test import cases, constants_of, differences
from app.domain.access import (
    Action,
    AuditResource,
    DefinitionResource,
    Principal,
    Resource,
    ScopeResource,
    SettingResource,
    TenantResource,
)

LIMIT_MS = 2_000  # for one rule; a recursive one would otherwise hold the start for Oso's 30 s
SELF_TEST_CASES = 30  # per action and class of resource; the test suite takes thousands

_RESOURCES: dict[str, type] = {
    "Setting": SettingResource,
    "Definition": DefinitionResource,
    "ScopeEntry": ScopeResource,
    "Tenant": TenantResource,
    "AuditTrail": AuditResource,
}
# `cut` and negated rules mean different things to the VM and to its partial evaluator, and a missing attribute under
# `not` grants; so neither is taken.
_FORBID = re.compile(r"^\s*forbid\s*\(", re.MULTILINE)
_FORBIDDEN_WORDS = re.compile(r"\bcut\b|\bnot\s+[a-z_]+\s*\(")


class PolicyError(Exception):
    """The policy cannot be used; the message names the file and the reason."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy says of one action on one class of resource."""

    allow: Predicate
    forbid: Predicate | None  # None when the policy forbids nothing by name


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded policy: what it decides, and what it was made of."""

    version: str  # sha256 over names and sources of the files
    files: tuple[str, ...]
    rules: dict[tuple[Action, type], Rule]
    self_test_cases: int

    def allows(self, principal: Principal, action: Action, resource: Resource) -> bool:
        """Whether it lets the principal do this. Raises when asked about what it does not know."""
        rule = self.rules[action, type(resource)]
        if rule.forbid is not None and rule.forbid.decide(principal, resource) is not False:
            return False
        return rule.allow.decide(principal, resource) is True


def load_policy(folder: Path) -> Policy:
    """
    The policy of all `.polar` files in a folder.

    Raises PolicyError when there are none, one cannot be read, or Oso or we refuse what stands in it.
    """
    files = _read(folder)
    for name, source in files:
        _lint(name, source)
    os.environ.setdefault("POLAR_TIMEOUT_MS", str(LIMIT_MS))
    oso = _loaded(files)
    try:
        rules = _compiled(oso, forbids=any(_FORBID.search(source) for _, source in files))
    except (CannotCompile, OsoError) as error:
        raise PolicyError(f"The policy in {folder} cannot be compiled: {_placed(str(error), files)}") from error
    return Policy(
        version=_version(files),
        files=tuple(name for name, _ in files),
        rules=rules,
        self_test_cases=SELF_TEST_CASES * len(rules),
    )


def _loaded(files: Sequence[tuple[str, str]]) -> Oso:
    oso = Oso()
    for name, class_ in {"Principal": Principal, **_RESOURCES}.items():
        oso.register_class(class_, name=name)
    try:
        oso.load_str("\n".join(_ascii(source) for _, source in files))
    except OsoError as error:
        raise PolicyError(f"The policy is refused: {_placed(str(error), files)}") from error
    return oso


def _compiled(oso: Oso, *, forbids: bool) -> dict[tuple[Action, type], Rule]:
    """Every action on every class of resource, each held against the VM."""
    rules: dict[tuple[Action, type], Rule] = {}
    for name, class_ in _RESOURCES.items():
        for action in Action:
            rules[action, class_] = Rule(
                allow=_predicate(oso, "allow", action, name),
                forbid=_predicate(oso, "forbid", action, name) if forbids else None,
            )
    return rules


def _predicate(oso: Oso, rule: str, action: Action, name: str) -> Predicate:
    oracle = Oracle(oso, variable=Variable, expression=Expression, pattern=Pattern)
    alternatives = list(oracle.alternatives(rule, action.value, "Principal", name))
    check_attributes(alternatives, {PRINCIPAL: Principal, RESOURCE: _RESOURCES[name]})
    predicate = predicate_of(factor(alternatives), name=f"{rule} {action.value} {name}")

    def vm(principal: Principal, resource: Resource) -> bool:
        return next(oso.query_rule(rule, principal, action.value, resource), None) is not None

    pairs = cases(Principal, _RESOURCES[name], constants_of(alternatives), count=SELF_TEST_CASES)
    wrong = differences(pairs, compiled=predicate.decide, vm=vm)
    if wrong:
        raise CannotCompile(f"{rule} {action.value}: Oso and the compiled rule differ on {wrong[0]!r}")
    return predicate


def _read(folder: Path) -> list[tuple[str, str]]:
    try:
        files = [(path.name, path.read_text("utf-8")) for path in sorted(folder.glob("*.polar"))]
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"The policy in {folder} cannot be read: {error}.") from error
    if not files:
        raise PolicyError(f"There is no .polar file in {folder}; set SETPOINT_POLICIES_DIR to a folder with one.")
    return files


def _lint(name: str, source: str) -> None:
    for number, line in enumerate(source.splitlines(), start=1):
        code = line[: _comment_start(line)]
        found = _FORBIDDEN_WORDS.search(code)
        if found is not None:
            raise PolicyError(f"{name}:{number}: `{found[0]}…` is not taken here; write a rule that says what grants.")
        if not code.isascii():
            raise PolicyError(f"{name}:{number}: only comments may hold other characters than ASCII.")


def _comment_start(line: str) -> int:
    """Where the comment of a line begins; its end if it has none. A # inside quotes begins none."""
    quoted = False
    for place, character in enumerate(line):
        if character == '"' and line[place - 1 : place] != "\\":
            quoted = not quoted
        elif character == "#" and not quoted:
            return place
    return len(line)


def _ascii(source: str) -> str:
    """
    The source as Oso may see it.

    Oso counts characters where it slices bytes: an error after a comment with an umlaut ends the process, by a panic
    that nothing can catch. Each such character becomes one that is a byte, so that places stay true.
    """
    return source.encode("ascii", "replace").decode("ascii")


def _placed(message: str, files: Sequence[tuple[str, str]]) -> str:
    """Oso's words in one line, its line of all files together said as one of the file it is in."""
    text = " ".join(line.strip() for line in message.splitlines()[:3])
    found = re.search(r" at line (\d+)", text)
    if found is None:
        return text
    number = int(found[1])
    for name, source in files:
        lines = source.count("\n") + 1
        if number <= lines:
            return f"{name}:{number}: {text[: found.start()]}"
        number -= lines
    return text


def _version(files: Sequence[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for name, source in files:
        digest.update(f"{len(name)}:{name}{len(source)}:".encode() + source.encode())
    return digest.hexdigest()
