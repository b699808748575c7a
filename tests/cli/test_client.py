"""A node that is away, slow or something else is said in one sentence, within the time there is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from app.cli.client import Client
from app.cli.credential import is_loopback
from app.cli.errors import CONFLICT, REFUSED, UNREACHABLE, USAGE, CommandFailed
from app.cli.problem import Refusal, exit_code_of

Speak = Callable[[socket.socket], None]


@contextmanager
def server(speak: Speak) -> Iterator[str]:
    """Something that listens and answers one request in its own way."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            speak(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def answer(status: str, body: str, *headers: str) -> Speak:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body]
    return lambda connection: connection.sendall("\r\n".join(lines).encode())


def failure(url: str, timeout: float = 10) -> CommandFailed:
    client = Client(url, timeout=timeout, find_token=lambda host: None)
    with pytest.raises(CommandFailed) as caught:
        client.get("/api/health")
    client.close()
    return caught.value


def test_a_node_that_is_not_there_is_unreachable() -> None:
    failed = failure("http://127.0.0.1:1")

    assert failed.code == UNREACHABLE
    assert "http://127.0.0.1:1 cannot be reached: Connection refused" in str(failed)


def test_a_node_that_says_nothing_is_not_waited_for_without_limit() -> None:
    over = threading.Event()
    with server(lambda connection: over.wait(10) and None) as url:
        failed = failure(url, timeout=0.1)
        over.set()

    assert failed.code == UNREACHABLE
    assert "has not answered within 0.1 s" in str(failed)


def test_a_node_that_sends_a_byte_now_and_then_is_not_waited_for_either() -> None:
    over = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not over.wait(0.05):
            try:
                connection.sendall(b" ")
            except OSError:
                return

    with server(trickle) as url:
        failed = failure(url, timeout=0.3)
        over.set()

    assert "has not answered within 0.3 s" in str(failed)


def test_an_answer_that_is_cut_short_is_unreachable() -> None:
    with server(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")) as url:
        assert failure(url).code == UNREACHABLE


def test_something_that_is_no_node_is_suspected() -> None:
    with server(answer("200 OK", "<html>", "Content-Type: text/html")) as url:
        failed = failure(url)

    assert failed.code == UNREACHABLE
    assert "text/html that is no JSON; is it a Setpoint node?" in str(failed)


def test_a_redirection_is_told_and_not_followed() -> None:
    with server(answer("308 Permanent Redirect", "", "Location: https://elsewhere")) as url:
        failed = failure(url)

    assert failed.code == UNREACHABLE
    assert "It points to https://elsewhere" in str(failed)


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:8080", "http://", "http://x:99999", "http://x?y"])
def test_what_is_no_url_of_a_node_is_a_usage_error(url: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        Client(url, timeout=1, find_token=lambda host: None)
    assert caught.value.code == USAGE


@pytest.mark.parametrize(
    ("code", "statuses"),
    [(CONFLICT, (409, 412, 428)), (REFUSED, (400, 401, 403, 404, 413, 422, 429)), (UNREACHABLE, (302, 500, 503))],
)
def test_each_kind_of_no_has_its_exit_code(code: int, statuses: tuple[int, ...]) -> None:
    assert {exit_code_of(status) for status in statuses} == {code}


def test_a_problem_is_told_with_every_member_at_fault() -> None:
    body = {
        "title": "Refused.",
        "detail": "Two things.",
        "errors": [
            {"pointer": "#/value", "code": "a", "detail": "too big"},
            {"pointer": "#/x", "code": "b", "detail": "\x1b[31mred", "scope": "TERRITORY/acme/DE"},
        ],
    }

    refusal = Refusal.of(422, {}, body, url="http://x")

    assert refusal.lines == [
        "Refused. Two things.",
        "  #/value: too big",
        "  TERRITORY/acme/DE #/x: \\x1b[31mred",
    ]


def test_a_conflict_tells_the_tag_to_use_and_a_stranger_how_to_sign_in() -> None:
    assert 'tag "v7" now' in str(Refusal.of(412, {"etag": '"v7"'}, {"title": "Changed."}, url="http://x"))
    assert "export SETPOINT_TOKEN=$(" in str(Refusal.of(401, {}, {"title": "Who?"}, url="http://x"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_the_local_key_vouches_before_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "localhost.example.org", "example.org"])
def test_the_local_key_vouches_before_nobody_else(host: str) -> None:
    assert not is_loopback(host)
