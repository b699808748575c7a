"""
The one door to Oso: policy files in, a pure function over attributes out.

A policy is loaded into a fresh VM, checked, and then never changed; whoever wants another loads another. A decision
depends on nothing but the attributes of principal, action and resource, so equal questions are answered from a
bounded memo: what is remembered is the value of a pure function, never a right. Oso needs 70 to 700 µs for one
decision; the compiled gate of docs/decisions/0006 will do without both the memo and the VM.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
from oso import Oso, OsoError

from app.domain.access import (
    Action,
    DefinitionResource,
    Principal,
    Resource,
    ScopeResource,
    SettingResource,
    TenantResource,
)

DECISION_LIMIT_MS = 500  # Oso's own default is 30 s, in which a recursive rule would hold a worker
MEMO_ENTRIES = 65_536  # about 30 MiB when full

_CLASSES: dict[str, type] = {
    "Principal": Principal,
    "Setting": SettingResource,
    "Definition": DefinitionResource,
    "ScopeEntry": ScopeResource,
    "Tenant": TenantResource,
}
# `cut` and negated rules mean different things to the VM and to its partial evaluator, and a missing attribute under
# `not` grants; so neither is taken.
_FORBIDDEN_WORDS = re.compile(r"\bcut\b|\bnot\s+[a-z_]+\s*\(")


class PolicyError(Exception):
    """The policy cannot be used; the message names the file and the reason."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded policy: what it may be asked, and what it was made of."""

    version: str  # sha256 over names and sources of the files
    files: tuple[str, ...]
    allows: _Decide


class _Decide:
    """`allow(principal, action, resource)` as a function."""

    def __init__(self, oso: Oso) -> None:
        self._oso = oso
        self._memo = functools.lru_cache(maxsize=MEMO_ENTRIES)(self._ask)

    def __call__(self, principal: Principal, action: Action, resource: Resource) -> bool:
        return self._memo(principal, action, resource)

    def _ask(self, principal: Principal, action: Action, resource: Resource) -> bool:
        # A plain str: Oso compares an enum by identity of its class first.
        return self._oso.is_allowed(principal, action.value, resource) is True


def load_policy(folder: Path) -> Policy:
    """
    The policy of all `.polar` files in a folder.

    Raises PolicyError when there are none, one cannot be read, or Oso or we refuse what stands in it.
    """
    files = _read(folder)
    for name, source in files:
        _lint(name, source)
    os.environ.setdefault("POLAR_TIMEOUT_MS", str(DECISION_LIMIT_MS))
    oso = Oso()
    for name, class_ in _CLASSES.items():
        oso.register_class(class_, name=name)
    try:
        oso.load_str("\n".join(source for _, source in files))
    except OsoError as error:
        raise PolicyError(f"The policy in {folder} is refused: {_first_lines(error)}") from error
    return Policy(version=_version(files), files=tuple(name for name, _ in files), allows=_Decide(oso))


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
        found = _FORBIDDEN_WORDS.search(line.partition("#")[0])
        if found is not None:
            raise PolicyError(f"{name}:{number}: `{found[0]}…` is not taken here; write a rule that says what grants.")


def _version(files: Sequence[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for name, source in files:
        digest.update(f"{len(name)}:{name}{len(source)}:".encode() + source.encode())
    return digest.hexdigest()


def _first_lines(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).splitlines()[:3])
