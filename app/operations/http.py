"""`/api/health`: what this node and its parts say of themselves."""

from __future__ import annotations

from typing import Literal, cast

import msgspec
from litestar import Response

from app.kit.http import JSON, ApiRequest, Operation, api, encode
from app.operations.health import Health

_NO_STORE = {"cache-control": "no-store"}
_TAG = "Operations"


class PartView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One part of the node. `since` is when it came to be in this state, in UTC."""

    state: Literal["up", "degraded", "down", "unknown"]
    since: str
    last_error: str | None


class HealthView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The node as a whole: `up`, `degraded` when it answers with a part missing, or `down`."""

    state: Literal["up", "degraded", "down"]
    parts: dict[str, PartView]


class Liveness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the process answers, or should get requests."""

    state: Literal["up", "down"]


@api(
    "GET",
    "/api/health",
    Operation(id="health", tag=_TAG, summary="All parts with their states", answer=HealthView, open=True),
)
async def health(request: ApiRequest) -> Response[bytes]:
    """Always 200 while the process answers: what is wrong stands in the body."""
    report = await _health(request).report()
    return Response(encode(report), media_type=JSON, headers=_NO_STORE)


@api(
    "GET",
    "/api/health/live",
    Operation(id="healthLive", tag=_TAG, summary="Whether the process answers", answer=Liveness, open=True),
)
async def live(request: ApiRequest) -> Response[bytes]:
    """Restart the process when this does not answer."""
    return Response(encode(Liveness(state="up")), media_type=JSON, headers=_NO_STORE)


@api(
    "GET",
    "/api/health/ready",
    Operation(
        id="healthReady",
        tag=_TAG,
        summary="Whether to send requests here",
        answer=Liveness,
        errors=(503,),
        open=True,
    ),
)
async def ready(request: ApiRequest) -> Response[bytes]:
    """503 while PostgreSQL does not answer. Redis may be away: it is a cache."""
    await _health(request).require_ready()
    return Response(encode(Liveness(state="up")), media_type=JSON, headers=_NO_STORE)


HANDLERS = [health, live, ready]


def _health(request: ApiRequest) -> Health:
    return cast(Health, request.app.state.health)
