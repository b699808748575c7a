"""Whether a key that somebody sent is one of ours, and whom it stands for."""

from __future__ import annotations

import hmac
from datetime import datetime

import msgspec

from app.access.api_keys import store
from app.access.api_keys.pepper import Peppers
from app.access.api_keys.secret import PresentedKey, read_key
from app.access.api_keys.store import ApiKey, SecretDigest
from app.access.revocation.standing import Credential
from app.domain.access import Principal
from app.domain.errors import Unauthenticated
from app.kit.clock import Clock
from app.kit.database import Database
from app.kit.logs import get_logger

ISSUER = "setpoint-api-keys"  # what revocations and `/api/auth/verify` call the issuer of keys

_log = get_logger()


class CheckedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is good until a moment, in seconds since the epoch."""

    key: ApiKey
    principal: Principal
    until: float
    credential: Credential


class KeyCheck:
    """
    Checks keys against the database.

    `bad_checksums` counts junk that cost no look-up, `refusals` keys that were looked up in vain, and
    `unknown_peppers` keys whose pepper is not at hand.
    """

    def __init__(self, *, database: Database, peppers: Peppers, environment: str, clock: Clock) -> None:
        self.bad_checksums = 0
        self.refusals = 0
        self.unknown_peppers = 0
        self._database = database
        self._peppers = peppers
        self._environment = environment
        self._clock = clock
        self._nobody = SecretDigest(digest=bytes(32), pepper_id=peppers.current_id)

    async def check(self, text: str) -> CheckedKey:
        """
        The key that this text is. Raises Unauthenticated, in the same words whatever is wrong.

        A key that nobody has and a wrong secret take the same look-up and the same two digests.
        """
        presented = read_key(text)
        if presented is None or presented.environment != self._environment:
            self.bad_checksums += 1
            raise refusal()
        found = await store.find_anywhere(self._database, presented.id)
        until = self._good_until(found, presented, now=self._clock())
        if found is None or until is None:
            self.refusals += 1
            raise refusal()
        principal = principal_of_key(found)
        credential = Credential(
            issuer=ISSUER,
            tenant=found.tenant,
            subject=principal.id,
            token_id=found.id,
            issued_at=found.created_at.timestamp(),
        )
        return CheckedKey(key=found, principal=principal, until=until.timestamp(), credential=credential)

    def _good_until(self, found: ApiKey | None, presented: PresentedKey, *, now: datetime) -> datetime | None:
        if found is None:
            self._matches(self._nobody, presented), self._matches(self._nobody, presented)
            return None
        is_current = self._matches(found.secret, presented)
        is_old = self._matches(found.old_secret or self._nobody, presented)
        ends = [found.expires_at] if is_current else []
        if is_old and found.old_secret_until is not None:
            ends.append(min(found.expires_at, found.old_secret_until))
        good = [end for end in ends if end > now and found.revoked_at is None]
        return max(good, default=None)

    def _matches(self, kept: SecretDigest, presented: PresentedKey) -> bool:
        if not self._peppers.knows(kept.pepper_id):
            self.unknown_peppers += 1
            _log.error("api-key-pepper-unknown", key=presented.id, pepper=kept.pepper_id)
        return hmac.compare_digest(kept.digest, self._peppers.digest(presented.secret, pepper_id=kept.pepper_id))


def principal_of_key(key: ApiKey) -> Principal:
    """
    Whom a key stands for: a user's key for its owner, any other for itself.

    A service has an id that nobody else can have, as whoever bears an id owns what belongs to it.
    """
    return Principal(
        id=key.owner if key.kind == "user" else f"api-key:{key.id}",
        kind=key.kind,
        tenant=key.tenant,
        roles=key.roles,
        territories=key.territories,
        accounts=key.accounts,
        clearance=key.clearance.rank,
        scopes=key.scopes or (),
        scoped=key.scopes is not None,
    )


def refusal() -> Unauthenticated:
    """What is said of any key that is not believed."""
    return Unauthenticated("The API key is not valid.")
