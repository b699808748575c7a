"""Every kind of Redis URL leads to a Redis: one server, one behind Sentinels, a cluster."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.config import Config
from app.domain.scope import Level, Scope
from app.embedded.valkey import _binary
from app.kit.redis_client import RedisClient, open_redis
from app.log.trail import Mark, Trail
from app.settings.cache.codec import Codec
from app.settings.cache.counters import Counters, Losses
from app.settings.cache.shared import Shared
from tests.settings.cache.test_codec import entry
from tests.valkey import Valkey

pytestmark = pytest.mark.anyio

LIMIT = 20.0  # seconds for what takes a few tenths of one
CONFIG = Config(redis_timeout_seconds=2.0)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def server(*arguments: str) -> Iterator[int]:
    """A Valkey on a port of loopback."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="setpoint-valkey-") as folder:
        conf = Path(folder, "valkey.conf")
        conf.write_text(f'port {port}\nbind 127.0.0.1\nsave ""\n' + "\n".join(arguments) + "\n")
        sentinel = ["--sentinel"] if any(one.startswith("sentinel ") for one in arguments) else []
        process = subprocess.Popen([str(_binary()), str(conf), *sentinel], cwd=folder, stdout=subprocess.DEVNULL)
        try:
            yield port
        finally:
            process.kill()
            process.wait(LIMIT)


async def says(port: int, *command: str, until: str = "") -> Any:
    """What a server answers, once it answers so."""
    client = Redis(host="127.0.0.1", port=port)
    try:
        async with asyncio.timeout(LIMIT):
            while True:
                try:
                    answer = await client.execute_command(*command)
                except RedisError:
                    answer = None
                if answer is not None and until in str(answer):
                    return answer
                await asyncio.sleep(0.05)
    finally:
        await client.aclose()


@asynccontextmanager
async def one_server(valkey: Valkey) -> AsyncIterator[str]:
    yield valkey.url


@asynccontextmanager
async def behind_sentinels(valkey: Valkey) -> AsyncIterator[str]:
    del valkey
    with server() as primary:
        await says(primary, "PING")
        with server(f"sentinel monitor setpoint 127.0.0.1 {primary} 1") as watcher:
            await says(watcher, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "setpoint", until=str(primary))
            yield f"redis+sentinel://127.0.0.1:{watcher}/setpoint/0"


@asynccontextmanager
async def cluster(valkey: Valkey) -> AsyncIterator[str]:
    del valkey
    with server("cluster-enabled yes", f"cluster-port {free_port()}") as port:
        await says(port, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        await says(port, "CLUSTER", "INFO", until="cluster_state:ok")
        yield f"redis+cluster://127.0.0.1:{port}"


KINDS = {"one server": one_server, "sentinel": behind_sentinels, "cluster": cluster}


@pytest.mark.parametrize("kind", KINDS)
async def test_entries_are_written_and_read(valkey: Valkey, kind: str) -> None:
    async with KINDS[kind](valkey) as url, open_redis(url, config=CONFIG) as client:
        shared = shared_tier(client)
        scopes = [Scope(Level.ACCOUNT, "acme", f"{kind}{number}") for number in range(20)]
        for number, scope in enumerate(scopes):
            one = entry()
            one.scope, one.path = scope, scope.path
            name = shared._codec.name(scope)
            assert await shared._eval(name, shared._codec.seal(name, one), 60) == 1, number

        found = await shared.get("acme", scopes, trail())

        assert [found[scope].path for scope in scopes] == [scope.path for scope in scopes]
        await shared.close()


def shared_tier(client: RedisClient) -> Shared:
    return Shared(
        client,
        codec=Codec(b"secret"),
        counters=Counters(),
        losses=Losses(),
        deadline_seconds=5.0,
        ttl_seconds=60,
    )


def trail() -> Trail:
    made = Trail(remembered=100)
    made.extend((position, Mark(position), "x") for position in range(1, 10))  # type: ignore[misc]
    return made


@pytest.mark.parametrize(
    "url", ["http://localhost", "redis+sentinel://localhost", "redis+sentinel:///service", "nonsense"]
)
async def test_what_is_no_such_url_is_said_so(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        async with open_redis(url, config=CONFIG):
            pass
