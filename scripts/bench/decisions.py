"""
One decision of the gate, by each engine, on the same cases; and what it takes to load the policy.

Every engine has to agree with the gate on every case before anything is timed: figures of engines that decide
differently would compare nothing.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from percentiles import percentiles
from rivals import Asked, Casbin, Cedar, PreparedCedar

from app.access.caller import Caller
from app.access.gate import Gate
from app.access.polar import Interpreter, load_policy
from app.access.policy_files import joined, read_files
from app.config import Config
from app.domain.access import Action, Circumstances, Principal, SettingResource

LIMIT_SECONDS = 0.4  # for one case of one engine
LOADS = 5
NOON = Circumstances(hour=12, minute=0, weekday=3)
REASON = Circumstances(hour=12, minute=0, weekday=3, override_reason="fire")


class Engine(Protocol):
    """Something that decides."""

    name: str

    def allows(self, asked: Asked) -> bool:
        """Decide."""


class Timed(NamedTuple):
    """How long one decision took, in microseconds."""

    case: str
    engine: str
    p50: float
    p95: float


def _who(role: str, **more: Any) -> Principal:
    return Principal(id="ann", tenant="acme", roles=(role,), territories=("DE", "AT", "CH"), **more)


def _what(level: str = "ACCOUNT", **more: Any) -> SettingResource:
    facts: dict[str, Any] = {"tenant": "acme", "scope_id": "a-1", "territory": "DE", "owner": "bob", "sensitivity": 1}
    return SettingResource(level=level, **facts | more)


CASES: dict[str, tuple[Asked, bool]] = {
    "user reads in its territory": ((_who("user"), Action.READ, _what(), NOON), True),
    "user reads elsewhere": ((_who("user"), Action.READ, _what(territory="FR"), NOON), False),
    "owner writes": ((_who("user"), Action.WRITE, _what(territory="FR", owner="ann"), NOON), True),
    "manager writes": ((_who("manager"), Action.WRITE, _what(), NOON), True),
    "manager elsewhere": ((_who("manager"), Action.WRITE, _what(territory="FR"), NOON), False),
    "manager with a reason": ((_who("manager"), Action.WRITE, _what(territory="FR"), REASON), True),
    "admin writes": ((_who("admin"), Action.WRITE, _what("TENANT", territory=None, owner=None), NOON), True),
    "admin of another tenant": ((_who("admin"), Action.WRITE, _what(tenant="globex"), NOON), False),
    "not cleared": ((_who("admin"), Action.READ, _what(sensitivity=3), NOON), False),
    "service resolves": ((_who("service"), Action.RESOLVE, _what(), NOON), True),
    "service reads": ((_who("service"), Action.READ, _what(), NOON), False),
    "credential lacks the scope": (
        (_who("admin", scoped=True, scopes=("settings:read",)), Action.WRITE, _what(), NOON),
        False,
    ),
    "platform admin": ((Principal(id="root", roles=("platform_admin",)), Action.WRITE, _what(), NOON), True),
}


class _Predicate:
    """The compiled rule alone."""

    name = "compiled predicate"

    def __init__(self) -> None:
        self._policy = load_policy(*Config().policies_paths)

    def allows(self, asked: Asked) -> bool:
        return self._policy.allows(*asked)


class _Gate:
    """The gate as requests pass it: fail-closed, with the caller around the principal."""

    name = "gate"

    def __init__(self) -> None:
        self._gate = Gate(load_policy(*Config().policies_paths))
        self._callers: dict[int, Caller] = {}

    def allows(self, asked: Asked) -> bool:
        caller = self._callers.get(id(asked))
        if caller is None:
            caller = Caller(principal=asked[0], request_id="bench", circumstances=asked[3])
            self._callers[id(asked)] = caller
        caller.accesses.clear()
        return self._gate.allows(caller, asked[1], asked[2])  # type: ignore[arg-type]  # every action here is an Action


class _Oso:
    """Oso's VM."""

    name = "Oso VM"

    def __init__(self) -> None:
        self._vm = Interpreter(joined(read_files(Config().policies_paths)))

    def allows(self, asked: Asked) -> bool:
        return self._vm.allows(*asked)


def measure() -> list[Timed]:
    """Every case by every engine. Raises ValueError when one of them decides otherwise."""
    engines: list[Engine] = [_Predicate(), _Gate(), _Oso(), Casbin(), Cedar(), PreparedCedar()]
    for name, (asked, expected) in CASES.items():
        for engine in engines:
            if engine.allows(asked) is not expected:
                raise ValueError(f"{engine.name} decides otherwise: {name}")
    return [
        Timed(name, engine.name, *_timed(engine.allows, asked))
        for name, (asked, _) in CASES.items()
        for engine in engines
    ]


def _timed(allows: Callable[[Asked], bool], asked: Asked) -> tuple[float, float]:
    """P50 and P95 of a decision in microseconds; short ones are timed many at a time, so that the clock is no part."""
    started = time.perf_counter_ns()
    for _ in range(20):
        allows(asked)
    once = max((time.perf_counter_ns() - started) / 20, 1)
    together = max(1, int(20_000 / once))
    rounds = max(20, min(2_000, int(LIMIT_SECONDS * 1e9 / (once * together))))
    found = [_round(allows, asked, together) for _ in range(rounds)]
    shown = percentiles(found)
    return shown["p50"], shown["p95"]


def _round(allows: Callable[[Asked], bool], asked: Asked, together: int) -> float:
    started = time.perf_counter_ns()
    for _ in range(together):
        allows(asked)
    return (time.perf_counter_ns() - started) / together / 1_000


def load_seconds() -> tuple[float, float]:
    """How long loading the shipped policy takes, self-test included: the median here, and in a new process."""
    here = []
    for _ in range(LOADS):
        started = time.perf_counter()
        load_policy(*Config().policies_paths)
        here.append(time.perf_counter() - started)
    code = (
        "import time; from app.access.polar import load_policy; from app.config import Config; "
        "t = time.perf_counter(); load_policy(*Config().policies_paths); print(time.perf_counter() - t)"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ)
    return statistics.median(here), float(ended.stdout)


def table(timed: Sequence[Timed]) -> str:
    """P50 and P95 of each case by each engine."""
    engines = list(dict.fromkeys(one.engine for one in timed))
    by = {(one.case, one.engine): one for one in timed}
    lines = [f"{'':28}" + "".join(f"{engine:>27}" for engine in engines)]
    for case in dict.fromkeys(one.case for one in timed):
        cells = [by[case, engine] for engine in engines]
        lines.append(f"{case:28}" + "".join(f"{f'{one.p50:.2f} / {one.p95:.2f}':>27}" for one in cells))
    return "\n".join(lines)
