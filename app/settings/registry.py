"""What every use case of the registry works with."""

from __future__ import annotations

from datetime import datetime

import msgspec

from app.access.audit.record import Signature
from app.access.caller import Caller
from app.access.gate import Gate
from app.config import Config
from app.kit.clock import Clock
from app.kit.database import Database


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """The collaborators of the registry's use cases, opened in app/main.py."""

    database: Database
    gate: Gate
    clock: Clock
    config: Config

    def signature(self, caller: Caller, *, at: datetime) -> Signature:
        """How the audit names who made a change, and by which rules."""
        return caller.signature(at=at, policy_version=self.gate.policy.version)
