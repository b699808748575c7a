"""API keys and revocations: credentials that Setpoint makes itself, and those that are believed no longer."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-24T21:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "api keys and revocations"

FORWARDS = [
    # Of a secret only its keyed digest is kept; the pepper it is keyed with is not in the database. A key with two of
    # them is being rotated. Rows stay, also when the tenant is removed (to which nothing refers them for that reason):
    # workers that remember a key hear by its row that it was revoked.
    """
    CREATE TABLE api_key (
        id text COLLATE "C" PRIMARY KEY,
        tenant text COLLATE "C",
        owner text NOT NULL,
        name text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('user', 'service')),
        roles text[] NOT NULL,
        territories text[] NOT NULL,
        accounts text[] NOT NULL,
        clearance text NOT NULL CHECK (clearance IN ('public', 'internal', 'confidential', 'secret')),
        scopes text[],
        secret_digest bytea NOT NULL,
        pepper_id text NOT NULL,
        old_secret_digest bytea,
        old_pepper_id text,
        old_secret_until timestamptz,
        expires_at timestamptz NOT NULL,
        last_used_at timestamptz,
        revoked_at timestamptz,
        version integer NOT NULL CHECK (version > 0),
        position bigint NOT NULL,
        created_at timestamptz NOT NULL,
        created_by text NOT NULL,
        updated_at timestamptz NOT NULL,
        updated_by text NOT NULL,
        CHECK (num_nulls(old_secret_digest, old_pepper_id, old_secret_until) IN (0, 3)))
    """,
    # By what is never null, so that the keys of no tenant are found as well.
    "CREATE INDEX api_key_by_tenant ON api_key ((coalesce(tenant, '')), id)",
    "CREATE INDEX api_key_by_position ON api_key (position)",
    # What is null holds for all: a revocation without a tenant for tokens of every tenant and of none. It outlives its
    # tenant as well: one that is made anew must not bring revoked tokens back.
    """
    CREATE TABLE revocation (
        id uuid PRIMARY KEY,
        tenant text COLLATE "C",
        issuer text,
        subject text,
        token_id text,
        issued_before timestamptz,
        reason text,
        expires_at timestamptz,
        lifted_at timestamptz,
        position bigint NOT NULL,
        created_at timestamptz NOT NULL,
        created_by text NOT NULL,
        CHECK (num_nonnulls(token_id, issued_before) = 1))
    """,
    "CREATE INDEX revocation_by_tenant ON revocation ((coalesce(tenant, '')), id)",
    "CREATE INDEX revocation_by_position ON revocation (position)",
    *(
        statement
        for table in ("api_key", "revocation")
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            # What belongs to no tenant is not everybody's to see here, so reading asks for as much as writing.
            f"CREATE POLICY {table}_sees ON {table} FOR SELECT USING (setpoint_writes(tenant))",
            f"CREATE POLICY {table}_adds ON {table} FOR INSERT WITH CHECK (setpoint_writes(tenant))",
            f"CREATE POLICY {table}_changes ON {table} FOR UPDATE USING (setpoint_writes(tenant))",
        )
    ),
    # Past revocations are cleared away; a key is never removed.
    "CREATE POLICY revocation_removes ON revocation FOR DELETE USING (setpoint_writes(tenant))",
    "GRANT SELECT, INSERT, UPDATE ON api_key TO setpoint_app",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON revocation TO setpoint_app",
]
BACKWARDS = ["DROP TABLE revocation", "DROP TABLE api_key"]


class _Raw(Table):
    """Only a way to run raw SQL."""


async def forwards() -> MigrationManager:
    """Make both tables."""
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
