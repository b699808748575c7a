"""
The figures of access on this machine, as docs/performance.md explains them.

One decision by the gate beside other engines, the loading of the policy, the verification of credentials, and an
authorized request to a node over HTTP.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import NamedTuple

import credentials
import decisions
import questions
from load import Load, Result, run, tool_of
from node import BenchFailed, busy_share, folder, free_port, node_environment, process, say, unwind_on_signals
from questions import HOST, WrongAnswer

GATE_MICROSECONDS = 1.0
LOAD_SECONDS = 1.0
HOT_MICROSECONDS = 5.0
REQUEST_P95_MS = 30.0
CONNECTIONS = 25


def measure_request(options: argparse.Namespace) -> Result:
    """An authenticated, authorized read over HTTP, of many contexts by one admin."""
    with ExitStack() as stack:
        data = stack.enter_context(folder())
        port = free_port()
        say("starting a node")
        environment = node_environment(data, port, scopes=options.scopes)
        stack.enter_context(process("node", environment, data.parent / "node.log"))
        requests = questions.resolve_requests(options.scopes, questions.admin_token(data), seed=options.seed)
        questions.expect(port, requests, 200)
        say(f"measuring an authorized request at {CONNECTIONS} connections")
        for seconds in (2.0, options.seconds):
            result = run(Load(HOST, port, requests, CONNECTIONS, seconds), tool=tool_of(options.client))
    if result.errors:
        raise BenchFailed(f"{result.errors} of {result.requests} requests failed.")
    return result


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line, with its defaults."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-security",
        description="Measure the gate beside Oso's VM, casbin and cedarpy, authentication, and an authorized request. "
        "Exit code 1: a target is missed; 3: the measurement could not be made.",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long requests are measured (5)")
    parser.add_argument("--scopes", type=int, default=1_000, help="synthetic scopes with ten values each (1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of contexts (1)")
    parser.add_argument(
        "--client", choices=("auto", "wrk", "built-in"), default="auto", help="what sends (wrk if there)"
    )
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    return parser.parse_args(arguments)


class Target(NamedTuple):
    """What was found, and what it has to be below."""

    what: str
    found: float
    below: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.found < self.below


class Found(NamedTuple):
    """All that was measured."""

    busy: float
    decisions: list[decisions.Timed]
    load_again: float
    load_anew: float
    credentials: list[credentials.Verified]
    request: Result

    def targets(self) -> list[Target]:
        """What all of it is for. A decision with a reason to override decides twice and writes a note: not hot."""
        gate = max(one.p50 for one in self.decisions if one.engine == "gate" and "reason" not in one.case)
        hot = max(one.hot for one in self.credentials)
        request = f"authorized request at {CONNECTIONS} connections, P95"
        return [
            Target("gate, slowest case, P50", gate, GATE_MICROSECONDS, "µs"),
            Target("policy load in a new process", self.load_anew, LOAD_SECONDS, "s"),
            Target("authentication, hot, P50", hot, HOT_MICROSECONDS, "µs"),
            Target(request, self.request.p95, REQUEST_P95_MS, "ms"),
        ]


def measure(options: argparse.Namespace) -> Found:
    """Measure one thing after the other."""
    busy = busy_share()
    say("measuring decisions")
    timed = decisions.measure()
    again, anew = decisions.load_seconds()
    say("measuring credentials")
    return Found(busy, timed, again, anew, credentials.measure(), measure_request(options))


def as_json(found: Found) -> str:
    """The figures for machines."""
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "busyBefore": round(found.busy, 2)}
    shown = {
        "machine": machine,
        "decisions": [one._asdict() for one in found.decisions],
        "loadSeconds": {"again": found.load_again, "newProcess": found.load_anew},
        "credentials": [one._asdict() for one in found.credentials],
        "request": asdict(found.request),
        "targets": [{**one._asdict(), "met": one.met} for one in found.targets()],
    }
    return json.dumps(shown, indent=2, ensure_ascii=False)


def as_text(found: Found) -> str:
    """The figures for people."""
    request = found.request
    parts = [
        (
            f"{os.cpu_count()} cores, Python {platform.python_version()}. "
            f"Before the run the machine was {found.busy:.0%} busy with other things."
        ),
        "One decision, P50 / P95 in microseconds; all engines agree on every case",
        decisions.table(found.decisions),
        f"Policy load: {found.load_again:.2f} s again, {found.load_anew:.2f} s in a new process",
        credentials.table(found.credentials),
        (
            f"GET resolve, {CONNECTIONS} connections: {request.per_second:,.0f} requests/s, "
            f"P50 {request.p50:.2f}, P95 {request.p95:.2f}, P99 {request.p99:.2f} ms"
        ),
        "\n".join(
            f"{'PASS' if one.met else 'FAIL'}: {one.what}: {one.found:.2f} {one.unit}; "
            f"the target is below {one.below:g} {one.unit}"
            for one in found.targets()
        ),
    ]
    return "\n\n".join(parts)


def main() -> int:
    """Measure, report, and say by the exit code whether the targets are met."""
    options = options_of(sys.argv[1:])
    unwind_on_signals()
    try:
        found = measure(options)
        print(as_json(found) if options.json else as_text(found))
        return 0 if all(one.met for one in found.targets()) else 1
    except (BenchFailed, WrongAnswer, ValueError) as failed:
        say(str(failed))
        return 3
    except subprocess.CalledProcessError as failed:
        say(f"{failed.cmd[0]} failed: {str(failed.stderr or failed.stdout).strip()}")
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
