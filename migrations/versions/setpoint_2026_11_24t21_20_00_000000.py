"""
The audit by actor and by outcome.

Real columns, not indexes over expressions: row-level security stands between, and only what cannot tell of a row that
is hidden (an equality of plain columns can not, a function of JSON might) may be looked up in an index before it has
spoken. They are made of the body, which is what the chain vouches for.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-24T21:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "the audit by actor and by outcome"

FORWARDS = [
    """
    ALTER TABLE audit_record
        ADD COLUMN actor text COLLATE "C" GENERATED ALWAYS AS (body::json -> 'actor' ->> 'id') STORED,
        ADD COLUMN outcome text COLLATE "C" GENERATED ALWAYS AS (body::json ->> 'outcome') STORED
    """,
    "CREATE INDEX audit_record_by_actor ON audit_record (tenant, actor, sequence)",
    # Changes are most of the records and are found in the order of the chain as fast.
    "CREATE INDEX audit_record_by_outcome ON audit_record (tenant, outcome, sequence) WHERE outcome <> 'changed'",
]
BACKWARDS = ["ALTER TABLE audit_record DROP COLUMN actor, DROP COLUMN outcome"]


class _Raw(Table):
    """Only a way to run raw SQL."""


async def forwards() -> MigrationManager:
    """Add the columns and their indexes."""
    manager = MigrationManager(migration_id=ID, app_name="setpoint", description=DESCRIPTION)

    async def run() -> None:
        for statement in FORWARDS:
            await _Raw.raw(statement)

    async def run_backwards() -> None:
        for statement in BACKWARDS:
            await _Raw.raw(statement)

    manager.add_raw(run)
    manager.add_raw_backwards(run_backwards)
    return manager
