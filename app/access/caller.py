"""On whose behalf something is done, and under which circumstances."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from typing import cast

import msgspec

from app.access.audit.record import Signature
from app.domain.access import Access, Action, Circumstances, Principal, Reach, circumstances_at, reach_of
from app.domain.definition import Sensitivity
from app.domain.errors import Malformed, Violation
from app.domain.scope import Scope
from app.kit import asgi
from app.kit.clock import Clock
from app.kit.http import ApiRequest
from app.log.append import Author

OVERRIDE_HEADER = "Setpoint-Override-Reason"
MAX_REASON_CHARACTERS = 500
_CONTROL_FREE = r"[^\x00-\x1f\x7f-\x9f]*"
REASON_PATTERN = rf"^{_CONTROL_FREE}\S{_CONTROL_FREE}$(?!\n)"
_REASON = re.compile(REASON_PATTERN)


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, in which request and circumstances. `accesses` is what the audit is to hear of at its end."""

    principal: Principal
    request_id: str
    circumstances: Circumstances
    accesses: list[Access] = msgspec.field(default_factory=list)

    @property
    def reach(self) -> Reach:
        """Whose rows the database is to let this request touch."""
        return reach_of(self.principal)

    def note(self, access: Access) -> None:
        """Have the audit told of this before the answer leaves."""
        self.accesses.append(access)

    def note_hidden(self, scope: Scope, key: str, *, action: Action) -> None:
        """Have the audit told that a key was asked for by somebody who is not cleared for it."""
        resource = f"setting/{scope.path}/{key}"
        self.note(Access(outcome="denied", action=str(action), resource=resource, tenant=scope.tenant))

    def note_shown(self, scope: Scope, key: str, sensitivity: Sensitivity, *, action: Action) -> None:
        """Have the audit told that this is shown to the caller, if it is secret."""
        if sensitivity is Sensitivity.SECRET:
            resource = f"setting/{scope.path}/{key}"
            self.note(Access(outcome="read", action=str(action), resource=resource, tenant=scope.tenant))

    def signature(self, *, at: datetime, policy_version: str) -> Signature:
        """The caller as the audit names who made a change."""
        return Signature(
            principal=self.principal,
            at=at,
            request_id=self.request_id,
            policy_version=policy_version,
            override_reason=self.circumstances.override_reason,
        )

    def author(self, clock: Clock) -> Author:
        """The caller as the author of a change that is made now."""
        return Author(id=self.principal.id, at=clock(), correlation_id=self.request_id)


def caller_of(request: ApiRequest) -> Caller:
    """Who sent the request. Raises Malformed for a reason to override that is none."""
    state = request.scope["state"]
    minute = int(cast(datetime, state["came_at"]).timestamp() // 60)
    return Caller(
        principal=request.user,
        request_id=state["request_id"],
        circumstances=circumstances_in(minute, _override_reason(cast(asgi.Scope, request.scope))),
        accesses=state.setdefault("accesses", []),
    )


@functools.lru_cache(maxsize=64)
def circumstances_in(minute: int, override_reason: str | None = None) -> Circumstances:
    """Policies see nothing finer than minutes, so what holds in one is made once."""
    return circumstances_at(datetime.fromtimestamp(minute * 60, UTC), override_reason=override_reason)


def is_reason(text: str) -> bool:
    """Whether a text may be a reason to override."""
    return len(text) <= MAX_REASON_CHARACTERS and _REASON.fullmatch(text) is not None


def _override_reason(scope: asgi.Scope) -> str | None:
    given = asgi.header_values(scope, OVERRIDE_HEADER.lower().encode())
    if not given:
        return None
    try:
        [text] = [value.decode("utf-8").strip() for value in given]
    except ValueError:  # two of them, or no text
        text = ""
    if not is_reason(text):
        detail = f"{OVERRIDE_HEADER} takes one line of 1 to {MAX_REASON_CHARACTERS} characters, in UTF-8."
        raise Malformed(detail, errors=[Violation(pointer=f"/header/{OVERRIDE_HEADER}", code="form", detail=detail)])
    return text
