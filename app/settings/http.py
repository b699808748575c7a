"""What the HTTP modules of the registry share."""

from __future__ import annotations

from typing import cast

from app.kit.http import ApiRequest
from app.settings.registry import Caller, Registry


def registry_of(request: ApiRequest) -> Registry:
    """The registry's collaborators, as app/main.py put them."""
    return cast(Registry, request.app.state.registry)


def caller_of(request: ApiRequest) -> Caller:
    """Who sent the request."""
    return Caller(principal=request.user, request_id=request.scope["state"]["request_id"])
