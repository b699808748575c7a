"""What the HTTP modules of the registry share."""

from __future__ import annotations

from typing import cast

from app.access.caller import Caller
from app.domain.access import Action, OperationsResource
from app.kit import asgi
from app.kit.http import ApiRequest
from app.log.position import reached
from app.settings.cache.cache import Moment
from app.settings.registry import Registry

TIMING = "Setpoint-Server-Timing"  # asks which tier answered; heeded for those who may see how the service is doing
MIN_POSITION = "Setpoint-Min-Position"  # the header that every read of the registry takes


def registry_of(request: ApiRequest) -> Registry:
    """The registry's collaborators, as app/main.py put them."""
    return cast(Registry, request.app.state.registry)


async def reach_position(request: ApiRequest) -> None:
    """Wait for the position that a read names. Whatever is read from here on, absence too, is not from before it."""
    registry = registry_of(request)
    wait_seconds = registry.config.min_position_wait_seconds
    await reached(request.min_position(), tailer=registry.hot.tailer, wait_seconds=wait_seconds)


def timing_of(request: ApiRequest, moment: Moment, *, caller: Caller, registry: Registry) -> str | None:
    """Which tier answered, as Server-Timing says it; None unless asked for by who may know."""
    if asgi.header(request.scope, b"setpoint-server-timing") != "1":
        return None
    if not registry.gate.allows(caller, Action.READ, OperationsResource(tenant="")):
        return None
    return f'cache;desc="{moment.tier}"'
