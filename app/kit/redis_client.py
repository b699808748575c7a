"""
Redis over redis-py, with every default that waits turned off.

Left alone, redis-py 8 waits 5 s and tries eleven times: a hung Redis would cost a request the better part of a
minute. Here a call has one short deadline and no retry; whoever calls has PostgreSQL to fall back on.

    redis://host:6379/0   rediss://…   unix:///path      one server
    redis+sentinel://a:26379,b:26379/service/0           the primary that these Sentinels name
    redis+cluster://host:6379                            a Redis Cluster, found by one of its nodes

With `rediss+…` the last two speak TLS.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry  # the asyncio one: redis.retry.Retry is accepted here and silently disables it
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from app.config import Config

RedisClient: TypeAlias = Redis | RedisCluster

SENTINEL, CLUSTER = "+sentinel", "+cluster"
SENTINEL_PORT = 26379


@asynccontextmanager
async def open_redis(url: str, *, config: Config) -> AsyncIterator[RedisClient]:
    """
    A client that is closed when the block ends. Nothing is connected before the first call.

    Raises ValueError for what is no such URL.
    """
    client, helpers = _clients(url, timeout=config.redis_timeout_seconds)
    try:
        yield client
    finally:
        await _close(client, *helpers)


async def ping(url: str, *, timeout_seconds: float) -> None:
    """Ask whether it is there. Raises ValueError for what is no such URL, RedisError or OSError when it is not."""
    client, helpers = _clients(url, timeout=timeout_seconds)
    try:
        await cast(Awaitable[Any], client.ping())
    finally:
        await _close(client, *helpers)


async def _close(*clients: RedisClient) -> None:
    for client in clients:
        await client.aclose()


def _clients(url: str, *, timeout: float) -> tuple[RedisClient, list[Redis]]:
    """The client, and those that it asks where its server is."""
    options: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    scheme = urlsplit(url).scheme
    if scheme.endswith(CLUSTER):
        # One retry: a node answers MOVED once when a slot has been given to another. The caller's deadline holds.
        plain = url.replace(CLUSTER, "", 1)
        return RedisCluster.from_url(plain, retry=Retry(NoBackoff(), 1), **options), []
    # One extra command per connect, for servers that announce their own maintenance.
    options |= {"retry": Retry(NoBackoff(), 0), "maint_notifications_config": MaintNotificationsConfig(enabled=False)}
    if scheme.endswith(SENTINEL):
        return _of_sentinels(url, options)
    return Redis.from_url(url, **options), []


def _of_sentinels(url: str, options: dict[str, Any]) -> tuple[Redis, list[Redis]]:
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    if not hosts or not service:
        raise ValueError("a Sentinel URL names Sentinels and a service: redis+sentinel://host:26379/service")
    options = options | {"db": int(database or 0), "ssl": parts.scheme.startswith("rediss")}
    if credentials:
        options |= {"username": unquote(user) or None, "password": unquote(password)}
    timeouts = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")}
    addresses = [_address(host) for host in hosts.split(",")]
    sentinels = Sentinel(addresses, sentinel_kwargs=timeouts, **options)  # type: ignore[no-untyped-call]
    return cast(Redis, sentinels.master_for(service)), list(sentinels.sentinels)


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "", parts.port or SENTINEL_PORT
