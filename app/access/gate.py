"""
The gate: the only place where it is decided whether something may be seen or done.

Every use case passes it with the loaded attributes of what it is about. It fails closed: an error while deciding is a
refusal, and it is counted. What may not be seen is refused with the same words as what is not there.
"""

from __future__ import annotations

from app.access.polar import Policy
from app.domain.access import Action, Principal, Resource
from app.domain.errors import Forbidden, NotFound
from app.kit.logs import get_logger

_log = get_logger()


class Gate:
    """Decides by a policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.errors = 0  # decisions that could not be made and were therefore refusals

    def allows(self, principal: Principal, action: Action, resource: Resource) -> bool:
        """Whether the principal may do this. Never raises."""
        try:
            return self.policy.allows(principal, action, resource) is True
        except Exception as error:  # noqa: BLE001 - whatever went wrong, nothing has been granted
            self.errors += 1
            _log.error("gate-error", action=action.value, resource=type(resource).__name__, error=str(error)[:500])
            return False

    def require(self, principal: Principal, action: Action, resource: Resource) -> None:
        """
        Let the principal pass, or say why not.

        Raises NotFound when it may not even read the resource, Forbidden when it may.
        """
        if self.allows(principal, action, resource):
            return
        if action is not Action.READ and self.allows(principal, Action.READ, resource):
            raise Forbidden
        raise NotFound
