"""What the parts of a node are doing, found out by asking them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import msgspec

from app.domain.errors import Unavailable
from app.kit.clock import Clock

PROBE_SECONDS = 1.0  # how long a part may take to answer before it counts as down

Probe = Callable[[], Awaitable[object]]


class Degraded(Exception):
    """Raised by a probe of a part that works, but not as it should; the message is shown, so it tells no secrets."""


class PartState(msgspec.Struct, kw_only=True, rename="camel"):
    """What a part last said. `since` is when it began to say so."""

    state: str
    since: datetime
    last_error: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All parts, and what they make of the whole."""

    state: str
    parts: dict[str, PartState]


class Health:
    """Asks the parts of a node how they are. `required` names those without which it cannot answer."""

    def __init__(self, probes: Mapping[str, Probe], *, required: frozenset[str], clock: Clock) -> None:
        self._probes = probes
        self._required = required
        self._clock = clock
        self._parts = {name: PartState(state="unknown", since=clock()) for name in probes}

    async def report(self) -> Report:
        """Ask every part, all at once."""
        await asyncio.gather(*(self._ask(name) for name in self._probes))
        down = {name for name, part in self._parts.items() if part.state != "up"}
        state = "down" if down & self._required else "degraded" if down else "up"
        return Report(state=state, parts=self._parts)

    async def require_ready(self) -> None:
        """Raise Unavailable while a required part does not answer."""
        await asyncio.gather(*(self._ask(name) for name in self._required))
        if any(self._parts[name].state != "up" for name in self._required):
            raise Unavailable

    async def _ask(self, name: str) -> None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._probes[name]()
        except Degraded as degraded:
            self._note(name, "degraded", str(degraded))
        except Exception as error:  # noqa: BLE001 - whatever a part says but yes is a no, and is shown
            # The kind only: an open page must not tell addresses or user names.
            self._note(name, "down", type(error).__name__)
        else:
            self._note(name, "up", None)

    def _note(self, name: str, state: str, error: str | None) -> None:
        part = self._parts[name]
        if part.state != state:
            part.state, part.since = state, self._clock()
        if error is not None:
            part.last_error = error


def telling_trouble(trouble: Callable[[], str | None]) -> Probe:
    """The probe of a part that knows itself what is wrong with it: None while all is well."""

    async def probe() -> None:
        found = trouble()
        if found is not None:
            raise Degraded(found)

    return probe
