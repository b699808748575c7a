"""A Valkey of a test process's own, that can be stopped, killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.embedded.valkey import _binary

LIMIT = 10.0  # seconds to start; it takes a few hundredths of one


class Valkey:
    """One server process on a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._path}"

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self._path.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [str(_binary()), "--port", "0", "--unixsocket", str(self._path), "--save", "", "--appendonly", "no"],
            cwd=self._path.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + LIMIT
        while not self._answers():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(LIMIT)
        self._process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It takes connections and bytes, and answers nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self._path))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False


@contextmanager
def valkey_process() -> Iterator[Valkey]:
    """A running server, ended with the block."""
    # Not in pytest's folder: the path of a socket is short.
    with tempfile.TemporaryDirectory(prefix="setpoint-valkey-") as folder:
        server = Valkey(Path(folder))
        server.start()
        try:
            yield server
        finally:
            if server._process is not None:
                server.kill()
