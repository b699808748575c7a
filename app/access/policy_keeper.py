"""
Keeping the gate's policy up with its files, without a moment in which there are no rules.

The files are looked at every second, and at once when SIGHUP comes. When they differ from what was last looked at, and
have come to rest, the whole policy is loaded beside the one that decides; if it can be used, one reference is changed,
and if not, the old one goes on deciding and the reason is kept for whoever asks. A file that is half written when it is
looked at might lack a `forbid`, so a change counts when two looks in a row found the same.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

from app.access.gate import Gate
from app.access.polar import load_policy
from app.access.policy import PolicyError
from app.access.policy_files import fingerprint
from app.kit.clock import Clock
from app.kit.logs import get_logger
from app.kit.tasks import running

LOOK_SECONDS = 1.0  # how often the files are looked at: a dozen KiB, read in well under a millisecond

_log = get_logger()


class PolicyKeeper:
    """
    The policy of a gate and how it came to be. `asked` may be set to have the files looked at now.

    `loaded_from` is the fingerprint of the files from before the gate's policy was loaded: taken later, it would miss
    what changed meanwhile, for ever.
    """

    def __init__(self, gate: Gate, folders: Sequence[Path], *, loaded_from: str, clock: Clock) -> None:
        self._gate = gate
        self._folders = tuple(folders)
        self._clock = clock
        self._tried = loaded_from  # what the last attempt to load was made of
        self._seen = self._tried
        self.asked = asyncio.Event()
        self.loaded_at: datetime = clock()
        self.last_error: str | None = None  # why the files that are there now do not decide
        self.loads = 0  # policies that took over since the start
        self.failures = 0  # attempts that left the old one in place

    async def look(self, *, at_once: bool = False) -> None:
        """Load the policy anew if its files have changed and come to rest; `at_once` waits for neither."""
        now = await asyncio.to_thread(fingerprint, self._folders)
        rests, self._seen = now == self._seen, now
        if at_once or (rests and now != self._tried):
            await self._load(now)

    async def _load(self, found: str) -> None:
        self._tried = found
        try:
            policy = await asyncio.to_thread(load_policy, *self._folders)
        except PolicyError as error:
            self._refuse(str(error))
            return
        if policy.version != self._gate.policy.version:
            self._gate.policy = policy
            self.loads += 1
            self.loaded_at = self._clock()
            _log.info("policy-loaded", version=policy.version, files=list(policy.files))
        self.last_error = None

    def _refuse(self, reason: str) -> None:
        self.failures += 1
        self.last_error = reason
        _log.error("policy-refused", reason=reason, deciding=self._gate.policy.version)

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Keep the policy up with its files while the block runs."""
        loop = asyncio.get_running_loop()
        # Only the main thread can be told of signals; an application inside of a test may run in another.
        with suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(signal.SIGHUP, self.asked.set)
        try:
            async with running(self._keep()):
                yield
        finally:
            with suppress(ValueError, RuntimeError, NotImplementedError):
                loop.remove_signal_handler(signal.SIGHUP)

    async def _keep(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.asked.wait()
            at_once = self.asked.is_set()
            self.asked.clear()
            try:
                await self.look(at_once=at_once)
            except Exception as error:  # noqa: BLE001 - whatever it was, the next look may fare better
                self._refuse(f"The policy files cannot be looked at: {type(error).__name__}: {error}")
