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
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import questions
from load import Load, Request, Result, run, tool_of
from questions import HOST, WrongAnswer
from synthetic import KEYS

HERE = Path(__file__).parent
TARGET_P95_MS = 10.0  # for one effective value
TARGET_CONNECTIONS = 16  # what the target is stated for
WARM_UP_SECONDS = 2.0  # pools, prepared statements and remembered decisions, as in a node that has run for a while
START_LIMIT = 180.0  # seconds; a hundred thousand values take a while to write
STOP_LIMIT = 40.0  # seconds; workers drain for ten, PostgreSQL writes a checkpoint


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


class BenchFailed(Exception):
    """The measurement could not be made; the message says why."""


# ---- what is started and ended ----


@contextmanager
def process(what: str, environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """One server process, from the moment it answers to the end of the block."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SETPOINT_")}
    with log.open("w") as stderr:
        child = subprocess.Popen(
            [sys.executable, str(HERE / "server.py"), what],
            env=ours | dict(environment),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,  # Ctrl-C is ours to pass on, once
        )
    try:
        _await_ready(child, what, log)
        yield child
    finally:
        _end_process(child)


def _end_process(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _await_ready(child: subprocess.Popen[str], what: str, log: Path) -> None:
    def give_up(*_: object) -> None:
        raise BenchFailed(f"The {what} has not answered within {START_LIMIT:.0f} s.")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, START_LIMIT)
    try:
        line = child.stdout.readline() if child.stdout is not None else ""
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if not line:
        raise BenchFailed(f"The {what} could not start: {log.read_text('utf-8').strip() or 'it said nothing'}")


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
        return port


def busy_share(seconds: float = 1.0) -> float:
    """How much of the machine others use at this moment, 0 to 1: what they take is missing from every figure."""
    before = _ticks()
    time.sleep(seconds)
    idle, total = (later - earlier for later, earlier in zip(_ticks(), before, strict=True))
    return 1 - idle / max(total, 1)


def _ticks() -> tuple[int, int]:
    ticks = [int(text) for text in Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)  # idle and waiting for a disk, of all


# ---- the measurement ----


def measure(options: argparse.Namespace) -> list[Figure]:
    """Start everything, measure every case in turn, end everything."""
    with ExitStack() as stack:
        data = Path(stack.enter_context(_folder()))
        node_port, bare_port = free_port(), free_port()
        say(f"starting a node with {options.scopes * KEYS:,} synthetic values over {options.scopes:,} scopes")
        stack.enter_context(process("node", _node_environment(options, data, node_port), data.parent / "node.log"))
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


@contextmanager
def _folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="setpoint-bench-")
    try:
        yield str(Path(folder, "data"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _node_environment(options: argparse.Namespace, data: Path, port: int) -> dict[str, str]:
    return {
        "SETPOINT_DATA_DIR": str(data),
        "SETPOINT_PORT": str(port),
        "SETPOINT_WORKERS": str(options.workers),
        "SETPOINT_LOG_LEVEL": "warning",
        "BENCH_SCOPES": str(options.scopes),
    }


# ---- what is said ----


def say(line: str) -> None:
    """Tell a person what takes time; figures go to stdout."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


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


def _unwind(*_: object) -> None:
    # Once: a second Ctrl-C must not interrupt the ending of what was started.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Measure, report, and say by the exit code whether the target is met."""
    options = options_of(sys.argv[1:])
    signal.signal(signal.SIGINT, _unwind)
    signal.signal(signal.SIGTERM, _unwind)
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
