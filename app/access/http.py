"""Authentication in front of every route, and `GET /api/auth/verify`."""

from __future__ import annotations

import re

import msgspec
from litestar import Response

from app.access.authentication import Authenticator, Identity, credential_of
from app.domain.definition import Sensitivity
from app.domain.errors import Unauthenticated
from app.kit import asgi
from app.kit.clock import Clock
from app.kit.http import CACHING, JSON, ApiRequest, Operation, api, encode
from app.kit.limits.limits import Limits

# Anchored at both ends of a segment: a setting whose key is "schema" or "health" is not open.
_OPEN = re.compile(r"/(api/health(/live|/ready)?|schema(/.*)?|\.well-known/authzen-configuration)/?")


class PrincipalView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who you are, as Setpoint sees you."""

    id: str
    kind: str
    tenant_id: str | None
    roles: tuple[str, ...]
    territories: tuple[str, ...]
    accounts: tuple[str, ...]
    clearance: Sensitivity
    scopes: tuple[str, ...] | None  # what the credential is good for; null when it is for whatever its roles allow
    issuer: str
    expires_at: int


def authenticated(app: asgi.App, *, authenticator: Authenticator, limits: Limits, clock: Clock) -> asgi.App:
    """
    The application behind its front door: nobody unknown gets past, not even to a route that does not exist.

    It stands outside of Litestar, whose middleware exclusions match anywhere in a path and whose router answers
    404 and 405 to strangers. Who is refused too often is not listened to for a while. When a request came in is noted
    here, for the gate: it is judged by that moment, however long its body takes to arrive.
    """

    async def wrapped(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] == "http" and not _OPEN.fullmatch(scope["path"]):
            identity = await _identified(scope, authenticator=authenticator, limits=limits)
            scope["auth"] = identity
            scope["user"] = identity.principal
            scope["state"]["came_at"] = clock()
        await app(scope, receive, send)

    return wrapped


async def _identified(scope: asgi.Scope, *, authenticator: Authenticator, limits: Limits) -> Identity:
    client = scope["state"]["client"]
    limits.require_few_failures(client)
    try:
        credential = credential_of(scope)
        identity = authenticator.remembered(credential)
        return identity if identity is not None else await authenticator.identify_anew(credential)
    except Unauthenticated:
        limits.note_failure(client)
        raise


@api(
    "GET",
    "/api/auth/verify",
    Operation(id="verifyCredential", tag="Security", summary="Who you are, as Setpoint sees you", answer=PrincipalView),
)
async def verify(request: ApiRequest) -> Response[bytes]:
    """The principal that the credential stands for, with the attributes that decide what it may do."""
    return Response(encode(_view_of(request.scope["auth"])), media_type=JSON, headers=CACHING)


def _view_of(identity: Identity) -> PrincipalView:
    principal = identity.principal
    return PrincipalView(
        id=principal.id,
        kind=principal.kind,
        tenant_id=principal.tenant,
        roles=principal.roles,
        territories=principal.territories,
        accounts=principal.accounts,
        clearance=list(Sensitivity)[principal.clearance],
        scopes=principal.scopes if principal.scoped else None,
        issuer=identity.issuer,
        expires_at=int(identity.expires_at),
    )
