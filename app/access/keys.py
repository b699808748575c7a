"""
Issuers and their keys: whose tokens are believed, and what they are verified with.

Keys are fetched in the background and never while a request waits. Each issuer has one task, so no two fetches of its
keys overlap: it fetches at 0.8 of their time to live, and sooner when a token names a key that nobody knows, at most
once in `COOLDOWN_SECONDS`. A key set that cannot be fetched keeps the last good one for a while
(`jwks_max_stale_seconds`), then its issuer is believed no longer.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec

from app.access import local_key
from app.access.claims import ClaimNames
from app.access.issuers import IssuerEntry, issuer_entries
from app.config import Config
from app.kit.logs import get_logger
from app.kit.tasks import end

FETCH_SECONDS = 5.0  # how long one fetch of a key set may take, from connecting to its last byte
RETRY_SECONDS = 10.0  # how soon a failed fetch is tried again
COOLDOWN_SECONDS = 30.0  # how soon after a fetch an unknown key id may cause another
MAX_STALE_SECONDS = 86_400.0  # how long the last good key set outlives its issuer, unless the configuration says
MAX_UNKNOWN_KEY_IDS = 1_000  # remembered per issuer; each of them causes one fetch at most while it is
MAX_JWKS_BYTES = 102_400  # a key set is a few KiB; more is a mistake or an attack

# An Ed25519 key serves one algorithm that has two names: RFC 9864 renamed EdDSA, which most issuers still write.
NAMES_OF = {"EdDSA": ("EdDSA", "Ed25519"), "ES256": ("ES256",), "RS256": ("RS256",)}
_ALGORITHM_OF = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256", ("RSA", None): "RS256"}
jwt.register_algorithm("Ed25519", jwt.algorithms.OKPAlgorithm())

_log = get_logger()


class KeySetError(Exception):
    """A key set cannot be used; the message says why."""


class Issuer:
    """
    One issuer: what it may say, and its keys by key id.

    `fetches`, `failures` and `unknown_key_ids` count since the start.
    """

    def __init__(
        self,
        name: str,
        *,
        audience: str,
        keys: Mapping[str, Any],
        entry: IssuerEntry | None = None,
        max_stale_seconds: float = MAX_STALE_SECONDS,
    ) -> None:
        self.name = name
        self.audience = audience
        self.typ = None if entry is None else entry.typ
        self.claims = ClaimNames() if entry is None else entry.claims
        self.tenants = None if entry is None else entry.tenants
        self.roles = None if entry is None else entry.roles
        self.fetches = 0
        self.failures = 0
        self.unknown_key_ids = 0
        self.wanted = asyncio.Event()  # set when a fetch may find a key that was asked for
        self._algorithms = None if entry is None else {_canonical(one) for one in entry.algorithms}
        self._max_stale = max_stale_seconds
        self._keys = keys
        self._fresh_until = float("inf")
        self._fetched_at = float("-inf")
        self._missing: OrderedDict[str, None] = OrderedDict()

    def key(self, key_id: str | None) -> Any | None:
        """The key of this id; without an id, the only key there is. None if it is unknown or too old."""
        if time.monotonic() > self._fresh_until:
            return None
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def miss(self, key_id: object) -> None:
        """
        Note that a token named a key that is not there, and have the keys fetched if that may help.

        The request that brought the token has been refused; it does not wait. An id that was asked for already causes
        no other fetch, nor does any within the cooldown: whoever invents ids makes nobody busy.
        """
        self.unknown_key_ids += 1
        if not isinstance(key_id, str) or key_id in self._missing:
            return
        if time.monotonic() - self._fetched_at < COOLDOWN_SECONDS:
            return
        self._missing[key_id] = None
        if len(self._missing) > MAX_UNKNOWN_KEY_IDS:
            self._missing.popitem(last=False)
        self.wanted.set()

    def renew(self, keys: Mapping[str, Any]) -> None:
        """
        Take a freshly fetched key set in place of the old one.

        A key that is in both stays the same object, by which a verified token knows that it still counts.
        """
        allowed = {
            key_id: key for key_id, key in keys.items() if self._algorithms is None or key[0] in self._algorithms
        }
        self._keys = {key_id: _same(self._keys.get(key_id), key) for key_id, key in allowed.items()}
        self._fresh_until = time.monotonic() + self._max_stale

    def fetching(self) -> None:
        """Note that a fetch begins."""
        self.fetches += 1
        self._fetched_at = time.monotonic()
        self.wanted.clear()

    def regular(self) -> None:
        """Note that the keys were fetched because it was time: who asks for an unknown key may be right by now."""
        self._missing.clear()


def _same(old: Any, new: Any) -> Any:
    return old if old == new else new


def _canonical(algorithm: str) -> str:
    return next(ours for ours, names in NAMES_OF.items() if algorithm in names)


@asynccontextmanager
async def open_issuers(config: Config) -> AsyncIterator[dict[str, Issuer]]:
    """
    The issuers of the configuration by name, their keys kept fresh while the block runs.

    Raises ConfigError for a file of issuers that cannot be followed.
    """
    issuers: dict[str, Issuer] = {}
    tasks: list[asyncio.Task[None]] = []
    if config.local_issuer == "on":
        key = local_key.public_key(config.data_path)
        issuers[local_key.ISSUER] = Issuer(
            local_key.ISSUER, audience=local_key.AUDIENCE, keys={local_key.KEY_ID: ("EdDSA", key)}
        )
    entries = issuer_entries(config)
    ours = [_issuer(entry, config) for entry in entries]
    fetched = await asyncio.gather(*(_renew(one, entry.jwks) for one, entry in zip(ours, entries, strict=True)))
    for issuer, entry, done in zip(ours, entries, fetched, strict=True):
        issuers[issuer.name] = issuer
        keep = _keep_fresh(issuer, entry.jwks, config.jwks_ttl_seconds, fetched=done)
        tasks.append(asyncio.create_task(keep))
    try:
        yield issuers
    finally:
        await end(tasks)


def _issuer(entry: IssuerEntry, config: Config) -> Issuer:
    return Issuer(
        entry.issuer,
        audience=entry.audience,
        keys={},
        entry=entry,
        max_stale_seconds=config.jwks_max_stale_seconds,
    )


async def _keep_fresh(issuer: Issuer, source: str, ttl_seconds: float, *, fetched: bool) -> None:
    while True:
        try:
            async with asyncio.timeout(0.8 * ttl_seconds if fetched else RETRY_SECONDS):
                await issuer.wanted.wait()
        except TimeoutError:
            issuer.regular()
        fetched = await _renew(issuer, source)


async def _renew(issuer: Issuer, source: str) -> bool:
    issuer.fetching()
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            issuer.renew(parse_jwks(await _fetch(source)))
    except (OSError, TimeoutError, httpx.HTTPError, httpx.InvalidURL, KeySetError) as error:
        issuer.failures += 1
        reason = str(error)[:300] or type(error).__name__
        _log.error("jwks-unavailable", issuer=issuer.name, source=source, error=reason)
        return False
    return True


async def _fetch(source: str) -> bytes:
    if not source.startswith(("https://", "http://")):
        return await asyncio.to_thread(_read_file, Path(source))
    # Not compressed: a few bytes of it could be a hundred megabytes of nothing.
    plain = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with (
        httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False, headers=plain) as client,
        client.stream("GET", source) as response,
    ):
        response.raise_for_status()
        body = b""
        async for chunk in response.aiter_raw():
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
    algorithm = _ALGORITHM_OF.get((str(key.get("kty")), None if key.get("crv") is None else str(key["crv"])))
    if algorithm is None or key.get("use", "sig") != "sig" or key.get("alg", algorithm) not in NAMES_OF[algorithm]:
        return None
    try:
        return algorithm, jwt.PyJWK(key, algorithm=algorithm).key
    except jwt.PyJWTError:
        return None
