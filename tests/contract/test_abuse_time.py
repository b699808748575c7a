"""
Slow and crooked senders, by the id of the abuse catalogue (A39): over sockets, against a node as a user starts it, with
limits that are quickly reached. Whatever they do, they are cut off, and others are answered meanwhile.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import NamedTuple

import pytest

from app.access.local_key import ensure_local_key, sign
from app.config import Config
from app.kit.clock import utc_now
from app.kit.edge import SECURITY_HEADERS
from tests.cli.conftest import ROOT, environment
from tests.fixtures import Databases
from tests.world import PRINCIPALS, TOKEN_LIFE

HEADER_SECONDS, BODY_SECONDS = 1.0, 1.5
MAX_CONNECTIONS = 550
START_LIMIT = 60.0  # seconds; a node on a busy machine starts in a twentieth of it
LIMIT = 10.0  # seconds for anything else; all of it is over in two, but machines are busy

LIVE = b"GET /api/health/live HTTP/1.1\r\nHost: setpoint.test\r\n\r\n"
SETTINGS = "/api/settings"
FEW_FILES = ("sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh")  # as where few may be open unless one asks for more


class Node(NamedTuple):
    """Where the node is, its main process, and a credential for it."""

    port: int
    pid: int
    token: str

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)

    def head(self, *lines: str, method: str = "POST", path: str = SETTINGS) -> bytes:
        """The head of an authenticated request."""
        given = ["Host: setpoint.test", f"Authorization: Bearer {self.token}", "Content-Type: application/json", *lines]
        return "\r\n".join([f"{method} {path} HTTP/1.1", *given, "", ""]).encode()

    def talk(self, sent: bytes) -> bytes:
        """Everything that is answered to these bytes until the node closes the connection."""
        with self.connect() as client:
            with suppress(ConnectionError):  # it need not read to the end what it refuses
                client.sendall(sent)
            return rest_of(client)

    def require_well(self) -> None:
        """Somebody else is answered, and not late."""
        began = time.monotonic()
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)) as other:
            other.request("GET", "/api/auth/verify", headers={"Authorization": f"Bearer {self.token}"})
            answer = other.getresponse()
            assert (answer.status, json.load(answer)["id"]) == (200, "anna")
        assert time.monotonic() - began < LIMIT / 2


@pytest.fixture(scope="module")
def node(
    databases: Databases, template: str, config: Config, valkey_socket: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("node")
    name, log = f"setpoint_time_{os.getpid()}", folder / "log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = {
        "SETPOINT_PORT": str(port),
        "SETPOINT_DATA_DIR": config.data_dir,
        "SETPOINT_OWNER_DATABASE_URL": databases.create(name, template=template),
        "SETPOINT_DATABASE_URL": databases.app_url(name),
        "SETPOINT_REDIS_URL": f"unix://{valkey_socket}",
        "SETPOINT_HEADER_TIMEOUT_SECONDS": str(HEADER_SECONDS),
        "SETPOINT_BODY_TIMEOUT_SECONDS": str(BODY_SECONDS),
        "SETPOINT_MAX_CONNECTIONS": str(MAX_CONNECTIONS),
    }
    token = sign(ensure_local_key(config.data_path), PRINCIPALS["admin"], now=utc_now(), ttl=TOKEN_LIFE)
    with serving(settings, log) as pid:
        yield Node(port, pid, token)
    assert "request-failed" not in log.read_text("utf-8")


@contextmanager
def serving(settings: dict[str, str], log: Path) -> Iterator[int]:
    """A node in a process group of its own, from when it answers until it has ended well."""
    with log.open("w") as said:
        process = subprocess.Popen(
            [*FEW_FILES, sys.executable, "-m", "app.cli.main", "serve"],
            env=environment(**settings),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
    watchdog = threading.Timer(START_LIMIT, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    try:
        assert process.stdout is not None
        assert "Setpoint answers at" in process.stdout.readline(), log.read_text("utf-8")
        watchdog.cancel()
        yield process.pid
        process.terminate()
        process.communicate(timeout=START_LIMIT)
        assert process.returncode == 0
    finally:
        watchdog.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def rest_of(client: socket.socket) -> bytes:
    """What comes until the other side closes. Fails when it does not."""
    found = b""
    with suppress(ConnectionError):  # closed as well, and what we had sent was thrown away
        while data := client.recv(65_536):
            found += data
    return found


def statuses(answered: bytes) -> list[int]:
    """The status of every answer; bodies here hold no status line."""
    return [int(part[:3]) for part in answered.split(b"HTTP/1.1 ")[1:]]


def wait_for_all_to_be_closed(clients: list[socket.socket]) -> list[bytes]:
    """What each of them is told before it is cut off."""
    told = [b""] * len(clients)
    deadline = time.monotonic() + LIMIT
    with selectors.DefaultSelector() as selector:
        for number, client in enumerate(clients):
            selector.register(client, selectors.EVENT_READ, number)
        while selector.get_map():
            assert time.monotonic() < deadline, f"{len(selector.get_map())} are still connected"
            for key, _ in selector.select(0.1):
                try:
                    data = clients[key.data].recv(65_536)
                except ConnectionError:
                    data = b""
                told[key.data] += data
                if not data:
                    selector.unregister(key.fileobj)
    return told


# ---- slow ----


def test_a39_500_slow_clients_stop_nobody_and_are_cut_off(node: Node) -> None:
    beginnings = [
        b"",
        b"GET /api/hea",
        LIVE[:-2],
        b"POST /api/settings HTTP/1.1\r\nContent-Length: 10\r\n\r\n{",
        node.head("Content-Length: 10") + b"{",
    ]
    with ExitStack() as stack:
        clients = []
        for number in range(500):
            clients.append(stack.enter_context(node.connect()))
            clients[-1].sendall(beginnings[number % len(beginnings)])

        for _ in range(20):
            node.require_well()
        told = wait_for_all_to_be_closed(clients)

    found = [{tuple(statuses(one)) for one in told[kind :: len(beginnings)]} for kind in range(len(beginnings))]
    assert found == [{()}, {()}, {()}, {(401,)}, {(408,)}]
    node.require_well()


def test_a39_the_head_has_to_be_there_in_time_however_it_comes(node: Node) -> None:
    with node.connect() as client:
        client.sendall(b"GET /api/health/live HTTP/1.1\r\n")
        began = time.monotonic()
        client.settimeout(0.1)  # seconds between two lines
        with suppress(ConnectionError):
            while time.monotonic() - began < LIMIT:
                client.sendall(b"X: y\r\n")
                with suppress(TimeoutError):
                    assert client.recv(100) == b""
                    break
        assert 0.8 * HEADER_SECONDS < time.monotonic() - began < LIMIT


def test_a39_a_body_that_trickles_is_answered_408_and_cut_off(node: Node) -> None:
    with node.connect() as client:
        client.sendall(node.head("Content-Length: 1000"))
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.1):
                try:
                    client.sendall(b" ")
                except OSError:
                    return

        sender = threading.Thread(target=trickle)
        sender.start()
        try:
            answer = HTTPResponse(client)
            answer.begin()
            problem = json.load(answer)
        finally:
            stop.set()
            sender.join()
        assert (answer.status, problem["code"], problem["instance"]) == (408, "request-timeout", SETTINGS)
        assert answer.headers["Connection"] == "close"
        assert answer.headers["Content-Type"] == "application/problem+json"
        for name, value in SECURITY_HEADERS:
            assert answer.headers[name.decode()] == value.decode()
        assert rest_of(client) == b""
    node.require_well()


def test_a39_a_body_is_not_waited_for_where_nobody_reads_it(node: Node) -> None:
    anonymous = b"POST /api/settings HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    got = node.head("Content-Length: 1000", method="GET", path="/api/auth/verify")
    began = time.monotonic()

    assert statuses(node.talk(anonymous)) == [401]
    assert statuses(node.talk(got)) == [200]

    assert time.monotonic() - began < LIMIT / 2


def test_a39_an_idle_connection_is_kept_for_a_while_and_no_longer(node: Node) -> None:
    with node.connect() as client:
        client.sendall(LIVE)
        answer = HTTPResponse(client)
        answer.begin()
        assert json.load(answer) == {"state": "up"}
        client.sendall(LIVE)
        assert statuses(rest_of(client)) == [200]


def test_a39_who_finds_no_place_is_let_in_once_there_is_one(node: Node) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(node.connect()) for _ in range(MAX_CONNECTIONS)]

        node.require_well()

        silent[0].setblocking(False)
        assert silent[0].recv(1) == b"", "the first had to go"


def test_a39_a_worker_may_open_a_file_for_every_connection(node: Node) -> None:
    """Granian asks its system for all that is to be had, when it is imported. It does not say so anywhere."""
    [worker, *_] = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
    [allowed] = re.findall(r"^Max open files +(\d+)", Path(f"/proc/{worker}/limits").read_text(), re.MULTILINE)

    assert int(allowed) > MAX_CONNECTIONS


# ---- crooked ----

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: setpoint.test\r\nX-Request-ID: smuggled\r\n\r\n"


def test_a39_of_two_ways_to_say_where_a_body_ends_neither_hides_a_request(node: Node) -> None:
    """Granian goes by Transfer-Encoding, hides Content-Length, and closes the connection (RFC 9112 section 6.1)."""
    for lines in (
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", f"Content-Length: {5 + len(SMUGGLED)}"),
        ("Content-Length: 0", "Transfer-Encoding: chunked"),
    ):
        answered = node.talk(node.head(*lines) + b"0\r\n\r\n" + SMUGGLED)

        assert statuses(answered) == [400], answered
        assert b"smuggled" not in answered
        node.require_well()


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5, 5",),
        ("Content-Length: 5, 6",),
        ("Content-Length: +5",),
        ("Content-Length: -5",),
        ("Content-Length: 0x5",),
        ("Content-Length: 5 5",),
        ("Content-Length: 99999999999999999999999",),
        ("Content-Length:",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: gzip",),
        ("Transfer-Encoding : chunked",),
        ("X: a\r\n b",),
        ("X: a\rb",),
        ("X\x00: a",),
        tuple("X: y" for _ in range(200)),
    ],
    ids=lambda lines: repr(lines[0]) + f"x{len(lines)}",
)
def test_a39_a_head_that_can_be_read_in_two_ways_is_refused(node: Node, lines: tuple[str, ...]) -> None:
    answered = node.talk(node.head(*lines) + b"{}{}{}" + SMUGGLED)

    assert len(statuses(answered)) <= 1
    assert all(400 <= status < 500 for status in statuses(answered)), answered
    assert b"smuggled" not in answered
    node.require_well()


def test_a39_a_length_that_is_given_twice_and_equal_is_one(node: Node) -> None:
    answered = node.talk(node.head("Content-Length: 2", "Content-Length: 2", "Connection: close") + b"{}")

    assert statuses(answered) == [400]
    assert b"malformed" in answered


@pytest.mark.parametrize(
    "body",
    [
        b"2;" + b"x" * 20_000 + b"\r\n{}\r\n0\r\n\r\n",
        b"2;" + b"x" * 1_000_000,
        (b"1;" + b"x" * 1_000 + b"\r\n \r\n") * 1_000,
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}xx0\r\n\r\n",
        b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 2_000 + b"\r\n",
    ],
    ids=["extension", "endless extension", "extensions", "no size", "negative", "huge", "no end", "trailers"],
)
def test_a39_chunks_that_are_none_are_refused(node: Node, body: bytes) -> None:
    answered = node.talk(node.head("Transfer-Encoding: chunked") + body)

    assert len(statuses(answered)) <= 1
    assert all(400 <= status < 500 for status in statuses(answered)), answered
    node.require_well()


def test_a39_a_body_that_breaks_off_changes_nothing(node: Node) -> None:
    body = b'{"scope":"TENANT","key":"any.thing","value":1}'
    for lines, sent in (
        ((f"Content-Length: {len(body) + 1}",), body),
        (("Transfer-Encoding: chunked",), b"%x\r\n%b\r\n" % (len(body), body)),
    ):
        with node.connect() as client:
            client.sendall(node.head(*lines) + sent)
            client.shutdown(socket.SHUT_WR)
            answered = rest_of(client)
        assert all(400 <= status < 500 for status in statuses(answered)), answered

    read = node.head("Connection: close", method="GET", path="/api/settings?scope=TENANT&key=any.thing")
    assert statuses(node.talk(read)) == [404]


def test_a39_requests_in_a_row_are_answered_in_order(node: Node) -> None:
    names = [f"r{number}" for number in range(50)]
    heads = [(f"X-Request-ID: {name}", "Connection: close" if name == names[-1] else "X: y") for name in names]

    answered = node.talk(b"".join(node.head(*lines, method="GET", path="/api/auth/verify") for lines in heads))

    assert statuses(answered) == [200] * len(names)
    lines = answered.decode().lower().split("\r\n")
    assert [line for line in lines if line.startswith("x-request-id")] == [f"x-request-id: {name}" for name in names]


@pytest.mark.parametrize(("size", "status"), [(40_000, 413), (200_000, 431), (5_000_000, 431)])
def test_a39_a_long_head_is_refused_and_a_very_long_one_before_it_is_read(node: Node, size: int, status: int) -> None:
    answered = node.talk(node.head("X: " + "y" * size, "Connection: close", method="GET", path="/api/auth/verify"))

    assert statuses(answered) in ([status], []), answered[:300]  # none where it was cut off while it was still sent
    node.require_well()


@pytest.mark.parametrize(
    "sent",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n" * 1_000,
        b"\x00",
    ],
    ids=["HTTP/2", "TLS", "empty lines", "NUL"],
)
def test_a39_another_protocol_is_cut_off(node: Node, sent: bytes) -> None:
    assert all(400 <= status < 500 for status in statuses(node.talk(sent)))
    node.require_well()
