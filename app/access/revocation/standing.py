"""
What this worker knows of revocations, and how sure it may be of it.

`version` rises whenever something changed about any credential. Whoever remembers a verified credential remembers the
version that it was looked at under; while the two are equal, nothing has to be looked up.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec

from app.domain.position import Position


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which credentials are believed no longer: one by its id, or all that were issued before a moment.

    What is None is not looked at: without a tenant it holds for those of every tenant and of none, without an issuer
    for those of all, without a subject for everybody's. Without `expires_at` it holds until it is lifted.
    """

    id: UUID
    tenant: str | None
    issuer: str | None
    subject: str | None
    token_id: str | None
    issued_before: datetime | None
    reason: str | None
    expires_at: datetime | None
    lifted_at: datetime | None
    position: Position
    created_at: datetime
    created_by: str


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What revocations look at. `issued_at` is in seconds since the epoch."""

    issuer: str
    tenant: str | None
    subject: str
    token_id: str | None
    issued_at: float


_Who: TypeAlias = tuple[str | None, str | None, str | None]


class Standing:
    """All revocations in force. `closed` is whether nobody is to be let in, because they are not known."""

    def __init__(self) -> None:
        self.version = 0
        self.closed = False
        self._known: dict[UUID, Revocation] = {}
        self._tokens: dict[_Who, set[UUID]] = {}
        self._moments: dict[_Who, dict[UUID, float]] = {}
        self._next_lapse = float("inf")

    def __len__(self) -> int:
        return len(self._known)

    def revokes(self, credential: Credential) -> bool:
        """Whether a credential is believed no longer. Cost: a dozen look-ups, however many revocations there are."""
        for tenant in {None, credential.tenant}:
            for issuer in (None, credential.issuer):
                if credential.token_id is not None and (tenant, issuer, credential.token_id) in self._tokens:
                    return True
                for subject in (None, credential.subject):
                    moments = self._moments.get((tenant, issuer, subject))
                    if moments is not None and credential.issued_at < max(moments.values()):
                        return True
        return False

    def learn(self, changed: Iterable[Revocation], *, now: datetime) -> None:
        """Take changed revocations: new ones, and such as were lifted."""
        for one in changed:
            self._forget(one.id)
            if one.lifted_at is None and (one.expires_at is None or one.expires_at > now):
                self._keep(one)
        self.version += 1

    def replace(self, revocations: Iterable[Revocation], *, now: datetime) -> None:
        """Take these in place of all that were known."""
        for known in [*self._known]:
            self._forget(known)
        self.learn(revocations, now=now)

    def drop_lapsed(self, *, now: datetime) -> None:
        """Forget revocations of what has expired by itself. Cost: nothing until the next one lapses."""
        if now.timestamp() < self._next_lapse:
            return
        for one in [*self._known.values()]:
            if one.expires_at is not None and one.expires_at <= now:
                self._forget(one.id)
        lapses = [one.expires_at.timestamp() for one in self._known.values() if one.expires_at is not None]
        self._next_lapse = min(lapses, default=float("inf"))

    def _keep(self, one: Revocation) -> None:
        self._known[one.id] = one
        if one.token_id is not None:
            self._tokens.setdefault((one.tenant, one.issuer, one.token_id), set()).add(one.id)
        elif one.issued_before is not None:
            moments = self._moments.setdefault((one.tenant, one.issuer, one.subject), {})
            moments[one.id] = one.issued_before.timestamp()
        if one.expires_at is not None:
            self._next_lapse = min(self._next_lapse, one.expires_at.timestamp())

    def _forget(self, revocation_id: UUID) -> None:
        one = self._known.pop(revocation_id, None)
        if one is None:
            return
        if one.token_id is not None:
            token = (one.tenant, one.issuer, one.token_id)
            self._tokens[token].discard(one.id)
            if not self._tokens[token]:
                del self._tokens[token]
        else:
            who = (one.tenant, one.issuer, one.subject)
            del self._moments[who][one.id]
            if not self._moments[who]:
                del self._moments[who]
