"""Reads of the cache: whole scopes, all definitions, and the events of a feed, each with its place in one history."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-24T21:50:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "reads of the cache"

# Each function is STABLE, so all of its statements share the snapshot of the statement that calls it: the mark, the
# position and the rows are of one moment. The id of the head's event may be another tenant's, so it is read with the
# widest reach, and nothing else is.
HEAD_MARK = """
    PERFORM set_config('setpoint.reach', '*', true);
    SELECT h.position, e.id INTO head, mark
    FROM feed_head h LEFT JOIN event e ON e.feed = h.feed AND e.position = h.position WHERE h.feed = 1;
    PERFORM set_config('setpoint.reach', reach, true);"""

FORWARDS = [
    # Indexes: setting_value_by_scope, scope_by_path, tenant_pkey.
    f"""
    CREATE FUNCTION scope_entries(reach text, paths text[], wanted_tenant text)
    RETURNS TABLE (
        feed_position bigint, feed_mark uuid, tenant_exists boolean,
        facts_path text[], facts_territory text[], facts_owner text[],
        values_path text[], values_key text[], values_id uuid[], values_value text[], values_metadata text[],
        values_version int[], values_position bigint[], values_created_at timestamptz[], values_created_by text[],
        values_updated_at timestamptz[], values_updated_by text[])
    LANGUAGE plpgsql STABLE AS $$
    #variable_conflict use_column
    DECLARE
        head bigint;
        mark uuid;
    BEGIN
        {HEAD_MARK}
        RETURN QUERY
        SELECT head, mark, EXISTS (SELECT FROM tenant t WHERE t.id = wanted_tenant), facts.*, items.*
        FROM
            (SELECT array_agg(s.scope_path::text), array_agg(s.territory), array_agg(s.owner)
             FROM scope s WHERE s.scope_path = ANY(paths)) facts,
            (SELECT array_agg(v.scope_path::text), array_agg(v.key::text), array_agg(v.id), array_agg(v.value::text),
                    array_agg(v.metadata::text), array_agg(v.version), array_agg(v.position),
                    array_agg(v.created_at), array_agg(v.created_by), array_agg(v.updated_at), array_agg(v.updated_by)
             FROM setting_value v WHERE v.scope_path = ANY(paths)) items;
    END
    $$
    """,
    # The whole table by design: a registry has as many definitions as its programs have keys.
    f"""
    CREATE FUNCTION all_definitions()
    RETURNS TABLE (
        feed_position bigint, feed_mark uuid,
        keys_key text[], keys_default text[], keys_merge_strategy text[], keys_sensitivity text[])
    LANGUAGE plpgsql STABLE AS $$
    #variable_conflict use_column
    DECLARE
        reach text := '';
        head bigint;
        mark uuid;
    BEGIN
        {HEAD_MARK}
        RETURN QUERY
        SELECT head, mark, defined.*
        FROM (SELECT array_agg(d.key::text ORDER BY d.key), array_agg(d.default_value::text ORDER BY d.key),
                     array_agg(d.merge_strategy ORDER BY d.key), array_agg(d.sensitivity ORDER BY d.key)
              FROM setting_definition d) defined;
    END
    $$
    """,
    # Index: event_pkey of each partition.
    """
    CREATE FUNCTION events_after(reach text, wanted_feed smallint, after bigint, at_most int)
    RETURNS TABLE (
        feed_position bigint, events_position bigint[], events_id uuid[], events_type text[], events_tenant text[],
        events_aggregate_id text[], events_payload text[])
    LANGUAGE plpgsql STABLE AS $$
    #variable_conflict use_column
    BEGIN
        PERFORM set_config('setpoint.reach', reach, true);
        RETURN QUERY
        SELECT h.position, page.*
        FROM feed_head h,
            (SELECT array_agg(e.position ORDER BY e.position), array_agg(e.id ORDER BY e.position),
                    array_agg(e.type ORDER BY e.position), array_agg(e.tenant::text ORDER BY e.position),
                    array_agg(e.aggregate_id::text ORDER BY e.position), array_agg(e.payload::text ORDER BY e.position)
             FROM (SELECT * FROM event x WHERE x.feed = wanted_feed AND x.position > after
                   ORDER BY x.position LIMIT at_most) e) page
        WHERE h.feed = wanted_feed;
    END
    $$
    """,
]

BACKWARDS = ["DROP FUNCTION events_after, all_definitions, scope_entries"]


class _Raw(Table):
    """Only a way to run raw SQL."""


async def forwards() -> MigrationManager:
    """Make the functions."""
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
