"""Two real workers behind one port: what one of them wrote, the other one answers with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.config import Config
from tests.guarantees.node import Node, node
from tests.guarantees.workers import PATIENCE
from tests.world import PRINCIPALS, make, match

pytestmark = pytest.mark.anyio

CONNECTIONS = 12  # each is one worker's; that all are the same one's happens once in two thousand runs, and proves less
READ = "/api/settings/effective"


@pytest.fixture
def serving(db: object, database_url: str, app_url: str, tmp_path: Path, config: Config) -> Iterator[Node]:
    del db
    urls = {"DATABASE_URL": app_url, "OWNER_DATABASE_URL": database_url, "REDIS_URL": str(config.redis_url)}
    with node(tmp_path / "data", WORKERS="2", **urls) as one:
        yield one
        one.stop()


async def theme(client: httpx.AsyncClient, **headers: str) -> str:
    answer = await client.get("/api/settings/effective", headers=headers)
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["values"]["ui.theme"]
    return found


async def until_all_see(clients: list[httpx.AsyncClient], value: str) -> None:
    async with asyncio.timeout(PATIENCE):
        for client in clients:
            while await theme(client) != value:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.005)


async def test_a_write_to_one_worker_is_seen_by_the_other(serving: Node) -> None:
    clients = [serving.client(PRINCIPALS["admin"]) for _ in range(CONNECTIONS)]
    try:
        made = await make(clients[0], "ui.theme", "dark")
        await until_all_see(clients, "dark")
        body, path = {"value": "auto"}, f"/api/settings/{made['id']}"
        changed = await clients[0].put(path, json=body, headers=match(made))
        assert changed.status_code == 200
        newest = {"Setpoint-Min-Position": changed.headers["Setpoint-Position"]}

        assert {await theme(client, **newest) for client in clients} == {"auto"}
        await until_all_see(clients, "auto")
        assert {await theme(client) for client in clients} == {"auto"}
    finally:
        await serving.hang_up()
