"""
The gate: the only place where it is decided whether something may be seen or done.

Every use case passes it with the loaded attributes of what it is about. It fails closed: an error while deciding is a
refusal, and it is counted. What may not be seen is refused with the same words as what is not there. A refusal, and a
grant that only the caller's reason to override made, are noted for the audit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from app.access.caller import Caller
from app.access.compiler.conditions import Plain
from app.access.compiler.sql import NOTHING, SqlCondition
from app.access.policy import Policy
from app.domain.access import Access, Action, Circumstances, Principal, Resource, described, described_all
from app.domain.errors import Forbidden, NotFound
from app.kit.logs import get_logger

NO_ROWS = SqlCondition(text="FALSE")

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

    def decides(self, principal: Principal, action: str, resource: Any, circumstances: Circumstances) -> bool:
        """What the policy says, of whoever it is. Never raises, and notes nothing."""
        try:
            return self.policy.allows(principal, action, resource, circumstances) is True
        except Exception as error:  # noqa: BLE001 - whatever went wrong, nothing has been granted
            self._failed(action, type(resource), error)
            return False

    def decides_all(
        self, principal: Principal, action: Action, resources: Sequence[Resource], circumstances: Circumstances
    ) -> bool:
        """
        Whether `decides` would say yes of each of these, one at least and all of one class.

        Never raises, and counts nothing: what cannot be decided is a no, and whoever cares why asks by `decides`.
        """
        try:
            return self.policy.allows_all(principal, action, resources, circumstances) is True
        except Exception:  # noqa: BLE001 - whatever went wrong, nothing has been granted
            return False

    def condition(
        self,
        caller: Caller,
        action: Action,
        class_: type,
        columns: Mapping[str, str],
        *,
        known: Mapping[str, Plain] = NOTHING,
        start: int = 1,
    ) -> SqlCondition:
        """
        Which rows the caller may do this with, as a condition of SQL whose first parameter is `$start`. Never raises.

        A row passes when `allows` would say so of it. `columns` say what the attributes of the resource are in SQL, but
        for those that are `known` to be the same for all rows. When the caller's reason to override opens rows that it
        may not see otherwise, that is noted once, as it is not known which they are.
        """
        without = msgspec.structs.replace(caller.circumstances, override_reason=None)

        def asked(circumstances: Circumstances, start: int) -> SqlCondition:
            return self._condition(
                caller.principal, action, class_, circumstances, columns=columns, known=known, start=start
            )

        ordinary = asked(without, start)
        if caller.circumstances == without or ordinary.text == "TRUE":
            return ordinary
        if asked(caller.circumstances, start) in (ordinary, NO_ROWS):
            return ordinary
        caller.note(_access_to_all(caller, action, class_, known))
        overriding = asked(caller.circumstances, start + len(ordinary.arguments))
        return SqlCondition(
            text=f"({ordinary.text} OR {overriding.text})", arguments=ordinary.arguments + overriding.arguments
        )

    def _condition(
        self,
        principal: Principal,
        action: Action,
        class_: type,
        circumstances: Circumstances,
        *,
        columns: Mapping[str, str],
        known: Mapping[str, Plain],
        start: int,
    ) -> SqlCondition:
        try:
            return self.policy.condition(
                principal, action, class_, circumstances, columns=columns, known=known, start=start
            )
        except Exception as error:  # noqa: BLE001 - whatever went wrong, nothing has been granted
            self._failed(action, class_, error)
            return NO_ROWS

    def _failed(self, action: str, class_: type, error: Exception) -> None:
        self.errors += 1
        _log.error("gate-error", action=str(action), resource=class_.__name__, error=str(error)[:500])

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


def _access_to_all(caller: Caller, action: Action, class_: type, known: Mapping[str, Plain]) -> Access:
    tenant = known.get("tenant")
    return Access(
        outcome="overridden",
        action=str(action),
        resource=described_all(class_),
        tenant=tenant if isinstance(tenant, str) else None,
        reason=caller.circumstances.override_reason,
    )
