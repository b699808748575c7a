"""What the decision point asks of those who store things. app/settings/decisions answers it; app/main.py joins them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple, Protocol

import msgspec

from app.domain.access import Action, Reach, Resource, ScopeFacts
from app.domain.scope import Level, Scope


class Reference(NamedTuple):
    """A thing by its type and id, as questions name it."""

    type: str
    id: str


class Demand(NamedTuple):
    """One decision of the gate that an action on a thing of ours takes."""

    action: Action
    resource: Resource


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What the scope directory says of a scope."""

    facts: ScopeFacts
    attributes: dict[str, Any]


class Ground(Protocol):
    """All that is stored of what one request names, as of one moment."""

    def entry(self, scope: Scope) -> Entry | None:
        """The directory's entry for one of the scopes; None without one."""
        ...

    def demands(self, reference: Reference, action: str) -> tuple[Demand, ...] | None:
        """
        All that the gate has to grant for this action on a thing of ours, as the HTTP interface would ask it.

        None when there is no such thing or action, or neither could be.
        """
        ...


class AttributeSource(Protocol):
    """Where attributes come from."""

    async def ground(self, *, scopes: Collection[Scope], references: Collection[Reference], reach: Reach) -> Ground:
        """What is stored, within reach, of these scopes and these things of ours."""
        ...

    async def scope_ids(self, level: Level, *, tenant: str, after: str, limit: int, reach: Reach) -> list[str]:
        """Ids of a tenant's directory entries of a level that come after one, in order."""
        ...

    async def ids(self, type_: str, *, tenant: str, after: str, limit: int, reach: Reach) -> list[str]:
        """Ids of things of ours in a tenant that come after one, in order; none of a type that cannot be listed."""
        ...
