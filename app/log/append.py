"""
Appending to a feed, inside the caller's transaction.

Theory of operation. A feed's counter row is updated in the transaction that appends, so positions are dense, rise in
commit order, and are given back when the transaction rolls back (docs/decisions/0004). The row is locked from here to
the commit: lock everything else first, append, write what needs the position, commit. NOTIFY is a doorbell: it wakes
whoever follows the feed, carries nothing to rely on, and is sent by the commit itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from app.domain.event import Fact, Feed
from app.domain.position import Position
from app.kit.clock import new_id
from app.kit.database import Connection

CHANNEL = "setpoint"  # one for all feeds: each LISTEN costs every notifying commit

# One statement, so that the counter is locked no longer than it takes. WITH ORDINALITY keeps the given order.
_APPEND = f"""
WITH head AS (
    UPDATE feed_head SET position = position + cardinality($2::uuid[]) WHERE feed = $1 RETURNING position
), appended AS (
    INSERT INTO event (feed, position, id, type, tenant, aggregate_type, aggregate_id, payload, actor,
                       correlation_id, recorded_at)
    SELECT $1, head.position - cardinality($2::uuid[]) + fact.place, fact.id, fact.type, fact.tenant,
           fact.aggregate_type, fact.aggregate_id, fact.payload::json, $8, $9, $10
    FROM head, unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
        WITH ORDINALITY AS fact (id, type, tenant, aggregate_type, aggregate_id, payload, place)
)
SELECT position, pg_notify('{CHANNEL}', $1::text) FROM head
"""

# For use in the very statement that reads rows, so that both are of one snapshot.
SETTINGS_POSITION = f"(SELECT position FROM feed_head WHERE feed = {Feed.SETTINGS.value})"


class Author(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf, when, and in the course of what a change is made."""

    id: str
    at: datetime
    correlation_id: str | None = None


async def append(tx: Connection, feed: Feed, facts: Sequence[Fact], *, author: Author) -> list[Position]:
    """
    Append facts to a feed and give each its position, in order.

    Cost: one round trip; the feed's counter row is locked until the transaction ends.
    """
    if not facts:
        return []
    last = await tx.fetchval(
        _APPEND,
        feed.value,
        [new_id() for _ in facts],
        [fact.type for fact in facts],
        [fact.tenant for fact in facts],
        [fact.aggregate_type for fact in facts],
        [fact.aggregate_id for fact in facts],
        [msgspec.json.encode(fact).decode() for fact in facts],
        author.id,
        author.correlation_id,
        author.at,
    )
    return [Position(last - len(facts) + place) for place in range(1, len(facts) + 1)]
