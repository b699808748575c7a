"""Writing changes down, in the transaction that makes them."""

from __future__ import annotations

from collections.abc import Sequence

from app.access.audit import store
from app.access.audit.record import PLATFORM, AuditedChange, Signature, body_of
from app.kit.database import Connection


async def write_down(tx: Connection, changes: Sequence[AuditedChange], *, signature: Signature) -> None:
    """
    Add the records of changes to their tenants' chains.

    Comes after the feed's counter row: the heads of chains are the last locks of a transaction, in order of tenants.
    Cost: one round trip for each tenant.
    """
    bodies: dict[str, list[str]] = {}
    for change in changes:
        bodies.setdefault(change.tenant or PLATFORM, []).append(body_of(change, signature))
    for tenant in sorted(bodies):
        await store.append(tx, tenant, bodies[tenant])
