"""A node as a user starts it, once for all tests, and the command line as a user types it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.embedded.conftest import kill_server, living

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60.0  # seconds; a node on a busy machine starts in a quarter of it


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Setpoint = Callable[..., Ran]


class DemoNode(NamedTuple):
    """Where the node of these tests is."""

    port: int
    data_path: Path


def environment(**more: str) -> dict[str, str]:
    """The environment without anything that the person who tests has set for a node of their own."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("SETPOINT_", "NO_COLOR"))}
    return {**clean, "PYTHONPATH": str(ROOT), **more}


def run(*arguments: str, cwd: Path, stdin: str = "", env: Mapping[str, str]) -> Ran:
    """One command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "app.cli.main", *arguments],
        input=stdin,
        env=environment(**env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def demo_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoNode]:
    """`setpoint serve --demo`; nothing of it outlives the tests."""
    folder = tmp_path_factory.mktemp("node")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    data_path, log = folder / "data", folder / "log"
    with log.open("w") as said:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "app.cli.main",
                "serve",
                "--demo",
                "--port",
                str(port),
                "--data-dir",
                str(data_path),
            ],
            env=environment(),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, log)
        yield DemoNode(port, data_path)
        process.terminate()
        process.communicate(timeout=LIMIT)
        assert process.returncode == 0
        assert living(data_path) == set()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        for name in living(data_path):
            kill_server(data_path, name)


def _wait_until_ready(process: subprocess.Popen[str], log: Path) -> None:
    assert process.stdout is not None
    watchdog = threading.Timer(LIMIT, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            if "Setpoint answers at" in line:
                return
    finally:
        watchdog.cancel()
    pytest.fail(f"The node has not started:\n{log.read_text()}")


@pytest.fixture
def setpoint(demo_node: DemoNode, tmp_path: Path) -> Setpoint:
    """Run the command line against the node, as the platform_admin that the development key makes one."""

    def command(*arguments: str, stdin: str = "", **env: str) -> Ran:
        where = {"SETPOINT_PORT": str(demo_node.port), "SETPOINT_DATA_DIR": str(demo_node.data_path)}
        return run(*arguments, cwd=tmp_path, stdin=stdin, env={**where, **env})

    return command


@pytest.fixture
def offline(tmp_path: Path) -> Setpoint:
    """Run the command line with an empty data folder and no node."""

    def command(*arguments: str, stdin: str = "", **env: str) -> Ran:
        where = {"SETPOINT_PORT": "1", "SETPOINT_DATA_DIR": str(tmp_path / "data")}
        return run(*arguments, cwd=tmp_path, stdin=stdin, env={**where, **env})

    return command
