"""What the HTTP modules of the registry share."""

from __future__ import annotations

from typing import cast

from app.kit.http import ApiRequest
from app.log.position import reached
from app.settings.registry import Registry

MIN_POSITION = "Setpoint-Min-Position"  # the header that every read of the registry takes


def registry_of(request: ApiRequest) -> Registry:
    """The registry's collaborators, as app/main.py put them."""
    return cast(Registry, request.app.state.registry)


async def reach_position(request: ApiRequest) -> None:
    """Wait for the position that a read names. Whatever is read from here on, absence too, is not from before it."""
    registry = registry_of(request)
    wait_seconds = registry.config.min_position_wait_seconds
    await reached(request.min_position(), tailer=registry.hot.tailer, wait_seconds=wait_seconds)
