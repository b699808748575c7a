"""Starting, adopting and stopping one embedded server; what it is comes from postgres.py and valkey.py."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from app.embedded.errors import EmbeddedError
from app.embedded.locks import POLL, LifeLock

START_LIMIT = 60.0  # seconds until a server answers; PostgreSQL replays its log after a crash before it does
KILL_LIMIT = 5.0  # seconds until the kernel has removed a process after SIGKILL
DISK_NEEDED = 64 << 20  # bytes; a new cluster takes about 40 MiB, a write-ahead segment 16
LOG_TAIL = 8192  # bytes of log looked at for the reason of a failure
REASON = re.compile(r"(?:FATAL|PANIC|ERROR|error|setpriv): +(.*)|# ((?:Fail|Can't|FATAL).*)")
ECHO = "the database system is"  # … starting up: what PostgreSQL logs about our own question whether it answers


_children: list[subprocess.Popen[bytes]] = []  # kept so that they can be reaped: a zombie's pid counts as taken


class Server(Protocol):
    """What differs between the two servers."""

    @property
    def name(self) -> str:
        """How people call it."""

    @property
    def life(self) -> LifeLock:
        """Held while it lives."""

    @property
    def log(self) -> Path:
        """Its standard output and error."""

    @property
    def remedy(self) -> str:
        """What to do when it does not start, as the end of a sentence."""

    @property
    def stop_signals(self) -> Sequence[tuple[signal.Signals, float]]:
        """Ways to ask it to end, gentlest first, with the seconds each is given."""

    def prepare(self, life_descriptor: int, log: IO[bytes]) -> None:
        """Make its files, and remove what a dead predecessor left. Called only when none lives."""

    def command(self, socket_dir: Path) -> Sequence[str]:
        """Its program and arguments."""

    def answers(self, socket_dir: Path) -> bool:
        """Whether it can be used now."""

    def pid(self) -> int | None:
        """The living server's main process, once it has said so."""


def ensure_running(
    server: Server, *, data_path: Path, new_socket_dir: Callable[[], Path], announce: Callable[[str], None]
) -> Path:
    """
    Give the socket folder of the living server, after starting one if there is none.

    Cost: about 15 ms to join, 150 ms to start, 600 ms the first time. Needs the transition lock.
    """
    deadline = time.monotonic() + START_LIMIT
    while server.life.is_held():
        socket_dir = server.life.socket_dir()
        if socket_dir is not None and server.answers(socket_dir):
            return socket_dir
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"{server.name} (process {server.pid()}) is running in {data_path} but has not answered for "
                f"{START_LIMIT:.0f} s: end it and start again; its log is {server.log}."
            )
        time.sleep(POLL)
    announce(f"Starting {server.name} in {data_path}")
    return _start(server, data_path=data_path, socket_dir=new_socket_dir(), deadline=deadline)


def stop(server: Server) -> None:
    """End the living server, if any, ever less gently. Needs the transition lock."""
    for number, seconds in (*server.stop_signals, (signal.SIGKILL, KILL_LIMIT)):
        if _ended_by(server, number, seconds):
            break
    _reap()


def _ended_by(server: Server, number: signal.Signals, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    asked = False
    while server.life.is_held():
        pid = server.pid()
        if pid is not None and not asked:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            asked = True
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def _start(server: Server, *, data_path: Path, socket_dir: Path, deadline: float) -> Path:
    _reap()
    with server.life.birth(socket_dir) as life_descriptor, _fresh_log(server.log) as log:
        server.prepare(life_descriptor, log)
        child = subprocess.Popen(  # noqa: S603 (our own program and arguments)
            server.command(socket_dir),
            cwd=data_path,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(life_descriptor,),
            start_new_session=True,  # Ctrl-C goes to our whole process group; the servers must outlive the workers
        )
    _children.append(child)
    while not server.answers(socket_dir):
        if child.poll() is not None or time.monotonic() > deadline:
            raise failure(server)
        time.sleep(POLL)
    return socket_dir


def failure(server: Server) -> EmbeddedError:
    """The one sentence about a server that did not start, with the reason its log gives."""
    text = server.log.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")
    reasons = [(theirs or valkeys).strip(" .") for theirs, valkeys in REASON.findall(text) if ECHO not in theirs]
    remedy = server.remedy
    if shutil.disk_usage(server.log.parent).free < DISK_NEEDED:
        reasons.append("the disk is full")  # said here, for then the log may be empty too
        remedy = f"make {DISK_NEEDED >> 20} MiB of room beside it"
    because = f" ({reasons[0]})" if reasons else ""
    return EmbeddedError(f"{server.name} does not start{because}: {remedy}; its log is {server.log}.")


def clean_environment() -> dict[str, str]:
    """Our environment without PGPORT, PGOPTIONS and the like, and with messages in English."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return ours | {"LC_ALL": "C"}


def _fresh_log(path: Path) -> IO[bytes]:
    if path.exists():
        path.replace(path.with_suffix(".log.1"))  # one predecessor is kept: a crash is explored after the restart
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")  # statements hold values


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]
