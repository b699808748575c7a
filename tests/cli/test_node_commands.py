"""Commands about a node rather than its settings, and how commands end when they are not let finish."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.cli.checks import check_node
from app.cli.client import Client
from app.kit.migrations import known_ids
from tests.cli.conftest import LIMIT, ROOT, DemoNode, Setpoint, environment
from tests.embedded.conftest import living


def where(node: DemoNode) -> dict[str, str]:
    return {"SETPOINT_PORT": str(node.port), "SETPOINT_DATA_DIR": str(node.data_path)}


def states(ran_json: list[dict[str, str]]) -> dict[str, str]:
    return {one["check"]: one["state"] for one in ran_json}


def test_the_doctor_finds_nothing_wrong_with_a_node_that_runs(setpoint: Setpoint) -> None:
    ran = setpoint("doctor")

    assert (ran.code, ran.err) == (0, "All is well.\n")
    assert [line.split("  ")[0] for line in ran.out.splitlines()[1:]] == [
        "configuration",
        "data folder",
        "development key",
        "PostgreSQL",
        "migrations",
        "Redis",
        "node",
    ]


def test_the_doctor_says_what_is_not_there(offline: Setpoint, tmp_path: Path) -> None:
    ran = offline("doctor", "-o", "json", SETPOINT_PROT="1")

    assert ran.code == 1
    assert states(ran.json) == {
        "configuration": "warn",
        "data folder": "warn",
        "development key": "warn",
        "PostgreSQL": "warn",
        "Redis": "warn",
        "node": "fail",
    }
    assert not (tmp_path / "data").exists()


def test_the_doctor_says_which_server_does_not_answer(offline: Setpoint) -> None:
    ran = offline(
        *("doctor", "-o", "json"),
        SETPOINT_DATABASE_URL="postgresql://x@127.0.0.1:1/x",
        SETPOINT_REDIS_URL="redis://127.0.0.1:1",
    )

    found = states(ran.json)
    assert (ran.code, found["PostgreSQL"], found["Redis"]) == (1, "fail", "warn")
    assert "migrations" not in found


def test_the_doctor_says_that_a_configuration_cannot_be_followed(offline: Setpoint) -> None:
    ran = offline("doctor", SETPOINT_WORKERS="many")

    assert ran.code == 1
    assert "SETPOINT_WORKERS cannot be used" in ran.out


def test_the_doctor_says_that_others_may_use_the_key(offline: Setpoint, tmp_path: Path) -> None:
    offline("token", "--role", "platform_admin")
    (tmp_path / "data" / "development-key.pem").chmod(0o644)

    assert states(offline("doctor", "-o", "json").json)["development key"] == "fail"


def test_a_database_is_brought_up_to_date_and_back_without_a_node(offline: Setpoint, tmp_path: Path) -> None:
    assert offline("migrate", "--check").code == 1

    forwards = offline("migrate")
    assert forwards.code == 0
    assert forwards.out == ""
    assert all(f"{one} applied" in forwards.err for one in known_ids())
    assert offline("migrate").err.endswith("Nothing to do.\n")
    assert offline("migrate", "--check").code == 0
    undone = offline("migrate", "--down-to", "all")
    assert all(f"{one} undone" in undone.err for one in known_ids())
    assert offline("migrate", "--check").code == 1
    assert living(tmp_path / "data") == set()


@pytest.mark.parametrize(
    ("arguments", "url", "code"),
    [
        (("migrate",), "postgresql://x@127.0.0.1:1/x", 3),
        (("migrate", "--check"), "postgresql://x@127.0.0.1:1/x", 3),
        (("migrate", "--check"), "mysql://x", 2),
        (("migrate", "--down-to", "never"), "", 2),
        (("migrate", "--down-to", "all", "--check"), "", 2),
    ],
)
def test_a_database_that_cannot_be_migrated_is_said(
    offline: Setpoint, arguments: tuple[str, ...], url: str, code: int
) -> None:
    ran = offline(*arguments, SETPOINT_DATABASE_URL=url)

    assert ran.code == code
    assert "Traceback" not in ran.err


def test_no_node_is_code_3_with_or_without_a_credential(offline: Setpoint) -> None:
    assert offline("get", "ui.theme").code == 3
    assert offline("get", "ui.theme", SETPOINT_TOKEN="x").code == 3
    assert offline("get", "ui.theme", "--url", "http://no-such-host.invalid").code == 3


@pytest.mark.parametrize(
    ("arguments", "env"),
    [(("serve", "--port", "0"), {}), (("serve", "--workers", "x"), {}), (("get", "x"), {"SETPOINT_PORT": "x"})],
)
def test_a_configuration_that_cannot_be_followed_is_code_2(
    offline: Setpoint, arguments: tuple[str, ...], env: dict[str, str]
) -> None:
    ran = offline(*arguments, **env)

    assert ran.code == 2
    assert ran.err.startswith("SETPOINT_")


def test_names_that_only_the_command_line_knows_are_no_mistake(setpoint: Setpoint, demo_node: DemoNode) -> None:
    ran = setpoint("get", "currency", "--tenant", "acme", SETPOINT_URL=f"http://localhost:{demo_node.port}")

    assert (ran.code, ran.err) == (0, "")


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(demo_node: DemoNode) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        [sys.executable, "-m", "app.cli.main", "definitions", "list", "-o", "json"],
        env=environment(**where(demo_node)),
        cwd=ROOT,
        stdout=writes,
        stderr=subprocess.PIPE,
        timeout=LIMIT,
        check=False,
    )
    os.close(writes)

    assert (done.returncode, done.stderr) == (141, b"")


def test_ctrl_c_ends_a_command_quietly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli.main", "get", "ui.theme"],
            env=environment(SETPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}", SETPOINT_TOKEN="x"),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        silent.settimeout(LIMIT)
        connection, _ = silent.accept()  # it waits for us now
        with connection:
            process.send_signal(signal.SIGINT)
            shown, said = process.communicate(timeout=LIMIT)

    assert process.returncode == 130
    assert (shown, said.strip()) == (b"", b"")


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_only_a_terminal_gets_colours_and_only_if_it_wants_them(
    demo_node: DemoNode, env: dict[str, str], coloured: bool
) -> None:
    main, other = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "app.cli.main", "explain", "currency", "--tenant", "acme"],
        env=environment(TERM="xterm", **where(demo_node)) | env,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=other,
        check=True,
        timeout=LIMIT,
    )
    os.close(other)
    shown = os.read(main, 65_536)
    os.close(main)

    assert b"DEFAULT" in shown
    assert (b"\x1b[" in shown) is coloured


@pytest.mark.parametrize("token", ["two words", "s3cret\nX-Other: 1", "s3crét"])
def test_a_token_that_cannot_be_sent_is_not_shown(offline: Setpoint, token: str) -> None:
    ran = offline("get", "ui.theme", SETPOINT_TOKEN=token)

    assert (ran.code, ran.err) == (2, "SETPOINT_TOKEN should hold one token and nothing else.\n")


def test_the_doctor_knows_a_node_from_something_else() -> None:
    body = b'{"status": "ok"}'

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=[listener])
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = Client(url, timeout=LIMIT, find_token=lambda host: None)
        found = check_node(client)
        client.close()
        thread.join(LIMIT)

    assert (found.state, found.detail) == ("fail", f"{url} answers, but not as a Setpoint node does.")
