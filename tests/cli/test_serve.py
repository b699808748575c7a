"""A node from its first second to its last, with a stand-in application: nothing is left behind, whatever ends it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.embedded.conftest import kill_server, living

LIMIT = 25.0  # seconds; longer than workers get to drain


class Serving:
    """A node in a process group of its own, as a terminal would start it."""

    def __init__(self, data_path: Path, port: int, **more: str) -> None:
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.standin"],
            env={**os.environ, "SETPOINT_PORT": str(port), "SETPOINT_DATA_DIR": str(data_path), **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def until_ready(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def get(self, path: str = "/") -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def ended(self) -> tuple[int, str]:
        """Wait for the exit code and what was said."""
        _, said = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, said

    def signal_group(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def data_path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "data"
    yield path
    for name in living(path):
        kill_server(path, name)


@pytest.fixture
def start(data_path: Path) -> Iterator[Callable[..., Serving]]:
    nodes: list[Serving] = []

    def start_one(port: int | None = None, **more: str) -> Serving:
        nodes.append(Serving(data_path, port or free_port(), **more))
        return nodes[-1]

    yield start_one
    for node in nodes:
        if node.process.poll() is None:
            node.signal_group(signal.SIGKILL)
        node.process.communicate(timeout=LIMIT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_ends_everything_with_code_0(
    data_path: Path, start: Callable[..., Serving], number: signal.Signals
) -> None:
    node = start(SETPOINT_WORKERS="2")
    assert node.until_ready() == f"ready at http://127.0.0.1:{node.port}"
    worker = int(node.get())

    node.signal_group(number)

    assert node.ended()[0] == 0
    assert is_gone(worker)
    assert living(data_path) == set()


def test_a_hangup_reaches_every_worker_and_replaces_none(start: Callable[..., Serving]) -> None:
    node = start(SETPOINT_WORKERS="2")
    node.until_ready()
    seen: dict[str, str] = {}

    def both_asked() -> bool:
        pid, count = node.get("/hangups").split()
        seen[pid] = count
        return len(seen) == 2

    wait_until(both_asked)
    before = set(seen)
    node.process.send_signal(signal.SIGHUP)

    wait_until(lambda: both_asked() and set(seen.values()) == {"1"})
    assert set(seen) == before


def test_workers_are_told_the_servers_and_start_none(data_path: Path, start: Callable[..., Serving]) -> None:
    node = start()
    node.until_ready()

    environment = dict(line.split("=", 1) for line in node.get("/environment").splitlines())

    assert environment["SETPOINT_DATABASE_URL"].startswith("postgresql://setpoint_app@/setpoint?host=/")
    assert "SETPOINT_OWNER_DATABASE_URL" not in environment
    assert environment["SETPOINT_REDIS_URL"].startswith("unix:///")
    assert environment["SETPOINT_DATA_DIR"] == str(data_path)


def test_a_second_node_on_the_same_port_is_refused_and_on_another_joins(
    data_path: Path, start: Callable[..., Serving]
) -> None:
    first = start()
    first.until_ready()

    code, said = start(first.port).ended()
    assert code == 3
    assert f"Port {first.port} on 127.0.0.1 is in use" in said

    second = start()
    second.until_ready()
    first.process.terminate()
    assert first.ended()[0] == 0
    assert living(data_path) == {"postgres", "valkey"}
    second.process.terminate()
    assert second.ended()[0] == 0
    assert living(data_path) == set()


def test_workers_of_a_killed_parent_end_and_the_next_start_recovers(
    data_path: Path, start: Callable[..., Serving]
) -> None:
    killed = start()
    killed.until_ready()
    worker = int(killed.get())

    killed.process.kill()

    again = start(killed.port)  # at once: it waits for the port
    assert again.until_ready()
    assert is_gone(worker)
    again.process.terminate()
    assert again.ended()[0] == 0
    assert living(data_path) == set()


def test_a_client_that_never_hangs_up_keeps_neither_the_port_nor_the_servers_of_a_killed_node(
    data_path: Path, start: Callable[..., Serving]
) -> None:
    killed = start()
    killed.until_ready()
    with socket.create_connection(("127.0.0.1", killed.port), timeout=LIMIT) as client:
        client.sendall(b"GET /forever HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        killed.process.kill()

        again = start(killed.port)
        assert again.until_ready()
        again.process.terminate()
        assert again.ended()[0] == 0
        assert living(data_path) == set()


def test_a_worker_that_cannot_start_ends_the_node(data_path: Path, start: Callable[..., Serving]) -> None:
    code, said = start(BROKEN="yes").ended()

    assert code == 1
    assert "this policy cannot be loaded" in said
    assert living(data_path) == set()


def test_a_worker_that_was_ready_and_dies_is_replaced(start: Callable[..., Serving]) -> None:
    node = start()
    node.until_ready()
    worker = int(node.get())

    os.kill(worker, signal.SIGKILL)

    def replaced() -> bool:
        try:
            return int(node.get()) != worker
        except OSError:
            return False

    wait_until(replaced)
    node.process.terminate()
    assert node.ended()[0] == 0


def test_a_signal_while_starting_ends_everything(data_path: Path, start: Callable[..., Serving]) -> None:
    node = start()
    wait_until(lambda: "postgres" in living(data_path))

    node.signal_group(signal.SIGINT)

    assert node.ended()[0] == 0
    assert living(data_path) == set()


@pytest.mark.parametrize(
    ("url", "code", "sentence"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", 3, "cannot be reached"),
        ("mysql://127.0.0.1/none", 2, "is not a PostgreSQL URL"),
    ],
)
def test_a_postgresql_that_cannot_be_used_is_said_in_one_sentence(
    start: Callable[..., Serving], url: str, code: int, sentence: str
) -> None:
    ended, said = start(SETPOINT_DATABASE_URL=url).ended()

    assert ended == code
    assert sentence in said
    assert said.count("\n") == 1


def test_an_unreachable_redis_is_only_mentioned(data_path: Path, start: Callable[..., Serving]) -> None:
    node = start(SETPOINT_REDIS_URL="redis://127.0.0.1:1")
    node.until_ready()

    assert living(data_path) == {"postgres"}
    node.process.terminate()
    code, said = node.ended()
    assert code == 0
    assert "Redis at SETPOINT_REDIS_URL cannot be reached" in said


def test_an_address_of_another_machine_is_refused(start: Callable[..., Serving]) -> None:
    assert start(SETPOINT_HOST="192.0.2.1").ended()[0] == 2
