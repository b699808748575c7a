"""`python -m tests.faults`: a run on servers of its own, as long as you like. Exit code 1: a promise was broken."""

from __future__ import annotations

import argparse
import random
import signal
import sys
from collections.abc import Sequence

import msgspec
import uvloop

from tests.faults.run import Plan, Report, run
from tests.faults.servers import NODE, servers

LOG_CHARACTERS = 20_000  # of each node, shown when something is wrong


def main() -> int:
    """Run, tell, and say by the exit code whether all promises were kept."""
    options = _options(sys.argv[1:])
    signal.signal(signal.SIGTERM, _unwind)
    plan = Plan(
        seconds=options.seconds if options.minutes is None else 60 * options.minutes,
        reads=options.reads,
        seed=options.seed if options.seed is not None else random.randrange(1_000_000),
        nodes=options.nodes,
        module=options.module,
        faults=tuple(options.fault),
        until_violation=options.until_violation,
    )
    print(f"faults: seed {plan.seed}", file=sys.stderr, flush=True)
    try:
        with servers(nodes=plan.nodes, module=plan.module, database=options.database) as running:
            report: Report = uvloop.run(run(plan, running))
            print(msgspec.json.encode(report).decode() if options.json else "\n".join(report.lines), flush=True)
            if report.verdict.violations:  # the folder is gone with the block
                for one in running.nodes:
                    print(f"what the node at port {one.port} said last:", file=sys.stderr)
                    print(one.log.read_text("utf-8")[-LOG_CHARACTERS:], file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        return 130
    return 1 if report.verdict.violations else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Reads, writes and faults on two nodes of two workers, and a verdict on what was answered. It goes "
        "on for longer than it is told while there are too few reads. Ten minutes take about 600 MB of memory.",
    )
    parser.add_argument("--seconds", type=float, default=45.0, help="how long, without the start (45)")
    parser.add_argument("--minutes", type=float, help="the same")
    parser.add_argument("--reads", type=int, default=100_000, help="at least so many, spread over the time (100000)")
    parser.add_argument("--seed", type=int, help="decides what happens (a new one each time)")
    parser.add_argument("--nodes", type=int, default=2, help="of two workers each; the second holds nothing itself (2)")
    parser.add_argument("--fault", action="append", default=[], help="only this kind; may be repeated (all)")
    parser.add_argument("--module", default=NODE, help="what a node is started by; a wrong one shows what is found")
    parser.add_argument(
        "--database",
        nargs=2,
        metavar=("URL", "OWNER_URL"),
        help="a migrated one to use; PostgreSQL is then not stopped",
    )
    parser.add_argument("--until-violation", action="store_true", help="end with the first one")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    return parser.parse_args(arguments)


def _unwind(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
