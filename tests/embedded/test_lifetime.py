"""The first node starts the servers, the last one stops them."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import redis

from app.embedded import embedded_servers
from tests.embedded.conftest import Node, living

StartNode = Callable[[Path], Node]


async def ask_postgres(url: str, question: str) -> object:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def ask_valkey(url: str, name: str) -> object:
    client = redis.Redis.from_url(url, decode_responses=True)
    try:
        return client.config_get(name)[name]
    finally:
        client.close()


def test_both_servers_run_inside_the_block_and_not_after_it(data_path: Path) -> None:
    with embedded_servers(data_path, durable=False, announce=print) as servers:
        inside = living(data_path)
        database = asyncio.run(ask_postgres(str(servers.database_url), "SELECT current_database()"))

    assert inside == {"postgres", "valkey"}
    assert database == "setpoint"
    assert living(data_path) == set()


def test_only_the_server_that_is_needed_is_started(data_path: Path) -> None:
    with embedded_servers(data_path, need_postgres=False, announce=print) as servers:
        assert living(data_path) == {"valkey"}
        assert servers.database_url is None
    assert not (data_path / "postgres").exists()


def test_the_servers_have_no_port_and_only_their_owner_may_enter(data_path: Path) -> None:
    with embedded_servers(data_path, durable=False, announce=print) as servers:
        sockets = data_path / "sockets"
        assert asyncio.run(ask_postgres(str(servers.database_url), "SHOW listen_addresses")) == ""
        assert ask_valkey(str(servers.redis_url), "port") == "0"
        assert ask_valkey(str(servers.redis_url), "maxmemory-policy") == "allkeys-lfu"
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700


def test_a_second_node_joins_and_the_last_one_out_stops_both(data_path: Path, start_node: StartNode) -> None:
    first = start_node(data_path)
    urls = first.urls()
    second = start_node(data_path)
    assert second.urls() == urls

    assert first.leave() == 0
    assert living(data_path) == {"postgres", "valkey"}
    assert second.leave() == 0
    assert living(data_path) == set()


def test_nodes_that_start_at_once_share_one_pair_of_servers(data_path: Path, start_node: StartNode) -> None:
    nodes = [start_node(data_path) for _ in range(3)]

    assert len({tuple(node.urls()) for node in nodes}) == 1
    assert [node.leave() for node in nodes] == [0, 0, 0]
    assert living(data_path) == set()


def test_what_was_written_is_there_after_a_restart(data_path: Path) -> None:
    with embedded_servers(data_path, need_valkey=False, announce=print) as servers:
        asyncio.run(ask_postgres(str(servers.owner_database_url), "CREATE TABLE kept ()"))
    with embedded_servers(data_path, need_valkey=False, announce=print) as servers:
        assert asyncio.run(ask_postgres(str(servers.owner_database_url), "SELECT count(*) FROM kept")) == 0


@pytest.mark.parametrize("name", ["x" * 120, "with space, comma é"])
def test_a_path_too_long_or_odd_for_a_socket_gets_one_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, start_node: StartNode
) -> None:
    path = tmp_path / name
    monkeypatch.setattr("tempfile.tempdir", "/tmp")

    with embedded_servers(path, durable=False, announce=print) as servers:
        socket_dir = Path(str(servers.redis_url).removeprefix("unix://")).parent
        assert asyncio.run(ask_postgres(str(servers.database_url), "SELECT 1")) == 1
        second = start_node(path)
        assert second.urls() == [servers.database_url, servers.redis_url]
        assert second.leave() == 0

    assert living(path) == set()
    assert not socket_dir.exists()
