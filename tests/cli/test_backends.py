"""What is said about a PostgreSQL, a Redis or a port that a node cannot use."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli import backends as module
from app.cli.backends import backends
from app.cli.errors import UNREACHABLE, USAGE, CommandFailed
from app.cli.port import held_port
from app.config import Config
from app.embedded import embedded_servers


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def refusal(config: Config) -> CommandFailed:
    with pytest.raises(CommandFailed) as caught, backends(config, announce=print):
        pass
    return caught.value


def test_a_postgresql_that_says_nothing_is_not_waited_for_without_limit(silent: int) -> None:
    url = f"postgresql://somebody:hunter2@127.0.0.1:{silent}/none"

    failed = refusal(Config(database_url=url, connect_timeout_seconds=0.1))

    assert failed.code == UNREACHABLE
    assert "has not answered within 0.1 s" in str(failed)
    assert "hunter2" not in str(failed)


def test_a_postgresql_that_is_too_old_is_named_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OLDEST_POSTGRES", 990_000)
    with embedded_servers(tmp_path / "data", need_valkey=False, durable=False, announce=print) as servers:
        failed = refusal(Config(database_url=servers.database_url))

    assert failed.code == UNREACHABLE
    assert "PostgreSQL 18 is too old" in str(failed)


def test_something_that_is_no_redis_url_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    assert refusal(Config(redis_url="http://127.0.0.1", data_dir=str(tmp_path / "data"))).code == USAGE


def test_a_data_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    assert "is a file" in str(refusal(Config(data_dir=str(tmp_path / "data"))))


def test_a_redis_that_says_nothing_is_mentioned_and_done_without(
    tmp_path: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fine(url: str, *, timeout: float) -> None:  # noqa: ASYNC109
        del url, timeout

    monkeypatch.setattr(module, "_require_postgres", fine)
    url = f"redis://127.0.0.1:{silent}"
    said: list[str] = []

    config = Config(
        database_url="postgresql:///x", redis_url=url, data_dir=str(tmp_path / "data"), connect_timeout_seconds=0.1
    )
    with backends(config, announce=said.append) as resolved:
        assert resolved.redis_url == url

    assert len(said) == 1
    assert "serving without it" in said[0]


def test_a_port_is_held_against_a_second_node_and_given_back(silent: int) -> None:
    with pytest.raises(CommandFailed, match="is in use"), held_port("127.0.0.1", silent):
        pass
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with (
        held_port("127.0.0.1", port),
        pytest.raises(CommandFailed, match=f"Port {port} .* choose another"),
        held_port("127.0.0.1", port),
    ):
        pass
    with held_port("127.0.0.1", port):
        pass


@pytest.mark.parametrize("host", ["192.0.2.1", "no host"])
def test_an_address_that_is_not_ours_is_a_fault_of_the_configuration(host: str) -> None:
    with pytest.raises(CommandFailed) as caught, held_port(host, 8080):
        pass
    assert caught.value.code == USAGE
