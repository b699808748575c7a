"""What every use case of the registry works with, and on whose behalf."""

from __future__ import annotations

from datetime import datetime

import msgspec

from app.access.audit.record import Signature
from app.access.gate import Gate
from app.config import Config
from app.domain.access import Principal, Reach, reach_of
from app.kit.clock import Clock
from app.kit.database import Database
from app.log.append import Author


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """The collaborators of the registry's use cases, opened in app/main.py."""

    database: Database
    gate: Gate
    clock: Clock
    config: Config


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and in which request."""

    principal: Principal
    request_id: str

    @property
    def reach(self) -> Reach:
        """Whose rows the database is to let this request touch."""
        return reach_of(self.principal)

    def signature(self, registry: Registry, *, at: datetime) -> Signature:
        """The caller as the audit names who made a change."""
        version = registry.gate.policy.version
        return Signature(principal=self.principal, at=at, request_id=self.request_id, policy_version=version)

    def author(self, clock: Clock) -> Author:
        """The caller as the author of a change that is made now."""
        return Author(id=self.principal.id, at=clock(), correlation_id=self.request_id)
