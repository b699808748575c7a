"""What a token says of its bearer, and the principal that an issuer may make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from app.domain.access import Principal
from app.domain.definition import Sensitivity
from app.domain.errors import Unauthenticated
from app.domain.scope import ScopeId, TenantId

PLATFORM_ADMIN = "platform_admin"  # the one role that no tenant bounds (app.domain.access.reach_of)

Names = Annotated[tuple[ScopeId, ...], msgspec.Meta(max_length=1_000)]

# RFC 6749 section 3.3: visible ASCII but for quotes and backslashes.
OAuthScope = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$(?!\n)")]
OAuthScopes = Annotated[tuple[OAuthScope, ...], msgspec.Meta(max_length=100)]

# Seconds since the epoch, up to the year 9999; also keeps out infinities and NaN.
Seconds = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799)]

TokenId = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class ClaimNames(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Where an issuer says what we ask for.

    A name is that of a claim, whatever it holds (`https://example.com/roles`); one that begins with a slash is a JSON
    Pointer to a member inside of a claim (`/realm_access/roles`).
    """

    tenant: str = "tenant"
    kind: str = "kind"
    roles: str = "roles"
    territories: str = "territories"
    accounts: str = "accounts"
    clearance: str = "clearance"
    scope: str = "scope"


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of a token. What it says beside that is not looked at."""

    sub: ScopeId
    exp: Seconds
    nbf: Seconds = 0.0
    iat: Seconds = 0.0  # so a token that does not say is as old as can be, and falls to any revocation by time
    jti: TokenId | None = None
    tenant: TenantId | None = None
    kind: Literal["user", "service"] = "user"
    roles: Names = ()
    territories: Names = ()
    accounts: Names = ()
    clearance: Sensitivity = Sensitivity.INTERNAL
    scope: str | msgspec.UnsetType = msgspec.UNSET  # RFC 9068: scopes with spaces between them


def claims_of(payload: Mapping[str, Any], names: ClaimNames) -> Claims:
    """The claims of a payload. Raises msgspec.ValidationError when one has the wrong form."""
    read = {name: payload[name] for name in ("sub", "exp", "nbf", "iat", "jti") if name in payload}
    for ours, theirs in msgspec.structs.asdict(names).items():
        found = _found(payload, theirs)
        if found is not msgspec.UNSET:
            read[ours] = found
    return msgspec.convert(read, Claims)


def principal_of(
    claims: Claims, *, tenants: tuple[str, ...] | None = None, roles: tuple[str, ...] | None = None
) -> Principal:
    """
    The principal that these claims describe, no more than its issuer may make of anybody.

    Roles that the issuer may not give are left out; whoever speaks for some tenants only never gives platform_admin,
    which would be a role in all of them. Raises Unauthenticated for a tenant that the issuer may not speak for.
    """
    if tenants is not None and claims.tenant not in tenants:
        raise Unauthenticated("The token was issued for a tenant that its issuer does not speak for.")
    given = {
        role
        for role in claims.roles
        if (roles is None or role in roles) and not (tenants is not None and role == PLATFORM_ADMIN)
    }
    return Principal(
        id=claims.sub,
        kind=claims.kind,
        tenant=claims.tenant,
        roles=tuple(sorted(given)),
        territories=sorted_names(claims.territories),
        accounts=sorted_names(claims.accounts),
        clearance=claims.clearance.rank,
        scopes=() if claims.scope is msgspec.UNSET else scopes_of(claims.scope),
        scoped=claims.scope is not msgspec.UNSET,
    )


def scopes_of(text: str) -> tuple[str, ...]:
    """The scopes in a claim, sorted. Raises msgspec.ValidationError for what is none."""
    return sorted_names(msgspec.convert(tuple(text.split()), OAuthScopes))


def sorted_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names without repetitions, in order."""
    return tuple(sorted(set(names)))


def _found(payload: Mapping[str, Any], name: str) -> Any:
    if not name.startswith("/"):
        return payload.get(name, msgspec.UNSET)
    part: Any = payload
    for step in name[1:].split("/"):
        if not isinstance(part, dict):
            return msgspec.UNSET
        part = part.get(step.replace("~1", "/").replace("~0", "~"), msgspec.UNSET)
    return part
