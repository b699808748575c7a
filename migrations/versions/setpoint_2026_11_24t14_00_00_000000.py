"""
Row-level security: the second lock (docs/decisions/0012-row-level-security.md).

Every tenant table shows and takes only rows within the *reach* of the transaction: one tenant's id, or `*` for all.
The reach is a setting of the transaction, `setpoint.reach`; without one there are no rows. FORCE holds the owner to
it as well. The functions at the end are the hot reads: they set the reach and read in one round trip, where BEGIN,
SET and COMMIT would take three more.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-24T14:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "roles and row-level security"

# Roles belong to the whole server: another database may have made them, and goes on needing them.
ROLES = """
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['setpoint_owner', 'setpoint_app', 'setpoint_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
    END LOOP;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- another database of this server was first
END
$$
"""

HELPERS = [
    # Plain current_setting: it is folded once per statement and leaves the indexes usable.
    """
    CREATE FUNCTION setpoint_sees(tenant text) RETURNS boolean LANGUAGE sql STABLE AS $$
        SELECT tenant IS NULL OR current_setting('setpoint.reach', true) IN ('*', tenant)
    $$
    """,
    # What belongs to no tenant is everybody's to read, and only for who reaches everything to change.
    """
    CREATE FUNCTION setpoint_writes(tenant text) RETURNS boolean LANGUAGE sql STABLE AS $$
        SELECT coalesce(current_setting('setpoint.reach', true) IN ('*', tenant), false)
    $$
    """,
]

TENANT_COLUMN = {"tenant": "id", "scope": "tenant", "setting_value": "tenant", "setting_history": "tenant"}

POLICIES = [
    statement
    for table, column in {**TENANT_COLUMN, "event": "tenant"}.items()
    for statement in (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY {table}_sees ON {table} FOR SELECT USING (setpoint_sees({column}))",
        f"CREATE POLICY {table}_adds ON {table} FOR INSERT WITH CHECK (setpoint_writes({column}))",
        f"CREATE POLICY {table}_changes ON {table} FOR UPDATE USING (setpoint_writes({column}))",
        f"CREATE POLICY {table}_removes ON {table} FOR DELETE USING (setpoint_writes({column}))",
    )
]

# History and events are added to and never changed. The auditor reads what the audit is about, and no values.
GRANTS = """
GRANT USAGE ON SCHEMA public TO setpoint_app, setpoint_auditor;
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant, scope, setting_definition, setting_value, append_dedupe TO setpoint_app;
GRANT SELECT, INSERT ON setting_history, event TO setpoint_app;
GRANT SELECT, UPDATE ON feed_head TO setpoint_app;
GRANT SELECT ON migration TO setpoint_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO setpoint_app;
GRANT SELECT ON event, tenant TO setpoint_auditor;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
"""

REACH = "PERFORM set_config('setpoint.reach', reach, true);"
HEAD = "(SELECT h.position FROM feed_head h WHERE h.feed = 1)"

FOUND = f"""
RETURNS TABLE (
    feed_position bigint, sensitivity text, territory text, owner text, id uuid, tenant text, level text,
    scope_id text, key text, value json, metadata json, version int, "position" bigint, created_at timestamptz,
    created_by text, updated_at timestamptz, updated_by text)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    {REACH}
    RETURN QUERY
    SELECT {HEAD}, d.sensitivity, s.territory, s.owner, v.id, v.tenant, v.level, v.scope_id, v.key, v.value,
        v.metadata, v.version, v.position, v.created_at, v.created_by, v.updated_at, v.updated_by
    FROM setting_value v
    JOIN setting_definition d ON d.key = v.key
    LEFT JOIN scope s ON s.scope_path = v.scope_path
    WHERE {{condition}};
END
$$
"""

EFFECTIVE = f"""
RETURNS TABLE (
    feed_position bigint, tenant_exists boolean,
    facts_path text[], facts_territory text[], facts_owner text[],
    keys_key text[], keys_default text[], keys_merge_strategy text[], keys_sensitivity text[],
    values_path text[], values_key text[], values_text text[], values_version int[],
    values_updated_at timestamptz[], values_updated_by text[])
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    {REACH}
    RETURN QUERY
    SELECT {HEAD}, EXISTS (SELECT FROM tenant t WHERE t.id = wanted_tenant), facts.*, defined.*, items.*
    FROM
        (SELECT array_agg(s.scope_path::text), array_agg(s.territory), array_agg(s.owner)
         FROM scope s WHERE s.scope_path = ANY(paths)) facts,
        (SELECT array_agg(d.key::text ORDER BY d.key), array_agg(d.default_value::text ORDER BY d.key),
                array_agg(d.merge_strategy ORDER BY d.key), array_agg(d.sensitivity ORDER BY d.key)
         FROM setting_definition d WHERE {{definitions}}) defined,
        (SELECT array_agg(v.scope_path::text), array_agg(v.key::text), array_agg(v.value::text),
                array_agg(v.version), array_agg(v.updated_at), array_agg(v.updated_by)
         FROM setting_value v WHERE v.scope_path = ANY(paths) AND {{values}}) items;
END
$$
"""

HOT_READS = [
    "CREATE FUNCTION setting_by_id(reach text, wanted uuid) " + FOUND.format(condition="v.id = wanted"),
    "CREATE FUNCTION setting_at(reach text, path text, wanted_key text) "
    + FOUND.format(condition="v.scope_path = path AND v.key = wanted_key"),
    "CREATE FUNCTION effective_by_keys(reach text, paths text[], wanted_tenant text, wanted_keys text[]) "
    + EFFECTIVE.format(definitions="d.key = ANY(wanted_keys)", values="v.key = ANY(wanted_keys)"),
    "CREATE FUNCTION effective_by_prefix(reach text, paths text[], wanted_tenant text, prefix text) "
    + EFFECTIVE.format(
        definitions="d.key >= prefix AND starts_with(d.key, prefix)",
        values="v.key >= prefix AND starts_with(v.key, prefix)",
    ),
]

BACKWARDS = [
    "DROP FUNCTION effective_by_prefix, effective_by_keys, setting_at, setting_by_id",
    *(
        statement
        for table in [*TENANT_COLUMN, "event"]
        for statement in (
            *(f"DROP POLICY {table}_{what} ON {table}" for what in ("sees", "adds", "changes", "removes")),
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        )
    ),
    "DROP FUNCTION setpoint_sees, setpoint_writes",
    """
    REVOKE ALL ON tenant, scope, setting_definition, setting_value, setting_history, append_dedupe, event, feed_head,
        migration FROM setpoint_app, setpoint_auditor
    """,
    "REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM setpoint_app",
    "REVOKE ALL ON SCHEMA public FROM setpoint_app, setpoint_auditor",
]


class _Raw(Table):
    """Only a way to run raw SQL."""


async def forwards() -> MigrationManager:
    """Make the roles, say what they may, and lock the rows."""
    manager = MigrationManager(migration_id=ID, app_name="setpoint", description=DESCRIPTION)

    async def run() -> None:
        grants = [one.strip() for one in GRANTS.split(";") if one.strip()]
        for statement in [ROLES, *HELPERS, *POLICIES, *grants, *HOT_READS]:
            await _Raw.raw(statement)

    async def run_backwards() -> None:
        for statement in BACKWARDS:
            await _Raw.raw(statement)

    manager.add_raw(run)
    manager.add_raw_backwards(run_backwards)
    return manager
