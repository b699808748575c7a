"""
Issuers and their keys: whose tokens are believed, and what they are verified with.

Keys are fetched in the background and never while a request waits. A key set that cannot be fetched keeps the last
good one for `MAX_STALE_SECONDS`, then its issuer is believed no longer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec

from app.access import local_key
from app.config import Config
from app.kit.logs import get_logger

FETCH_SECONDS = 5.0  # how long one fetch of a key set may take
RETRY_SECONDS = 10.0  # how soon a failed fetch is tried again
MAX_STALE_SECONDS = 86_400.0  # how long the last good key set outlives its issuer
MAX_JWKS_BYTES = 102_400  # a key set is a few KiB; more is a mistake or an attack

_log = get_logger()


class KeySetError(Exception):
    """A key set cannot be used; the message says why."""


class Issuer:
    """One issuer: its name, its audience, and its keys by key id."""

    def __init__(self, name: str, *, audience: str, keys: Mapping[str, Any]) -> None:
        self.name = name
        self.audience = audience
        self._keys = keys
        self._fresh_until = float("inf")

    def key(self, key_id: str | None) -> Any | None:
        """The key of this id; without an id, the only key there is. None if it is unknown or too old."""
        if time.monotonic() > self._fresh_until:
            return None
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def renew(self, keys: Mapping[str, Any]) -> None:
        """Take a freshly fetched key set in place of the old one."""
        self._keys = keys
        self._fresh_until = time.monotonic() + MAX_STALE_SECONDS


@asynccontextmanager
async def open_issuers(config: Config) -> AsyncIterator[dict[str, Issuer]]:
    """The issuers of the configuration by name, their keys kept fresh while the block runs."""
    issuers: dict[str, Issuer] = {}
    tasks: list[asyncio.Task[None]] = []
    if config.local_issuer == "on":
        key = local_key.public_key(config.data_path)
        issuers[local_key.ISSUER] = Issuer(
            local_key.ISSUER, audience=local_key.AUDIENCE, keys={local_key.KEY_ID: ("EdDSA", key)}
        )
    if config.jwt_issuer is not None and config.jwt_audience is not None and config.jwks is not None:
        issuer = Issuer(config.jwt_issuer, audience=config.jwt_audience, keys={})
        issuers[config.jwt_issuer] = issuer
        fetched = await _renew(issuer, config.jwks)
        tasks.append(asyncio.create_task(_keep_fresh(issuer, config.jwks, config.jwks_ttl_seconds, fetched=fetched)))
    try:
        yield issuers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_fresh(issuer: Issuer, source: str, ttl_seconds: float, *, fetched: bool) -> None:
    while True:
        await asyncio.sleep(0.8 * ttl_seconds if fetched else RETRY_SECONDS)
        fetched = await _renew(issuer, source)


async def _renew(issuer: Issuer, source: str) -> bool:
    try:
        issuer.renew(parse_jwks(await _fetch(source)))
    except (OSError, httpx.HTTPError, KeySetError) as error:
        _log.error("jwks-unavailable", issuer=issuer.name, source=source, error=str(error)[:300])
        return False
    return True


async def _fetch(source: str) -> bytes:
    if not source.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        return await asyncio.to_thread(_read_file, Path(source))
    async with (
        httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as client,
        client.stream("GET", source) as response,
    ):
        response.raise_for_status()
        body = b""
        async for chunk in response.aiter_bytes():
            body += chunk
            _require_short(body)
        return body


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        body = file.read(MAX_JWKS_BYTES + 1)
    _require_short(body)
    return body


def _require_short(body: bytes) -> None:
    if len(body) > MAX_JWKS_BYTES:
        raise KeySetError(f"the key set is longer than {MAX_JWKS_BYTES} bytes")


def parse_jwks(document: bytes) -> dict[str, Any]:
    """
    The usable signing keys of a JWKS (RFC 7517) by their ids, each with the one algorithm it serves.

    Keys for encryption and of other types are left out, and so is a second key of one id: which of two signed a token
    must not be guessed. Raises KeySetError if none remain.
    """
    try:
        keys = msgspec.json.decode(document)["keys"]
        found: dict[str, Any] = {}
        for key in keys:
            usable = _usable(key)
            if usable is not None:
                found.setdefault(str(key.get("kid", "")), usable)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise KeySetError("the document is no JWKS") from error
    if not found:
        raise KeySetError("the key set holds no key for EdDSA, ES256 or RS256 signatures")
    return found


def _usable(key: dict[str, Any]) -> tuple[str, Any] | None:
    algorithm = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256", ("RSA", None): "RS256"}.get(
        (str(key.get("kty")), None if key.get("crv") is None else str(key["crv"]))
    )
    if algorithm is None or key.get("use", "sig") != "sig" or key.get("alg", algorithm) not in (algorithm, "Ed25519"):
        return None
    try:
        return algorithm, jwt.PyJWK(key, algorithm=algorithm).key
    except jwt.PyJWTError:
        return None
