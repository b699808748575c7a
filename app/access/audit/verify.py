"""Whether a chain is as it was written: every record there, in its place, and unchanged."""

from __future__ import annotations

import msgspec

from app.access.audit import store
from app.access.audit.record import BEGINNING, Link, Record, link
from app.kit.database import Connection

PAGE_RECORDS = 1_000


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was found: how many records hold, and the first that does not (`broken_at`), with the reason.

    `reached` is the last one that holds; `ended` says whether that is the end of the chain.
    """

    tenant: str
    records: int
    broken_at: int | None = None
    reason: str | None = None
    reached: Link = BEGINNING
    ended: bool = True


async def verify(connection: Connection, tenant: str, *, start: Link = BEGINNING, most: int | None = None) -> Verdict:
    """
    Walk a chain, or the next `most` records of it after a place that was reached before.

    The connection is to see one moment (`Database.moment`). Memory: one page.
    """
    reached, walked = start, 0
    while limit := PAGE_RECORDS if most is None else min(PAGE_RECORDS, most - walked):
        records = await store.page(connection, tenant, after=reached.sequence, limit=limit)
        for record in records:
            reason = _wrong(record, after=reached)
            if reason is not None:
                return _broken(tenant, reached, at=reached.sequence + 1, reason=reason)
            reached = Link(sequence=record.sequence, hash=record.hash)
        walked += len(records)
        if len(records) < limit:
            return await _verdict_at_end(connection, tenant, reached)
    return Verdict(tenant=tenant, records=reached.sequence, reached=reached, ended=False)


async def _verdict_at_end(connection: Connection, tenant: str, reached: Link) -> Verdict:
    head = await store.head(connection, tenant) or BEGINNING
    if head.sequence != reached.sequence:
        reason = f"The chain was {head.sequence} records long, and {reached.sequence} are there."
        return _broken(tenant, reached, at=reached.sequence + 1, reason=reason)
    if head.hash != reached.hash:
        reason = "It is not the record that was written last."
        return Verdict(
            tenant=tenant, records=reached.sequence - 1, broken_at=reached.sequence, reason=reason, reached=reached
        )
    return Verdict(tenant=tenant, records=reached.sequence, reached=reached)


def _broken(tenant: str, reached: Link, *, at: int, reason: str) -> Verdict:
    return Verdict(tenant=tenant, records=reached.sequence, broken_at=at, reason=reason, reached=reached)


def _wrong(record: Record, *, after: Link) -> str | None:
    if record.sequence != after.sequence + 1:
        return f"The record is missing: {record.sequence} follows {after.sequence}."
    if link(after.hash, tenant=record.tenant, sequence=record.sequence, body=record.body) != record.hash:
        return "The record, or the one before it, was changed: its hash is another's."
    return None
