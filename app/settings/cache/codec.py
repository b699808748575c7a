"""
An entry as bytes for Redis, which is trusted with nothing.

A digest over everything, keyed by a secret that Redis does not know, stands before the entry, and the name it is stored
under goes into it: what was tampered with, cut short, copied to another name, or was never ours, opens as None and is
a miss. So is what another release wrote in another format: the format's number is in the name and in the digest.

    20 digits  position, so that Redis can tell which of two is newer without reading any further
    8 bytes    mark of the position
    16 bytes   digest
    the rest   the entry as MessagePack

Names hold no ids of ours but the tenant's: who may list names should not learn who our users are.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec

from app.domain.access import ScopeFacts
from app.domain.position import Position
from app.domain.scope import Scope
from app.domain.value import SettingValue
from app.log.trail import Mark
from app.settings.cache.entry import Entry

FORMAT = 1  # raise it whenever what is written changes
POSITION_DIGITS = 20
DIGEST_BYTES = 16
STAMP_BYTES = POSITION_DIGITS + 8
HEADER_BYTES = STAMP_BYTES + DIGEST_BYTES
NAME_BYTES = 16  # 128 bits; two scopes that shared a name would overwrite each other, and no more


class _Body(msgspec.Struct, frozen=True, array_like=True):
    path: str
    tenant_exists: bool
    facts: ScopeFacts | None
    values: list[SettingValue]


_encoder = msgspec.msgpack.Encoder(uuid_format="bytes")
_decoder = msgspec.msgpack.Decoder(_Body)


class Codec:
    """Names, seals and opens entries with one secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.blake2b(secret, digest_size=64, person=b"setpoint-cache").digest()

    def name(self, scope: Scope) -> str:
        """What the entry of a scope is stored under. All names of a tenant lie in one slot of a Redis Cluster."""
        digest = hashlib.blake2b(scope.path.encode(), key=self._secret, digest_size=NAME_BYTES).digest()
        text = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return f"setpoint:{FORMAT}:{{{scope.tenant}}}:{text}"

    def seal(self, name: str, entry: Entry) -> bytes:
        """The bytes of an entry, to be stored under this name."""
        body = _encoder.encode(_Body(entry.path, entry.tenant_exists, entry.facts, list(entry.values.values())))
        stamp = b"%0*d" % (POSITION_DIGITS, entry.position) + entry.mark.to_bytes(8, "big")
        return stamp + self._digest(name, stamp, body) + body

    def open(self, name: str, scope: Scope, sealed: bytes) -> Entry | None:
        """The entry of a scope that is in these bytes, None unless we wrote them under this name."""
        stamp, digest, body = (
            sealed[: POSITION_DIGITS + 8],
            sealed[POSITION_DIGITS + 8 : HEADER_BYTES],
            sealed[HEADER_BYTES:],
        )
        if not hmac.compare_digest(digest, self._digest(name, stamp, body)):
            return None
        read = _decoder.decode(body)
        if read.path != scope.path:
            return None
        position = Position(int(stamp[:POSITION_DIGITS]))
        return Entry(
            position=position,
            mark=Mark(int.from_bytes(stamp[POSITION_DIGITS:], "big")),
            good=position,
            scope=scope,
            path=read.path,
            tenant_exists=read.tenant_exists,
            facts=read.facts,
            values={value.key: value for value in read.values},
        )

    def _digest(self, name: str, stamp: bytes, body: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._secret, digest_size=DIGEST_BYTES)
        for part in (b"%d:%s" % (FORMAT, name.encode()), stamp, body):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.digest()
