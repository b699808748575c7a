"""
What a request noted for the audit, handed to the access log before its answer leaves.

It stands just inside of authentication and outside of Litestar: whatever answers in there (a handler, the router, a
lane of its own) is heard. The gate and the queries note in `scope["state"]["accesses"]`.
"""

from __future__ import annotations

from contextlib import suppress

from app.access.audit.access_log import AccessLog, AuditUnavailable
from app.access.audit.ring import Noted
from app.domain.access import Access
from app.domain.errors import SetpointError, Unauthenticated
from app.kit import asgi
from app.kit.problems import status_of

_REFUSALS = (403, 404)


def noting_accesses(app: asgi.App, *, log: AccessLog) -> asgi.App:
    """The application, whose answers wait for the records of what they tell where the mode of the log is `strict`."""
    if log.mode == "off":
        return app

    async def wrapped(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] != "http" or "user" not in scope:
            await app(scope, receive, send)
            return
        answer = _Answer(scope, send, log=log)
        try:
            await app(scope, receive, answer.send)
        except SetpointError as error:  # the edge will make an answer of it
            await answer.hold(status=status_of(error))
            raise
        finally:
            answer.hand_over()

    return wrapped


def counting_strangers(app: asgi.App, *, log: AccessLog) -> asgi.App:
    """The application behind its front door, with a count of those who are not let in."""

    async def wrapped(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        try:
            await app(scope, receive, send)
        except Unauthenticated:
            log.unauthenticated += 1
            raise

    return wrapped


class _Answer:
    """One answer on its way out, and what the audit is to be told before it leaves."""

    def __init__(self, scope: asgi.Scope, send: asgi.Send, *, log: AccessLog) -> None:
        self._scope = scope
        self._send = send
        self._log = log
        self._accesses: list[Access] = []
        self._begun = False
        self._replaced = False
        scope.setdefault("state", {})["accesses"] = self._accesses

    async def send(self, message: asgi.Message) -> None:
        """Pass a message on once it may leave; without its records, a problem leaves in place of the whole answer."""
        if self._replaced:
            return
        try:
            if self._accesses or self._log.strict:  # most requests note nothing, and should not pay for it
                await self.hold(status=message.get("status"))
        except AuditUnavailable as error:
            if self._begun:  # the server cuts it off
                raise
            self._replaced = True
            await asgi.send_problem(self._send, error, path=self._scope["path"])
            return
        self._begun = True
        await self._send(message)

    async def hold(self, *, status: int | None) -> None:
        """Hand over what was noted so far and, under `strict`, wait for its records. Raises AuditUnavailable."""
        if self._log.strict and status in _REFUSALS:
            self._note_refusal()
        if self._accesses:
            await self._log.until_written(self._handed_over())

    def hand_over(self) -> None:
        """The same without waiting: nothing more leaves of this answer."""
        if self._accesses:
            with suppress(AuditUnavailable):  # it is counted, and there is no answer any more to hold back
                self._handed_over()

    def _handed_over(self) -> list[Noted]:
        accesses = self._accesses[:]
        self._accesses.clear()
        state = self._scope["state"]
        return self._log.note(
            accesses,
            principal=self._scope["user"],
            request_id=state.get("request_id", ""),
            client=state.get("client"),
        )

    def _note_refusal(self) -> None:
        """
        Note a refusal that nobody noted.

        What is absent, and what the database hides, must take as long as what the gate refuses and fail with it:
        else an answer that waits for its record, or cannot have it, would tell that something is there.
        """
        if all(one.outcome != "denied" for one in self._accesses):
            action, resource = self._scope["method"], f"request{self._scope['path']}"
            self._accesses.append(Access(outcome="denied", action=action, resource=resource, tenant=None))
