"""The audit: a chain of records for each tenant, added to and never changed (docs/decisions/0013-audit.md)."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-24T14:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "hash-chained audit"

# The chain of what belongs to no tenant is the empty one: only who reaches everything sees it and adds to it.
OF_TENANT = "setpoint_writes(nullif(tenant, ''))"

FORWARDS = [
    """
    CREATE TABLE audit_head (
        tenant text COLLATE "C" PRIMARY KEY,
        sequence bigint NOT NULL CHECK (sequence >= 0),
        hash bytea NOT NULL)
    """,
    # Text, not json: the hash is over these very characters.
    """
    CREATE TABLE audit_record (
        tenant text COLLATE "C" NOT NULL,
        sequence bigint NOT NULL CHECK (sequence > 0),
        body text NOT NULL,
        hash bytea NOT NULL,
        PRIMARY KEY (tenant, sequence))
    """,
    *(
        statement
        for table in ("audit_head", "audit_record")
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY {table}_sees ON {table} FOR SELECT USING ({OF_TENANT})",
            f"CREATE POLICY {table}_adds ON {table} FOR INSERT WITH CHECK ({OF_TENANT})",
        )
    ),
    f"CREATE POLICY audit_head_moves ON audit_head FOR UPDATE USING ({OF_TENANT})",
    "CREATE POLICY audit_record_audits ON audit_record FOR SELECT TO setpoint_auditor USING (true)",
    "CREATE POLICY audit_head_audits ON audit_head FOR SELECT TO setpoint_auditor USING (true)",
    "GRANT SELECT, INSERT ON audit_record TO setpoint_app",
    "GRANT SELECT, INSERT, UPDATE ON audit_head TO setpoint_app",
    "GRANT SELECT ON audit_record, audit_head TO setpoint_auditor",
    # With the rights of whoever calls it. The head is locked until the commit, so that a chain has one order.
    """
    CREATE FUNCTION audit_append(chain text, bodies text[]) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        place bigint;
        link bytea;
        body text;
    BEGIN
        INSERT INTO audit_head (tenant, sequence, hash) VALUES (chain, 0, '') ON CONFLICT DO NOTHING;
        SELECT h.sequence, h.hash INTO STRICT place, link FROM audit_head h WHERE h.tenant = chain FOR UPDATE;
        FOREACH body IN ARRAY bodies LOOP
            place := place + 1;
            link := sha256(link || convert_to(chain || E'\\n' || place || E'\\n' || body, 'UTF8'));
            INSERT INTO audit_record (tenant, sequence, body, hash) VALUES (chain, place, body, link);
        END LOOP;
        UPDATE audit_head h SET sequence = place, hash = link WHERE h.tenant = chain;
    END
    $$
    """,
]
BACKWARDS = ["DROP FUNCTION audit_append", "DROP TABLE audit_record", "DROP TABLE audit_head"]


class _Raw(Table):
    """Only a way to run raw SQL."""


async def forwards() -> MigrationManager:
    """Make the chains."""
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
