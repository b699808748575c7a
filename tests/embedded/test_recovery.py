"""After `kill -9` of anything the next start works, and counts nobody who is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from app.embedded import embedded_servers
from tests.embedded.conftest import Node, kill_server, living, pid_of

StartNode = Callable[[Path], Node]


async def connect(url: str | None) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    await connection.close()


def test_servers_of_a_killed_node_are_adopted_and_stop_with_the_next_one(
    data_path: Path, start_node: StartNode
) -> None:
    node = start_node(data_path)
    node.urls()
    before = pid_of(data_path, "postgres")
    node.kill()
    assert living(data_path) == {"postgres", "valkey"}

    with embedded_servers(data_path, announce=print) as servers:
        asyncio.run(connect(servers.database_url))
        assert pid_of(data_path, "postgres") == before
    assert living(data_path) == set()


@pytest.mark.parametrize("killed", [("postgres",), ("valkey",), ("postgres", "valkey")])
def test_a_killed_server_is_started_again(data_path: Path, start_node: StartNode, killed: tuple[str, ...]) -> None:
    node = start_node(data_path)
    urls = node.urls()
    for name in killed:
        kill_server(data_path, name)
    node.kill()

    with embedded_servers(data_path, announce=print) as servers:
        asyncio.run(connect(servers.database_url))
        assert living(data_path) == {"postgres", "valkey"}
        assert [servers.database_url, servers.redis_url] == urls
    assert living(data_path) == set()


def test_a_second_node_revives_a_killed_postgres_while_the_first_still_lives(
    data_path: Path, start_node: StartNode
) -> None:
    """The dead server is a zombie of the first node then, and PostgreSQL takes a zombie's pid for a living server."""
    first = start_node(data_path)
    first.urls()
    kill_server(data_path, "postgres")
    second = start_node(data_path)

    asyncio.run(connect(second.urls()[0]))
    assert first.leave() == 0
    assert second.leave() == 0
    assert living(data_path) == set()


def test_a_cluster_that_was_half_made_is_made_again(data_path: Path) -> None:
    (data_path / "postgres.unfinished" / "base").mkdir(parents=True)

    with embedded_servers(data_path, need_valkey=False, durable=False, announce=print) as servers:
        asyncio.run(connect(servers.database_url))
    assert not (data_path / "postgres.unfinished").exists()


def test_a_pid_that_now_belongs_to_someone_else_is_not_believed(data_path: Path, start_node: StartNode) -> None:
    node = start_node(data_path)
    node.urls()
    kill_server(data_path, "postgres")
    kill_server(data_path, "valkey")
    pid_file = data_path / "postgres" / "postmaster.pid"
    lines = pid_file.read_text("utf-8").split("\n")
    pid_file.write_text("\n".join([str(node.process.pid), *lines[1:]]), "utf-8")

    with embedded_servers(data_path, announce=print) as servers:
        asyncio.run(connect(servers.database_url))
    assert node.process.poll() is None
