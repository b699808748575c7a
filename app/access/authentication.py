"""
Who asks: a credential in, a principal out, or Unauthenticated.

A token is believed if one of our issuers signed it with the one algorithm its key serves, it is meant for us, its time
has come and not passed, and it was not revoked. An API key is believed if it is one of ours (app/access/api_keys).
Verified credentials are remembered by digest, so that a client in a loop pays for the signature or the look-up once.
On every request it is looked at whether they have expired, whether their key still counts, and, when anything was
revoked since, whether they were: what is remembered is what a credential says, never that it is good.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any

import jwt
import msgspec

from app.access.api_keys.check import ISSUER, CheckedKey, KeyCheck, refusal
from app.access.api_keys.secret import is_meant_as_key
from app.access.api_keys.usage import KeyUsage
from app.access.claims import claims_of, principal_of
from app.access.keys import NAMES_OF, Issuer
from app.access.revocation.standing import Credential, Standing
from app.domain.access import Principal
from app.domain.errors import Malformed, Unauthenticated, Unavailable, Violation
from app.kit import asgi
from app.kit.clock import Clock

LEEWAY_SECONDS = 30  # clocks of an issuer and of ours differ; more would stretch every expiry
MAX_TOKEN_BYTES = 8_192  # longer is refused before it is parsed
_FORBIDDEN_HEADERS = ("crit", "b64", "zip", "jku", "jwk", "x5u", "x5c")
_ATTEMPTS = 10  # to look an API key up while others change: what was read may be from before a change
_BLANKS = " \t"  # what HTTP lets stand around a value; Python would strip line feeds as well


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A principal as a credential vouches for it. `expires_at` is in seconds since the epoch."""

    principal: Principal
    issuer: str
    expires_at: float


class _Verified(msgspec.Struct, kw_only=True):
    """
    What a verification found, and what it rests on: with the key gone, the token is worth nothing.

    `seen` is the version of the standing under which it was last found not to be revoked.
    """

    identity: Identity
    credential: Credential
    until: float  # seconds since the epoch
    seen: int
    issuer: Issuer | None = None
    key_id: str | None = None
    key: Any = None
    api_key: str | None = None


class Authenticator:
    """
    Verifies credentials against the issuers and the API keys. `revoked` counts those that were refused as such.

    Without `open_keys` it believes tokens only.
    """

    def __init__(
        self,
        issuers: Mapping[str, Issuer],
        *,
        clock: Clock,
        cache_entries: int,
        standing: Standing | None = None,
    ) -> None:
        self.revoked = 0
        self.standing = standing if standing is not None else Standing()
        self._issuers = issuers
        self._clock = clock
        self._cache_entries = cache_entries
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._keys: KeyCheck | None = None
        self._usage: KeyUsage | None = None

    def open_keys(self, keys: KeyCheck, usage: KeyUsage) -> None:
        """Believe API keys from now on."""
        self._keys, self._usage = keys, usage

    def forget_keys(self, key_ids: Collection[str] | None) -> None:
        """Look these API keys up anew, or all of them: something about them changed."""
        for digest, verified in [*self._verified.items()]:
            if verified.api_key is not None and (key_ids is None or verified.api_key in key_ids):
                del self._verified[digest]

    def forget_everything(self) -> None:
        """Verify every credential anew."""
        self._verified.clear()

    def remembered(self, credential: str) -> Identity | None:
        """
        Whom a credential vouches for, if that is known and still so. Cost: two microseconds, half of it the digest.

        Raises Unauthenticated when it was revoked, Unavailable when nobody can say whether it was.
        """
        if self.standing.closed:
            raise Unavailable("Whether a credential was revoked cannot be known at the moment; try again.")
        digest = _digest(credential)
        verified = self._verified.get(digest)
        if verified is None:
            return None
        now = self._clock().timestamp()
        issuer = verified.issuer
        if verified.until <= now or (issuer is not None and issuer.key(verified.key_id) is not verified.key):
            del self._verified[digest]
            return None
        if verified.seen != self.standing.version:
            self._require_not_revoked(verified.credential, digest)
            verified.seen = self.standing.version
        self._verified.move_to_end(digest)  # who comes often stays
        if verified.api_key is not None and self._usage is not None:
            self._usage.latest[verified.api_key] = now
        return verified.identity

    def known(self, credential: bytes, *, now: float) -> Identity | None:
        """
        Whom a credential vouches for if that is remembered and nothing about it is to be looked at again, else None.

        Asking changes nothing but when the credential was used last: whoever gets None asks `remembered`.
        `now` is in seconds since the epoch. Cost: a microsecond, most of it the digest.
        """
        standing = self.standing
        digest = hashlib.sha256(credential).digest()
        verified = self._verified.get(digest)
        if verified is None or verified.seen != standing.version or standing.closed or verified.until <= now:
            return None
        issuer = verified.issuer
        if (issuer is not None and issuer.key(verified.key_id) is not verified.key) or not credential.isascii():
            return None
        self._verified.move_to_end(digest)
        if verified.api_key is not None and self._usage is not None:
            self._usage.latest[verified.api_key] = now
        return verified.identity

    async def identify_anew(self, credential: str) -> Identity:
        """Whom a credential vouches for that is not remembered. Raises Unauthenticated, whatever is wrong with it."""
        if is_meant_as_key(credential):
            return await self._identify_key(credential)
        return self._identify_token(credential)

    def identify(self, token: str) -> Identity:
        """Whom a token vouches for, remembered or not. Raises Unauthenticated, whatever is wrong with it."""
        if len(token) > MAX_TOKEN_BYTES:
            raise _too_long()
        return self.remembered(token) or self._identify_token(token)

    def _identify_token(self, token: str) -> Identity:
        if len(token) > MAX_TOKEN_BYTES:
            raise _too_long()
        verified = self._verify(token)
        if verified.until <= self._clock().timestamp():
            raise Unauthenticated("The token has expired.")
        digest = _digest(token)
        self._require_not_revoked(verified.credential, digest)
        self._remember(digest, verified)
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
        if issuer is None:
            raise _unknown_issuer()
        found = issuer.key(header.get("kid"))
        if found is None:
            issuer.miss(header.get("kid"))
            raise _unknown_issuer()
        if issuer.typ is not None and _media_type(header.get("typ")) != _media_type(issuer.typ):
            raise Unauthenticated("The token is of another type than its issuer gives out for this.")
        algorithm, key = found
        claims = claims_of(_decoded(token, algorithm, key, issuer), issuer.claims)
        if max(claims.nbf, claims.iat) > self._clock().timestamp() + LEEWAY_SECONDS:
            raise Unauthenticated("The token is not valid yet.")
        principal = principal_of(claims, tenants=issuer.tenants, roles=issuer.roles)
        credential = Credential(
            issuer=issuer.name,
            tenant=claims.tenant,
            subject=claims.sub,
            token_id=claims.jti,
            issued_at=claims.iat,
        )
        return _Verified(
            identity=Identity(principal=principal, issuer=issuer.name, expires_at=float(claims.exp)),
            credential=credential,
            until=claims.exp + LEEWAY_SECONDS,
            seen=self.standing.version,
            issuer=issuer,
            key_id=header.get("kid"),
            key=found,
        )

    async def _identify_key(self, credential: str) -> Identity:
        if self._keys is None or len(credential) > MAX_TOKEN_BYTES:
            raise refusal()
        digest = _digest(credential)
        for _ in range(_ATTEMPTS):
            version = self.standing.version
            verified = _verified_key(await self._keys.check(credential), seen=version)
            self._require_not_revoked(verified.credential, digest)
            if version == self.standing.version:
                self._remember(digest, verified)
                if self._usage is not None and verified.api_key is not None:
                    self._usage.latest[verified.api_key] = self._clock().timestamp()
                return verified.identity
        raise Unavailable("Credentials are changing too fast to be looked up; try again.")

    def _require_not_revoked(self, credential: Credential, digest: bytes) -> None:
        if self.standing.revokes(credential):
            self.revoked += 1
            self._verified.pop(digest, None)
            raise Unauthenticated("The credential was revoked.")

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._verified[digest] = verified
        if len(self._verified) > self._cache_entries:
            self._verified.popitem(last=False)


def credential_of(scope: asgi.Scope) -> str:
    """
    The one credential of a request, from `Authorization: Bearer` or `X-API-Key`.

    Raises Unauthenticated without one, Malformed with two that differ: to pick one would be to guess who asks.
    """
    given = {_bearer(value) for value in asgi.header_values(scope, b"authorization")}
    given |= {value.decode("latin-1").strip(_BLANKS) for value in asgi.header_values(scope, b"x-api-key")}
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
        algorithms=NAMES_OF[algorithm],
        audience=issuer.audience,
        issuer=issuer.name,
        options={
            "require": ["exp", "iss", "aud", "sub"],
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
        },
    )


def _verified_key(checked: CheckedKey, *, seen: int) -> _Verified:
    identity = Identity(principal=checked.principal, issuer=ISSUER, expires_at=checked.until)
    return _Verified(
        identity=identity,
        credential=checked.credential,
        until=checked.until,
        seen=seen,
        api_key=checked.key.id,
    )


def _bearer(value: bytes) -> str:
    scheme, _, token = value.decode("latin-1").strip(_BLANKS).partition(" ")
    if scheme.lower() != "bearer" or not token.strip(_BLANKS):
        raise Unauthenticated("Authorization takes the form: Bearer <token>.")
    return token.strip(_BLANKS)


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()


def _media_type(typ: object) -> str:
    """A `typ` as RFC 7515 section 4.1.9 compares it; what is no text is nobody's."""
    return typ.lower().removeprefix("application/") if isinstance(typ, str) else ""


def _unknown_issuer() -> Unauthenticated:
    return Unauthenticated("The token was not issued by anyone we know.")


def _too_long() -> Unauthenticated:
    return Unauthenticated(f"The token is longer than {MAX_TOKEN_BYTES} bytes.")
