"""
Tables of the log, as Piccolo sees them. Imported by migrations and tests only, never by a serving worker.

`event` is partitioned, which Piccolo cannot express: a raw migration makes it, and it is not declared here
(docs/decisions/0004-positions-from-a-counter-row.md).
"""

from __future__ import annotations

from piccolo.columns import JSON, BigInt, Bytea, SmallInt, Text, Timestamptz
from piccolo.table import Table


class FeedHead(Table, tablename="feed_head"):
    """The counter row of each feed: position of its last event."""

    feed = SmallInt(primary_key=True, default=None)
    position = BigInt(default=0)


class AppendDedupe(Table, tablename="append_dedupe"):
    """What was answered to an Idempotency-Key, so that a retry gets the same answer."""

    caller = Text(default=None, primary_key=True, help_text="digest of principal, route and key")
    fingerprint = Bytea(default=None, help_text="digest of the request body")
    answer = JSON(default=None, null=True)
    created_at = Timestamptz(default=None)
