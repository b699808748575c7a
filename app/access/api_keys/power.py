"""
Nobody hands on what they do not have: what a key would have beyond whoever makes it.

Pure, and beside the policy on purpose: a rule that lets somebody make keys must not thereby let them become anybody.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.domain.access import Principal
from app.domain.definition import Sensitivity
from app.domain.errors import Violation

_PLATFORM_ADMIN, _ADMIN = "platform_admin", "admin"
# An admin of a tenant may do there whatever these may, by the policy that is shipped.
_BELOW_ADMIN = frozenset(("manager", "user", "auditor", "service"))


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is to be good for. `scopes` is None when it is good for whatever its roles allow."""

    tenant: str | None
    roles: tuple[str, ...]
    territories: tuple[str, ...]
    accounts: tuple[str, ...]
    clearance: Sensitivity
    scopes: tuple[str, ...] | None


def excess(wanted: Power, *, over: Principal) -> list[Violation]:
    """What of this power a principal does not have itself; nothing when it may hand all of it on."""
    return [*_tenant(wanted, over), *_roles(wanted, over), *_places(wanted, over), *_trust(wanted, over)]


def _tenant(wanted: Power, over: Principal) -> list[Violation]:
    if wanted.tenant == over.tenant or _PLATFORM_ADMIN in over.roles:
        return []
    return [_beyond("tenantId", "You do not belong to this tenant.")]


def _roles(wanted: Power, over: Principal) -> list[Violation]:
    beyond = [role for role in wanted.roles if not _may_hand_on(role, over)]
    return [_beyond("roles", f"You do not have the {_listed('role', beyond)} yourself.")] if beyond else []


def _may_hand_on(role: str, over: Principal) -> bool:
    if role in over.roles or _PLATFORM_ADMIN in over.roles:
        return True
    return _ADMIN in over.roles and role in _BELOW_ADMIN


def _places(wanted: Power, over: Principal) -> list[Violation]:
    """Where admins are concerned, their whole tenant is theirs; all others have the places that they name."""
    if _PLATFORM_ADMIN in over.roles or _ADMIN in over.roles:
        return []
    found = []
    for member, names, own in (
        ("territories", wanted.territories, over.territories),
        ("accounts", wanted.accounts, over.accounts),
    ):
        beyond = sorted(set(names) - set(own))
        if beyond:
            found.append(_beyond(member, f"You do not have {', '.join(beyond)} yourself."))
    return found


def _trust(wanted: Power, over: Principal) -> list[Violation]:
    found = []
    if wanted.clearance.rank > over.clearance:
        found.append(_beyond("clearance", f"You are not cleared for {wanted.clearance} yourself."))
    if over.scoped and wanted.scopes is None:
        found.append(_beyond("scopes", "Your own credential is good for its scopes only; name some of them."))
    beyond = sorted(set(wanted.scopes or ()) - set(over.scopes)) if over.scoped else []
    if beyond:
        found.append(_beyond("scopes", f"Your own credential does not have the {_listed('scope', beyond)}."))
    return found


def _beyond(member: str, detail: str) -> Violation:
    return Violation(pointer=f"#/{member}", code="beyond-yours", detail=detail)


def _listed(noun: str, names: Sequence[str]) -> str:
    return f"{noun}{'s' if len(names) > 1 else ''} {', '.join(names)}"
