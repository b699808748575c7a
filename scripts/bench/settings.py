"""
The figures of the settings API on this machine, as docs/performance.md explains them.

Starts a node with embedded servers in a temporary folder and, beside it, a bare ASGI application on the same server.
They are asked in turn, never at once. Everything that is started is ended, also after Ctrl-C.
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
from dataclasses import asdict, dataclass
from typing import Any

import questions
from load import Load, Request, Result, run, tool_of
from node import BenchFailed, busy_share, folder, free_port, node_environment, process, say, unwind_on_signals
from questions import HOST, WrongAnswer
from synthetic import KEYS

TARGET_P95_MS = 10.0  # for one effective value
TARGET_CONNECTIONS = 16  # what the target is stated for
WARM_UP_SECONDS = 2.0  # pools, prepared statements and remembered decisions, as in a node that has run for a while


@dataclass(frozen=True)
class Case:
    """One thing to measure, and which one of the bare answers it is held against."""

    name: str
    port: int
    requests: list[Request]
    baseline: str | None = None


@dataclass(frozen=True)
class Figure:
    """What was measured. `ratio` is requests per second as a share of the baseline's."""

    name: str
    result: Result
    baseline: str | None
    ratio: float | None


# ---- the measurement ----


def measure(options: argparse.Namespace) -> list[Figure]:
    """Start everything, measure every case in turn, end everything."""
    with ExitStack() as stack:
        data = stack.enter_context(folder())
        node_port, bare_port = free_port(), free_port()
        environment = node_environment(data, node_port, scopes=options.scopes, workers=options.workers)
        say(f"starting a node with {options.scopes * KEYS:,} synthetic values over {options.scopes:,} scopes")
        stack.enter_context(process("node", environment, data.parent / "node.log"))
        token = questions.admin_token(data)
        resolve = questions.resolve_requests(options.scopes, token, seed=options.seed)
        effective = questions.effective_requests(options.scopes, token, seed=options.seed)
        questions.expect(node_port, [*resolve, *effective], 200)
        not_modified = questions.conditional(node_port, effective)
        questions.expect(node_port, not_modified, 304)
        put = questions.put_requests(node_port, options.scopes, token, seed=options.seed)
        sizes = {
            "resolve": questions.median_bytes(node_port, resolve),
            "effective": questions.median_bytes(node_port, effective),
        }
        bare = {"SETPOINT_PORT": str(bare_port), "BENCH_BYTES": ",".join(f"{k}={v}" for k, v in sizes.items())}
        stack.enter_context(process("bare", bare, data.parent / "bare.log"))
        small, large = (f"bare 200, {size} bytes" for size in sizes.values())
        none = "bare 304"
        headers = questions.auth(token)
        cases = [
            Case(small, bare_port, [Request("GET", "/resolve", headers)]),
            Case("GET resolve/{key}", node_port, resolve, small),
            Case(large, bare_port, [Request("GET", "/effective", headers)]),
            Case("GET effective", node_port, effective, large),
            Case(none, bare_port, [Request("GET", "/304", not_modified[0].headers)]),
            Case("GET effective, 304", node_port, not_modified, none),
            Case("PUT value", node_port, put, small),
        ]
        figures = _measured(cases, options)
        questions.expect(node_port, put[:1], 200)
    return figures


def _measured(cases: Sequence[Case], options: argparse.Namespace) -> list[Figure]:
    tool = tool_of(options.client)
    rates: dict[str, float] = {}
    figures = []
    for case in cases:
        say(f"measuring {case.name}")
        for seconds in (min(WARM_UP_SECONDS, options.seconds), options.seconds):
            result = run(Load(HOST, case.port, case.requests, options.connections, seconds), tool=tool)
        if result.errors:
            raise BenchFailed(f"{case.name}: {result.errors} of {result.requests} requests failed.")
        rates[case.name] = result.per_second
        ratio = None if case.baseline is None else result.per_second / rates[case.baseline]
        figures.append(Figure(case.name, result, case.baseline, ratio))
    return figures


# ---- what is said ----


def report(figures: Sequence[Figure], options: argparse.Namespace, *, busy: float) -> bool:
    """Print the figures and whether the target is met."""
    resolve = next(figure for figure in figures if figure.name == "GET resolve/{key}")
    passed = resolve.result.p95 < TARGET_P95_MS
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "client": tool_of(options.client)}
    if options.json:
        target = {"what": "GET resolve/{key}", "p95_ms_below": TARGET_P95_MS, "passed": passed}
        machine["busy_with_others_before"] = round(busy, 2)
        setting = machine | {
            name: getattr(options, name) for name in ("connections", "seconds", "scopes", "workers", "seed")
        }
        print(json.dumps({"setting": setting, "figures": [_plain(one) for one in figures], "target": target}, indent=2))
        return passed
    print(
        f"{machine['cores']} cores, Python {machine['python']}, {machine['client']}, "
        f"{options.connections} connections, {options.workers} worker(s), {options.seconds:g} s each, "
        f"seed {options.seed}; milliseconds\nBefore the run the machine was {busy:.0%} busy with other things.\n"
    )
    print(f"{'':28}{'requests/s':>12}{'P50':>9}{'P95':>9}{'P99':>9}{'of bare':>9}")
    for one in figures:
        ratio = "" if one.ratio is None else f"{one.ratio:.3f}"
        result = one.result
        print(f"{one.name:28}{result.per_second:12,.0f}{result.p50:9.2f}{result.p95:9.2f}{result.p99:9.2f}{ratio:>9}")
    verdict = "PASS" if passed else "FAIL"
    print(
        f"\n{verdict}: P95 of GET resolve/{{key}} is {resolve.result.p95:.2f} ms at {options.connections} connections; "
        f"the target is below {TARGET_P95_MS:g} ms at {TARGET_CONNECTIONS}"
    )
    return passed


def _plain(figure: Figure) -> dict[str, Any]:
    return {"name": figure.name, **asdict(figure.result), "baseline": figure.baseline, "ratio": figure.ratio}


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line, with its defaults."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-settings",
        description="Measure the settings API against a bare application on the same server. Exit code 1: a target is "
        "missed; 3: the measurement could not be made.",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each case is measured (5)")
    parser.add_argument("--connections", type=int, default=TARGET_CONNECTIONS, help="kept connections (16)")
    parser.add_argument("--scopes", type=int, default=1_000, help="synthetic scopes with ten values each (1000)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the node (1)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of contexts (1)")
    parser.add_argument(
        "--client", choices=("auto", "wrk", "built-in"), default="auto", help="what sends (wrk if there)"
    )
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    return parser.parse_args(arguments)


def main() -> int:
    """Measure, report, and say by the exit code whether the target is met."""
    options = options_of(sys.argv[1:])
    unwind_on_signals()
    try:
        busy = busy_share()
        return 0 if report(measure(options), options, busy=busy) else 1
    except (BenchFailed, WrongAnswer) as failed:
        say(str(failed))
        return 3
    except subprocess.CalledProcessError as failed:
        say(f"{failed.cmd[0]} failed: {str(failed.stderr or failed.stdout).strip()}")
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
