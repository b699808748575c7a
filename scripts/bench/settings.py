"""
The figures of the settings API on this machine, as docs/performance.md explains them.

Starts three nodes on one data folder with embedded servers in a temporary folder: one that makes the synthetic values
and is written to, one that is measured, and one without its local tier. Beside them, a bare ASGI application on the
same server. What is compared is asked in turns of a second, so that what others do on the machine falls on both.
Everything that is started is ended, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import questions
from load import Load, Request, Result, run, tool_of
from mixed import Mixed, Visible, mixed, visible
from node import BenchFailed, Served, busy_share, folder, free_port, node_environment, process, say, unwind_on_signals
from questions import HOST, WrongAnswer, ask
from synthetic import KEYS

CONNECTIONS = 16
MIXED_CONNECTIONS = 64  # what the target is stated for
# Header fields that the server sets itself. A constant "connection: close" would have every client connect anew.
OF_THE_SERVER = ("date", "server", "connection", "keep-alive", "transfer-encoding")
WARM_UP_SECONDS = 2.0  # pools, prepared statements and remembered credentials, as in a node that has run for a while
TURN_SECONDS = 1.0
VISIBLE_WRITES = 300

# docs/performance.md says where they come from.
RATIO_TARGETS = {"GET effective, 304": 0.75, "GET resolve/{key}": 0.70, "GET resolve/{key}, by way of Redis": 0.60}
MIXED_P95_MS = 5.0
HIT_RATE = 0.90
VISIBLE_P99_MS = 50.0


@dataclass(frozen=True)
class Case:
    """One thing to measure: of whom, what, and beside which bare answer."""

    name: str
    server: Served
    port: int
    requests: list[Request]
    bare: str | None = None  # the path of the bare answer


@dataclass
class Figure:
    """
    What was measured. `ratio` is requests per second as a share of the baseline's; `cpu_us` the microseconds of
    processor time that the server took for one, which others on the machine change little.
    """

    name: str
    result: Result
    cpu_us: float
    baseline: str | None = None
    ratio: float | None = None
    turns: list[float] = field(default_factory=list)  # the ratio in each turn


@dataclass(frozen=True)
class Measured:
    """Everything."""

    figures: list[Figure]
    mixed: Mixed
    visible: Visible
    cache: Any  # what /api/settings/stats/cache says; None when it is not there


@dataclass(frozen=True)
class Target:
    """One line of the verdict."""

    what: str
    wanted: str
    found: str
    passed: bool


# ---- the measurement ----


def measure(options: argparse.Namespace) -> Measured:
    """Start everything, measure every case in turn, end everything."""
    with ExitStack() as stack:
        data = stack.enter_context(folder())
        port, other_port, without_port, bare_port = free_port(), free_port(), free_port(), free_port()
        say(f"starting a node with {options.scopes * KEYS:,} synthetic values over {options.scopes:,} scopes")
        first = node_environment(data, other_port, scopes=options.scopes)
        stack.enter_context(process("node", first, data.parent / "first.log"))
        environment = node_environment(data, port, workers=options.workers)
        node = stack.enter_context(process("node", environment, data.parent / "node.log"))
        environment = node_environment(data, without_port) | {"SETPOINT_L1_BYTES": "0"}
        without = stack.enter_context(process("node", environment, data.parent / "without.log"))
        token = questions.admin_token(data)
        resolve = questions.resolve_requests(options.scopes, token, seed=options.seed)
        effective = questions.effective_requests(options.scopes, token, seed=options.seed)
        cold = _cold(port, options, token, node)
        questions.expect(port, [*resolve, *effective], 200)
        not_modified = questions.conditional(port, effective)
        questions.expect(port, not_modified, 304)
        accounts = questions.accounts_in(effective)
        put = questions.put_requests(port, accounts, token)
        reads = questions.value_requests(accounts, token)
        answers = _constants(port, {"/304": not_modified, "/resolve": resolve, "/effective": effective})
        _redis_value(data, node.redis_url, answers)
        (data.parent / "answers").write_text(json.dumps(answers), "utf-8")
        constants = {"SETPOINT_PORT": str(bare_port), "BENCH_ANSWERS": str(data.parent / "answers")}
        constants |= {"BENCH_REDIS_URL": node.redis_url}
        bare = stack.enter_context(process("bare", constants, data.parent / "bare.log"))
        cases = [
            Case("GET effective, 304", node, port, not_modified, "/304"),
            Case("GET resolve/{key}", node, port, resolve, "/resolve"),
            Case("GET effective", node, port, effective, "/effective"),
            Case("GET resolve/{key}, by way of Redis", without, without_port, resolve, "/redis"),
            Case("PUT value", node, port, put),
        ]
        figures = [one for case in cases for one in _compared(case, bare, bare_port, options)]
        say("measuring mixed traffic")
        load = Load(HOST, port, effective, MIXED_CONNECTIONS, 2 * options.seconds)
        traffic = mixed(load, put, rate=options.rate, seed=options.seed)
        say("measuring when writes are to be seen on the other node")
        count = min(VISIBLE_WRITES, len(put))
        seen = visible(HOST, other_port, port, put[:count], reads[:count])
        status, _, body = ask(port, Request("GET", "/api/settings/stats/cache", questions.auth(token)))
    return Measured([*figures, cold], traffic, seen, json.loads(body) if status == 200 else None)  # noqa: PLR2004


def _compared(case: Case, bare: Served, bare_port: int, options: argparse.Namespace) -> list[Figure]:
    """A case and its baseline, in turns; the medians of the turns count."""
    say(f"measuring {case.name}")
    sides = [(case.name, case.server, case.port, case.requests)]
    if case.bare is not None:
        plain = [Request("GET", case.bare, case.requests[0].headers)]
        sides.insert(0, (f"bare {case.bare}", bare, bare_port, plain))
    tool = tool_of(options.client)
    for _, _, port, requests in sides:
        run(Load(HOST, port, requests, options.connections, min(WARM_UP_SECONDS, options.seconds)), tool=tool)
    results: list[list[Result]] = [[] for _ in sides]
    spent = [0.0 for _ in sides]
    for _ in range(max(1, round(options.seconds / TURN_SECONDS))):
        for index, (name, server, port, requests) in enumerate(sides):
            before = server.cpu_seconds()
            result = run(Load(HOST, port, requests, options.connections, TURN_SECONDS), tool=tool)
            spent[index] += server.cpu_seconds() - before
            if result.errors:
                raise BenchFailed(f"{name}: {result.errors} of {result.requests} requests failed.")
            results[index].append(result)
    figures = [
        Figure(name, _median(found), cpu * 1e6 / sum(one.requests for one in found))
        for (name, *_), found, cpu in zip(sides, results, spent, strict=True)
    ]
    if case.bare is not None:
        turns = [one.per_second / other.per_second for other, one in zip(*results, strict=True)]
        figures[1].baseline, figures[1].ratio, figures[1].turns = figures[0].name, statistics.median(turns), turns
    for one in figures:
        ratio = "" if one.ratio is None else f", {one.ratio:.2f} of {one.baseline}"
        say(f"{one.name}: {one.result.per_second:,.0f}/s, {one.cpu_us:.0f} µs of processor time each{ratio}")
    return figures


def _median(results: Sequence[Result]) -> Result:
    def middle(name: str) -> float:
        return statistics.median(getattr(one, name) for one in results)

    return Result(
        requests=sum(one.requests for one in results),
        errors=0,
        **{name: middle(name) for name in ("per_second", "p50", "p95", "p99")},
    )


def _cold(port: int, options: argparse.Namespace, token: str, node: Served) -> Figure:
    """Contexts that nobody has asked about since the node started, each once, by a client that is known."""
    say("measuring cold contexts")
    questions.expect(port, questions.effective_requests(options.scopes, token, seed=options.seed)[:4], 200)
    requests = questions.cold_requests(options.scopes, token, seed=options.seed)
    before = node.cpu_seconds()
    result = run(Load(HOST, port, requests, options.connections, 60.0, once=True), tool="built-in")
    if result.errors or result.requests != len(requests):
        raise BenchFailed(f"cold: {result.errors} of {len(requests)} requests failed.")
    return Figure("GET effective, cold", result, (node.cpu_seconds() - before) * 1e6 / result.requests)


def _constants(port: int, asked: dict[str, list[Request]]) -> dict[str, Any]:
    """By path, the answer of middle length to some questions: its status, header fields and number of bytes."""
    found = {}
    for path, requests in asked.items():
        answers = sorted((ask(port, one) for one in requests), key=lambda answer: len(answer[2]))
        status, headers, body = answers[len(answers) // 2]
        found[path] = (status, [(k, v) for k, v in headers.items() if k not in OF_THE_SERVER], len(body))
    found["/redis"] = found["/resolve"]
    return found


def _redis_value(data: Path, url: str, answers: dict[str, Any]) -> None:
    """What the bare application gets from Redis: as many bytes as it answers with."""
    from redis import Redis

    del data
    with Redis.from_url(url) as redis:
        redis.set("bench:bare", b"x" * answers["/resolve"][2])


# ---- what is said ----


def targets_of(measured: Measured) -> list[Target]:
    """The verdict."""
    found = []
    for one in measured.figures:
        if one.name in RATIO_TARGETS and one.ratio is not None:
            least = RATIO_TARGETS[one.name]
            what = f"{one.name}: requests/s as a share of {one.baseline}"
            found.append(Target(what, f">= {least:.2f}", f"{one.ratio:.2f}", one.ratio >= least))
    p95, share, p99 = measured.mixed.p95, measured.mixed.hit_rate, measured.visible.p99
    found += [
        Target("mixed: P95", f"< {MIXED_P95_MS:g} ms", f"{p95:.2f} ms", p95 < MIXED_P95_MS),
        Target("mixed: share of 304", f">= {HIT_RATE:.2f}", f"{share:.3f}", share >= HIT_RATE),
        Target("write to visible: P99", f"< {VISIBLE_P99_MS:g} ms", f"{p99:.1f} ms", p99 < VISIBLE_P99_MS),
    ]
    return found


def report(measured: Measured, options: argparse.Namespace, *, busy: float) -> bool:
    """Print the figures and whether the targets are met."""
    targets = targets_of(measured)
    passed = all(one.passed for one in targets) and measured.mixed.errors == 0
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "client": tool_of(options.client)}
    if options.json:
        names = ("connections", "seconds", "scopes", "workers", "seed", "rate")
        setting = machine | {"busy_with_others_before": round(busy, 2)} | {one: getattr(options, one) for one in names}
        said = {"setting": setting, **asdict(measured), "targets": [asdict(one) for one in targets], "passed": passed}
        print(json.dumps(said, indent=2))
        return passed
    print(
        f"{machine['cores']} cores, Python {machine['python']}, {machine['client']}, "
        f"{options.connections} connections, {options.workers} worker(s), {options.seconds:g} s each, "
        f"seed {options.seed}; milliseconds\nBefore the run the machine was {busy:.0%} busy with other things.\n"
    )
    print(f"{'':38}{'requests/s':>12}{'P50':>9}{'P95':>9}{'P99':>9}{'CPU µs':>9}{'of bare':>9}")
    for one in measured.figures:
        ratio, result = "" if one.ratio is None else f"{one.ratio:.2f}", one.result
        print(
            f"{one.name:38}{result.per_second:12,.0f}{result.p50:9.2f}{result.p95:9.2f}{result.p99:9.2f}"
            f"{one.cpu_us:9.0f}{ratio:>9}"
        )
    traffic, seen = measured.mixed, measured.visible
    print(
        f"{'mixed, ' + str(MIXED_CONNECTIONS) + ' clients':38}{traffic.per_second:12,.0f}{traffic.p50:9.2f}"
        f"{traffic.p95:9.2f}{traffic.p99:9.2f}   {traffic.hit_rate:.1%} were 304; {traffic.writes} writes, "
        f"{traffic.errors} errors"
    )
    print(
        f"{'write to visible':38}{'':12}{seen.p50:9.2f}{'':9}{seen.p99:9.2f}   "
        f"at most {seen.most:.1f}, of {seen.writes} writes"
    )
    if measured.cache is not None:
        print(f"cache: {json.dumps(measured.cache)}")
    print()
    for target in targets:
        print(f"{'PASS' if target.passed else 'FAIL'}  {target.what} {target.wanted}: {target.found}")
    return passed


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line, with its defaults."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-settings",
        description="Measure the settings API against a bare application on the same server. Exit code 1: a target is "
        "missed; 3: the measurement could not be made.",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each case is measured (5)")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="kept connections (16)")
    parser.add_argument("--scopes", type=int, default=1_000, help="synthetic scopes with ten values each (1000)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the node (1)")
    parser.add_argument("--rate", type=float, default=4_000, help="requests per second of mixed traffic (4000)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of contexts (1)")
    parser.add_argument(
        "--client", choices=("auto", "wrk", "built-in"), default="auto", help="what sends (wrk if there)"
    )
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    return parser.parse_args(arguments)


def main() -> int:
    """Measure, report, and say by the exit code whether the targets are met."""
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
