"""From the subject of a question to a principal."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from app.access.authzen.errors import CannotDecide
from app.access.authzen.source import Ground
from app.access.authzen.wire import EntityReference
from app.access.caller import Caller
from app.domain.access import Principal
from app.domain.definition import Sensitivity
from app.domain.scope import Level, Scope

PLATFORM_ADMIN = "platform_admin"


class SubjectAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """What a directory entry or a trusted caller may say of a subject; other members are not looked at."""

    kind: Literal["user", "service"] = "user"
    role: str | msgspec.UnsetType = msgspec.UNSET  # for those who have one
    roles: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    territories: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    accounts: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    clearance: Sensitivity | msgspec.UnsetType = msgspec.UNSET


NOTHING = SubjectAttributes()


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever asks, about which tenant, and how far it is believed."""

    caller: Caller
    tenant: str | None
    asks_about_others: bool
    asserts: bool

    def is_subject(self, subject: EntityReference) -> bool:
        """Whether the question is about the caller itself."""
        own = self.caller.principal
        return (subject.type, subject.id, self.tenant) == (own.kind, own.id, own.tenant)


def scope_of_subject(subject: EntityReference, asker: Asker) -> Scope | None:
    """Where the directory would say something of the subject."""
    return None if asker.tenant is None else Scope(Level.USER, asker.tenant, subject.id)


def principal_of(subject: EntityReference, asker: Asker, ground: Ground) -> Principal | None:
    """
    The principal that the subject is; None for one of whom nothing is known.

    The caller itself is who its credential says. Of others, the directory's USER entry counts, and over that what a
    caller says who holds `assert`. Raises CannotDecide when the caller may not ask about others, or for attributes
    of wrong types.
    """
    if asker.is_subject(subject):
        return asker.caller.principal
    if not asker.asks_about_others:
        raise CannotDecide(403, "You may ask about yourself only.")
    if subject.type not in ("user", "service"):
        return None
    asserted = subject.properties if asker.asserts else {}
    stored = _stored(subject, asker, ground)
    if stored is None and not asserted:
        return None
    said = _read(asserted, "The properties of the subject")
    return Principal(
        id=subject.id,
        kind="service" if subject.type == "service" else "user",
        tenant=asker.tenant,
        roles=_roles(said, stored or NOTHING, asker),
        territories=_names(said.territories, (stored or NOTHING).territories),
        accounts=_names(said.accounts, (stored or NOTHING).accounts),
        clearance=_clearance(said, stored or NOTHING),
    )


def _stored(subject: EntityReference, asker: Asker, ground: Ground) -> SubjectAttributes | None:
    """What the directory says of the subject; None when it knows nobody of that kind and id."""
    scope = scope_of_subject(subject, asker)
    entry = None if scope is None else ground.entry(scope)
    if entry is None:
        return None
    read = _read(entry.attributes, "The stored attributes of the subject")
    return read if read.kind == subject.type else None


def _read(attributes: dict[str, Any], what: str) -> SubjectAttributes:
    try:
        return msgspec.convert(attributes, SubjectAttributes)
    except msgspec.ValidationError as error:
        raise CannotDecide(400, f"{what} cannot be used: {error}.") from error


def _roles(said: SubjectAttributes, stored: SubjectAttributes, asker: Asker) -> tuple[str, ...]:
    """
    Asserted roles in the place of stored ones.

    Nothing that belongs to one tenant makes somebody the admin of all: a directory entry never does, and of callers
    only who is one.
    """
    roles = _given_roles(said)
    if roles is None:
        return tuple(role for role in _given_roles(stored) or () if role != PLATFORM_ADMIN)
    if PLATFORM_ADMIN in asker.caller.principal.roles:
        return roles
    return tuple(role for role in roles if role != PLATFORM_ADMIN)


def _given_roles(attributes: SubjectAttributes) -> tuple[str, ...] | None:
    one = () if attributes.role is msgspec.UNSET else (attributes.role,)
    if attributes.roles is msgspec.UNSET:
        return one or None
    return tuple(sorted({*one, *attributes.roles}))


def _names(said: tuple[str, ...] | msgspec.UnsetType, stored: tuple[str, ...] | msgspec.UnsetType) -> tuple[str, ...]:
    names = stored if said is msgspec.UNSET else said
    return () if names is msgspec.UNSET else tuple(sorted(set(names)))


def _clearance(said: SubjectAttributes, stored: SubjectAttributes) -> int:
    clearance = stored.clearance if said.clearance is msgspec.UNSET else said.clearance
    return (Sensitivity.INTERNAL if clearance is msgspec.UNSET else clearance).rank
