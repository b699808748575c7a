"""
Who asks: a credential in, a principal out, or Unauthenticated.

A token is believed if one of our issuers signed it with the one algorithm its key serves, it is meant for us, and
its time has come and not passed. Verified tokens are remembered by digest, so that a client in a loop pays for the
signature once; their expiry, and whether their key still counts, is looked at on every request.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import jwt
import msgspec

from app.access.keys import Issuer
from app.domain.access import Principal
from app.domain.definition import Sensitivity
from app.domain.errors import Malformed, Unauthenticated, Violation
from app.domain.scope import ScopeId, TenantId
from app.kit import asgi
from app.kit.clock import Clock

LEEWAY_SECONDS = 30  # clocks of an issuer and of ours differ; more would stretch every expiry
MAX_TOKEN_BYTES = 8_192  # longer is refused before it is parsed
_FORBIDDEN_HEADERS = ("crit", "b64", "zip", "jku", "jwk", "x5u", "x5c")

Names = Annotated[tuple[ScopeId, ...], msgspec.Meta(max_length=1_000)]

# Seconds since the epoch, up to the year 9999; also keeps out infinities and NaN.
Seconds = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799)]


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of a token. What it says beside that is not looked at."""

    sub: ScopeId
    exp: Seconds
    nbf: Seconds = 0.0
    iat: Seconds = 0.0
    tenant: TenantId | None = None
    kind: Literal["user", "service"] = "user"
    roles: Names = ()
    territories: Names = ()
    accounts: Names = ()
    clearance: Sensitivity = Sensitivity.INTERNAL


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A principal as a credential vouches for it. `expires_at` is in seconds since the epoch."""

    principal: Principal
    issuer: str
    expires_at: float


class _Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found, and what it rests on: with the key gone, the token is worth nothing."""

    identity: Identity
    issuer: Issuer
    key_id: str | None
    key: Any


class Authenticator:
    """Verifies credentials against the issuers."""

    def __init__(self, issuers: Mapping[str, Issuer], *, clock: Clock, cache_entries: int) -> None:
        self._issuers = issuers
        self._clock = clock
        self._cache_entries = cache_entries
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    def identify(self, token: str) -> Identity:
        """Whom a token vouches for. Raises Unauthenticated, whatever is wrong with it."""
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthenticated(f"The token is longer than {MAX_TOKEN_BYTES} bytes.")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        verified = self._verified.get(digest)
        if verified is None or verified.issuer.key(verified.key_id) != verified.key:
            verified = self._verify(token)
        self._remember(digest, verified)
        if verified.identity.expires_at + LEEWAY_SECONDS <= self._clock().timestamp():
            self._verified.pop(digest, None)
            raise Unauthenticated("The token has expired.")
        return verified.identity

    def _verify(self, token: str) -> _Verified:
        try:
            return self._verified_claims(token)
        except Unauthenticated:
            raise
        except Exception as error:
            # Libraries raise all kinds of things on hostile tokens; none of them makes the caller known.
            raise Unauthenticated("The token is not valid.") from error

    def _verified_claims(self, token: str) -> _Verified:
        header = jwt.get_unverified_header(token)
        if any(name in header for name in _FORBIDDEN_HEADERS):
            raise Unauthenticated("The token is not valid.")
        unverified = jwt.decode(token, options={"verify_signature": False})
        issuer = self._issuers.get(str(unverified.get("iss")))
        found = issuer.key(header.get("kid")) if issuer is not None else None
        if issuer is None or found is None:
            raise Unauthenticated("The token was not issued by anyone we know.")
        algorithm, key = found
        claims = msgspec.convert(_decoded(token, algorithm, key, issuer), Claims)
        if max(claims.nbf, claims.iat) > self._clock().timestamp() + LEEWAY_SECONDS:
            raise Unauthenticated("The token is not valid yet.")
        identity = Identity(principal=_principal(claims), issuer=issuer.name, expires_at=float(claims.exp))
        return _Verified(identity=identity, issuer=issuer, key_id=header.get("kid"), key=found)

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._verified[digest] = verified
        self._verified.move_to_end(digest)  # who comes often stays
        if len(self._verified) > self._cache_entries:
            self._verified.popitem(last=False)


def credential_of(scope: asgi.Scope) -> str:
    """
    The one credential of a request, from `Authorization: Bearer` or `X-API-Key`.

    Raises Unauthenticated without one, Malformed with two that differ: to pick one would be to guess who asks.
    """
    given = {_bearer(value) for value in asgi.header_values(scope, b"authorization")}
    given |= {value.decode("latin-1").strip() for value in asgi.header_values(scope, b"x-api-key")}
    if len(given) > 1:
        detail = "Two different credentials were sent; send one."
        raise Malformed(detail, errors=[Violation(pointer="/header/Authorization", code="ambiguous", detail=detail)])
    if not given or given == {""}:
        raise Unauthenticated
    return given.pop()


def _decoded(token: str, algorithm: str, key: Any, issuer: Issuer) -> dict[str, Any]:
    """The claims, once signature, issuer and audience are right. Times are ours to judge, by our clock."""
    return jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        audience=issuer.audience,
        issuer=issuer.name,
        options={
            "require": ["exp", "iss", "aud", "sub"],
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
        },
    )


def _bearer(value: bytes) -> str:
    scheme, _, token = value.decode("latin-1").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Authorization takes the form: Bearer <token>.")
    return token.strip()


def _principal(claims: Claims) -> Principal:
    return Principal(
        id=claims.sub,
        kind=claims.kind,
        tenant=claims.tenant,
        roles=_sorted(claims.roles),
        territories=_sorted(claims.territories),
        accounts=_sorted(claims.accounts),
        clearance=claims.clearance.rank,
    )


def _sorted(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))
