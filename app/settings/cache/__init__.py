"""
The hot cache of settings: what every read of effective values and of single values is answered from.

    entry      what is held: everything about one scope, or all definitions, as of a position
    subjects   which of them an event changes
    store      reading them from PostgreSQL
    local      the tier in this process, bounded by bytes
    shared     the tier in Redis, shared by all workers and trusted by none; codec: its bytes
    cache      the tiers together: entries that are all of one moment
    counters   what was hit, missed and why

Theory of operation, the races and the test that guards each: docs/decisions/0014-cache-protocol.md.
"""
