"""
The gate: the only place where it is decided whether something may be seen or done.

Every use case passes it with the loaded attributes of what it is about. It fails closed: an error while deciding is a
refusal, and it is counted. What may not be seen is refused with the same words as what is not there. A refusal, and a
grant that only the caller's reason to override made, are noted for the audit.
"""

from __future__ import annotations

import msgspec

from app.access.caller import Caller
from app.access.policy import Policy
from app.domain.access import Access, Action, Circumstances, Principal, Resource, described
from app.domain.errors import Forbidden, NotFound
from app.kit.logs import get_logger

_log = get_logger()


class Gate:
    """Decides by a policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.errors = 0  # decisions that could not be made and were therefore refusals

    def allows(self, caller: Caller, action: Action, resource: Resource) -> bool:
        """Whether the caller may do this. Never raises."""
        circumstances = caller.circumstances
        if circumstances.override_reason is None:
            return self.decides(caller.principal, action, resource, circumstances)
        without = msgspec.structs.replace(circumstances, override_reason=None)
        if self.decides(caller.principal, action, resource, without):
            return True
        if not self.decides(caller.principal, action, resource, circumstances):
            return False
        caller.note(_access("overridden", action, resource, reason=circumstances.override_reason))
        return True

    def decides(self, principal: Principal, action: Action, resource: Resource, circumstances: Circumstances) -> bool:
        """What the policy says, of whoever it is. Never raises, and notes nothing."""
        try:
            return self.policy.allows(principal, action, resource, circumstances) is True
        except Exception as error:  # noqa: BLE001 - whatever went wrong, nothing has been granted
            self.errors += 1
            _log.error("gate-error", action=str(action), resource=type(resource).__name__, error=str(error)[:500])
            return False

    def require(self, caller: Caller, action: Action, resource: Resource) -> None:
        """
        Let the caller pass, or say why not.

        Raises NotFound when it may not even read the resource, Forbidden when it may.
        """
        if self.allows(caller, action, resource):
            return
        caller.note(_access("denied", action, resource))
        if action is not Action.READ and self.allows(caller, Action.READ, resource):
            raise Forbidden
        raise NotFound

    def require_visible(self, caller: Caller, action: Action, resource: Resource) -> None:
        """Let the caller pass, or raise NotFound: for what nobody may know the existence of who may not do this."""
        if not self.allows(caller, action, resource):
            caller.note(_access("denied", action, resource))
            raise NotFound


def _access(outcome: str, action: Action, resource: Resource, *, reason: str | None = None) -> Access:
    return Access(
        outcome=outcome,  # type: ignore[arg-type]  # one of three words, all written here
        action=str(action),
        resource=described(resource),
        tenant=getattr(resource, "tenant", None),
        reason=reason,
    )
