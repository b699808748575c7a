"""What a benchmark starts and ends: processes that serve, and how busy the machine is with other things."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from questions import HOST

HERE = Path(__file__).parent
START_LIMIT = 180.0  # seconds; a hundred thousand values take a while to write
STOP_LIMIT = 40.0  # seconds; workers drain for ten, PostgreSQL writes a checkpoint


class BenchFailed(Exception):
    """The measurement could not be made; the message says why."""


class Served:
    """A server process that answers. `redis_url` is where its Redis is, if it said so."""

    def __init__(self, child: subprocess.Popen[str], line: str) -> None:
        self.child = child
        _, _, self.redis_url = line.strip().partition(" ")

    def cpu_seconds(self) -> float:
        """Processor time that its workers have taken."""
        return sum(_cpu_seconds(pid) for pid in _descendants(self.child.pid))


@contextmanager
def process(what: str, environment: Mapping[str, str], log: Path) -> Iterator[Served]:
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
        yield Served(child, _await_ready(child, what, log))
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


def _await_ready(child: subprocess.Popen[str], what: str, log: Path) -> str:
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
    return line


def _descendants(pid: int) -> list[int]:
    """Python processes below a process: the servers that are embedded in a node are not among them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = path.read_text("utf-8", "replace").partition(") ")
            if int(rest.split()[1]) == pid and "python" in name:
                child = int(path.parent.name)
                found += [child, *_descendants(child)]
    return found


def _cpu_seconds(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


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


@contextmanager
def folder() -> Iterator[Path]:
    """A data folder for a node, in a temporary folder of its own; both are gone after the block."""
    made = tempfile.mkdtemp(prefix="setpoint-bench-")
    try:
        yield Path(made, "data")
    finally:
        shutil.rmtree(made, ignore_errors=True)


def node_environment(data: Path, port: int, *, scopes: int | None = None, workers: int = 1) -> dict[str, str]:
    """How a measured node is configured. One that joins another on its data folder has no scopes of its own to make."""
    environment = {
        "SETPOINT_DATA_DIR": str(data),
        "SETPOINT_PORT": str(port),
        "SETPOINT_WORKERS": str(workers),
        "SETPOINT_LOG_LEVEL": "warning",
    }
    return environment if scopes is None else environment | {"BENCH_SCOPES": str(scopes)}


def say(line: str) -> None:
    """Tell a person what takes time; figures go to stdout."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


def unwind_on_signals() -> None:
    """Let SIGINT and SIGTERM end the measurement, once: a second must not interrupt the ending of what was started."""

    def unwind(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, unwind)
    signal.signal(signal.SIGTERM, unwind)
