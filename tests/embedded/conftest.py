"""Nodes as processes of their own, and a folder that leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

LIMIT = 20.0  # seconds; each step takes well under one

NODE = textwrap.dedent("""
    import sys
    from pathlib import Path
    from app.embedded import embedded_servers

    with embedded_servers(Path(sys.argv[1]), durable=False, announce=lambda line: None) as servers:
        print(servers.database_url, servers.redis_url, flush=True)
        sys.stdin.read()
""")


class Node:
    """A process that uses the servers of a data folder until it is told to leave."""

    def __init__(self, data_path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NODE, str(data_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def urls(self) -> list[str]:
        """Wait until the servers run."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def leave(self) -> int:
        """End in good order."""
        self.process.communicate("", timeout=LIMIT)
        return self.process.returncode

    def kill(self) -> None:
        """End as by a power cut."""
        self.process.kill()
        self.process.communicate(timeout=LIMIT)


def living(data_path: Path) -> set[str]:
    """Which servers run in this folder, by the kernel's word alone."""
    return {name for name in ("postgres", "valkey") if pid_of(data_path, name) is not None}


def pid_of(data_path: Path, name: str) -> int | None:
    """The main process of a server that lives."""
    path = data_path / ("postgres/postmaster.pid" if name == "postgres" else "valkey.pid")
    with suppress(OSError, ValueError):
        pid = int(path.read_text("utf-8").split("\n", 1)[0])
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
        return None if state == "Z" else pid
    return None


def kill_server(data_path: Path, name: str) -> None:
    """End a server as the kernel does when memory is short, and wait until it is gone."""
    pid = pid_of(data_path, name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + LIMIT
    while pid_of(data_path, name) == pid:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def data_path(tmp_path: Path) -> Iterator[Path]:
    """A data folder that is not there yet; its servers are gone when the test is over."""
    path = tmp_path / "data"
    yield path
    for name in living(path):
        kill_server(path, name)


@pytest.fixture
def start_node() -> Iterator[Callable[[Path], Node]]:
    """Start nodes that do not outlive the test."""
    nodes: list[Node] = []

    def start(path: Path) -> Node:
        nodes.append(Node(path))
        return nodes[-1]

    yield start
    for node in nodes:
        node.kill()
