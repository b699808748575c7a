"""A real node on the database of a test, to be asked over a socket and killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from app.access.local_key import ensure_local_key, sign
from app.domain.access import Principal
from tests.cli.conftest import environment

LIMIT = 60.0  # seconds for a node to start on a busy machine; it takes two


class Node:
    """A node in a process group of its own, with everything it said in `log`."""

    def __init__(self, data_path: Path, *, module: str, **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.data_path = data_path
        self._clients: list[httpx.AsyncClient] = []
        self.log = data_path.parent / f"log-{self.port}"
        arguments = ["serve"] if module == "app.cli.main" else []
        named = {"PORT": str(self.port), "DATA_DIR": str(data_path), "REDIS_URL": "redis://127.0.0.1:1", **settings}
        with self.log.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=environment(**{f"SETPOINT_{name}": text for name, text in named.items()}),
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,
            )

    def until_ready(self) -> None:
        """Wait until it answers."""
        assert self.process.stdout is not None
        watchdog = threading.Timer(LIMIT, self.process.kill)
        watchdog.start()
        try:
            if any("Setpoint answers at" in line for line in self.process.stdout):
                return
        finally:
            watchdog.cancel()
        raise AssertionError(f"The node has not started:\n{self.log.read_text()}")

    def client(self, principal: Principal) -> httpx.AsyncClient:
        """A client of this principal, over the network."""
        token = sign(ensure_local_key(self.data_path), principal, now=datetime.now(UTC), ttl=timedelta(hours=1))
        client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=LIMIT,
        )
        self._clients.append(client)
        return client

    async def hang_up(self) -> None:
        """Close all clients."""
        for client in self._clients:
            await client.aclose()

    def kill(self) -> None:
        """End parent and workers as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=LIMIT)

    def stop(self) -> None:
        """End in good order."""
        self.process.terminate()
        self.process.communicate(timeout=LIMIT)
        assert self.process.returncode == 0, self.log.read_text()


@contextmanager
def node(data_path: Path, *, module: str = "app.cli.main", **settings: str) -> Iterator[Node]:
    """A node that answers, and is gone after the block whatever happened in it."""
    one = Node(data_path, module=module, **settings)
    try:
        one.until_ready()
        yield one
    finally:
        if one.process.poll() is None:
            one.kill()
