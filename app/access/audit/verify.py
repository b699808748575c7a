"""Whether a chain is as it was written: every record there, in its place, and unchanged."""

from __future__ import annotations

import msgspec

from app.access.audit import store
from app.access.audit.record import GENESIS, Record, link
from app.kit.database import Connection

PAGE_RECORDS = 1_000


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: how many records hold, and the first that does not (`broken_at`), with the reason."""

    tenant: str
    records: int
    broken_at: int | None = None
    reason: str | None = None


async def verify(connection: Connection, tenant: str) -> Verdict:
    """Walk a chain from its beginning. The connection is to see one moment (`Database.moment`). Memory: one page."""
    last, previous = 0, GENESIS
    while records := await store.page(connection, tenant, after=last, limit=PAGE_RECORDS):
        for record in records:
            reason = _wrong(record, after=last, previous=previous)
            if reason is not None:
                return Verdict(tenant=tenant, records=last, broken_at=last + 1, reason=reason)
            last, previous = record.sequence, record.hash
    head = await store.head(connection, tenant)
    if (head.sequence if head else 0) != last:
        reason = f"The chain was {head.sequence if head else 0} records long, and {last} are there."
        return Verdict(tenant=tenant, records=last, broken_at=last + 1, reason=reason)
    if head is not None and head.hash != previous:
        reason = "It is not the record that was written last."
        return Verdict(tenant=tenant, records=last - 1, broken_at=last, reason=reason)
    return Verdict(tenant=tenant, records=last)


def _wrong(record: Record, *, after: int, previous: bytes) -> str | None:
    if record.sequence != after + 1:
        return f"The record is missing: {record.sequence} follows {after}."
    if link(previous, tenant=record.tenant, sequence=record.sequence, body=record.body) != record.hash:
        return "The record, or the one before it, was changed: its hash is another's."
    return None
