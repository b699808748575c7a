"""What the use cases of credentials work with, opened and closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import cast

import msgspec

from app.access.api_keys.check import KeyCheck
from app.access.api_keys.pepper import Peppers, open_peppers
from app.access.api_keys.usage import KeyUsage, writing_usage
from app.access.audit.record import Signature
from app.access.authentication import Authenticator
from app.access.caller import Caller
from app.access.gate import Gate
from app.access.revocation.follower import Follower, following
from app.config import Config
from app.kit.clock import Clock
from app.kit.database import Database
from app.kit.http import ApiRequest


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """The collaborators of the use cases of API keys and revocations, opened in app/main.py."""

    database: Database
    gate: Gate
    clock: Clock
    config: Config
    peppers: Peppers
    follower: Follower

    def signature(self, caller: Caller, *, at: datetime) -> Signature:
        """How the audit names who made a change, and by which rules."""
        return caller.signature(at=at, policy_version=self.gate.policy.version)


@asynccontextmanager
async def open_credentials(
    authenticator: Authenticator, *, database: Database, gate: Gate, clock: Clock, config: Config
) -> AsyncIterator[Credentials]:
    """
    The collaborators, while API keys are believed and revocations followed: the authenticator is told of both.

    Raises PepperError, and what the database raises: without knowing what was revoked, nobody is let in.
    """
    peppers = open_peppers(config)
    check = KeyCheck(database=database, peppers=peppers, environment=config.api_key_environment, clock=clock)
    follower = Follower(
        authenticator.standing, database=database, clock=clock, config=config, forget_keys=authenticator.forget_keys
    )
    async with writing_usage(KeyUsage(database)) as usage, following(follower):
        authenticator.forget_everything()  # of an earlier start, perhaps on another state of the database
        authenticator.open_keys(check, usage)
        yield Credentials(database=database, gate=gate, clock=clock, config=config, peppers=peppers, follower=follower)


def credentials_of(request: ApiRequest) -> Credentials:
    """The collaborators, as app/main.py put them."""
    return cast(Credentials, request.app.state.credentials)
