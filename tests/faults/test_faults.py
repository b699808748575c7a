"""
G1, G2, G3, G5, G9 and G10 at once: two nodes of two workers under random reads, writes and faults, and no promise is
broken; and the same with nodes that are wrong on purpose, where some are.

Everything runs in processes of its own: measuring our coverage would slow the nodes down to half.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.faults.history import NOT_MODIFIED, OK, Kind
from tests.faults.run import Report
from tests.fixtures import Databases

ROOT = Path(__file__).resolve().parents[2]
READS = 100_000
SECONDS = 45
ATTEMPTS = 3
LIMIT = (
    400.0  # seconds; a run goes on for at most four times its length until it has its reads, and starting takes some
)


def ran(*arguments: str, **more: str) -> Report:
    """`python -m tests.faults` with a printed seed; it must end everything that it starts."""
    seed = random.randrange(1_000_000)
    command = [sys.executable, "-m", "tests.faults", "--json", "--seed", str(seed), *arguments]
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("COVERAGE_", "COV_CORE_"))}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:  # short: sockets lie in there
        environment |= {"TMPDIR": folder, **more}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            said, complaints = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)  # it ends what it has started
            said, complaints = process.communicate(timeout=LIMIT)
        print(f"seed {seed}\n{complaints}")
        assert living_in(folder) == []
        assert list(Path(folder).iterdir()) == []
    report = msgspec.json.decode(said, type=Report)
    print("\n".join(report.lines))
    assert process.returncode == (1 if report.verdict.violations else 0)
    return report


def living_in(folder: str) -> list[str]:
    """Processes that know of a folder by their command line or their data folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        known = [*(process.info["cmdline"] or ()), (process.info["environ"] or {}).get("SETPOINT_DATA_DIR", "")]
        if any(folder in text for text in known):
            found.append(f"{process.pid}: {known}")
    return found


def test_under_faults_no_promise_is_broken() -> None:
    """A second run where the first shows little: on a machine that is busy elsewhere, faults may last all of it."""
    for attempt in range(ATTEMPTS):
        report = ran("--seconds", str(SECONDS), "--reads", str(READS))
        assert report.verdict.violations == {}
        assert report.reads >= READS
        if not (missing := untested(report)):
            return
        print(f"attempt {attempt + 1} shows little: {missing}")
    pytest.fail(f"no run was a test of everything: {missing}")


def untested(report: Report) -> list[str]:
    """What a run without violations did not put to the test."""
    statuses = report.verdict.statuses
    wanted = {
        "every kind of fault": len(report.faults) == 10,
        "writes": report.writes > 100,
        "full answers": statuses[OK] > READS / 20,
        "conditional answers": statuses[NOT_MODIFIED] > READS / 4,
        "stale answers": report.verdict.labelled > 0,
        "every tier": min(report.answered.values()) > 100,
        "time in which nothing was excused": report.away_seconds < report.seconds * 0.8,
    }
    return [what for what, is_there in wanted.items() if not is_there]


WRONG = [
    ("head_after_rows", "redis-flushed", {Kind.MISPLACED, Kind.FALSE_304, Kind.TORN}),
    ("unguarded", "redis-hung", {Kind.FAILED}),
]


@pytest.fixture
def database(databases: Databases, template: str, worker_name: str) -> Iterator[tuple[str, str]]:
    """One on the PostgreSQL of all tests, which is there and not to be broken: its URLs to serve by and to own it."""
    name = f"setpoint_faults_{worker_name}"
    url = databases.create(name, template=template)
    yield databases.serving(url), url
    databases.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(("variant", "fault", "kinds"), WRONG, ids=[variant for variant, _, _ in WRONG])
def test_a_run_finds_a_cache_that_is_wrong(
    database: tuple[str, str], variant: str, fault: str, kinds: set[Kind]
) -> None:
    assert found(kinds, lambda: wrong(variant, fault, "--database", *database))


def test_a_run_finds_that_nobody_looks_without_a_ring() -> None:
    """A ring that is lost with PostgreSQL, which for this is one of its own: no labels, and too old."""
    assert found({Kind.STALE}, lambda: wrong("doorbell_only", "postgresql-immediate"))


def found(kinds: set[Kind], run: Callable[[], Report]) -> bool:
    """Whether one of a few runs finds one of these: chance decides what meets, and a busy machine what is excused."""
    return any(kinds & set(run().verdict.violations) for _ in range(ATTEMPTS))


def wrong(variant: str, fault: str, *more: str) -> Report:
    """A short run of a node that is wrong on purpose, up to the first violation."""
    arguments = ["--module", "tests.faults.naive_node", "--until-violation", "--fault", fault, "--nodes", "1"]
    return ran(*arguments, "--reads", "1", "--seconds", "20", *more, FAULTS_NAIVE=variant)
