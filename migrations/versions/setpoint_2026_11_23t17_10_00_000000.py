"""What Piccolo cannot express: scope paths, indexes, checks, collations, and the partitioned event table."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-23T17:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "scope paths, indexes, checks, and the event table"

# Adding a level: a new migration that replaces these checks.
LEVELS = "('GLOBAL', 'TENANT', 'TERRITORY', 'ACCOUNT', 'CONTACT_ROLE', 'CONTACT', 'USER')"

# The same string as Scope.path in app/domain/scope.py. Kept by the database, so that no writer can get it wrong.
SCOPE_PATH = """text COLLATE "C" GENERATED ALWAYS AS (
    CASE level
        WHEN 'GLOBAL' THEN 'GLOBAL'
        WHEN 'TENANT' THEN 'TENANT/' || tenant
        ELSE level || '/' || tenant || '/' || scope_id
    END) STORED NOT NULL"""

FORWARDS = f"""
-- Order of keys and ids is that of their bytes: it must not depend on a locale, and prefixes become ranges.
ALTER TABLE setting_definition ALTER COLUMN key TYPE text COLLATE "C";
ALTER TABLE setting_value ALTER COLUMN key TYPE text COLLATE "C";
ALTER TABLE tenant ALTER COLUMN id TYPE text COLLATE "C";

ALTER TABLE tenant ADD CONSTRAINT tenant_id_has_no_slash CHECK (id !~ '/' AND id <> '');

ALTER TABLE scope
    ADD COLUMN scope_path {SCOPE_PATH},
    ADD CONSTRAINT scope_level CHECK (level IN {LEVELS} AND level <> 'GLOBAL');
CREATE UNIQUE INDEX scope_by_path ON scope (scope_path);
CREATE INDEX scope_by_tenant ON scope (tenant, scope_path);

ALTER TABLE setting_value
    ADD COLUMN scope_path {SCOPE_PATH},
    ADD CONSTRAINT setting_value_level CHECK (level IN {LEVELS}),
    ADD CONSTRAINT setting_value_global_has_no_tenant CHECK ((level = 'GLOBAL') = (tenant IS NULL));
-- Serves reads of a chain, lists of one scope, and prefixes within both.
CREATE UNIQUE INDEX setting_value_by_scope ON setting_value (scope_path, key);
-- Serves the check of a changed definition against all of its values, and the foreign key.
CREATE INDEX setting_value_by_key ON setting_value (key, scope_path);
CREATE INDEX setting_value_by_tenant ON setting_value (tenant);

ALTER TABLE setting_history
    ADD COLUMN scope_path {SCOPE_PATH},
    ADD CONSTRAINT setting_history_operation CHECK (operation IN ('set', 'unset'));
CREATE UNIQUE INDEX setting_history_by_setting ON setting_history (setting_id, version DESC);
CREATE INDEX setting_history_by_scope ON setting_history (scope_path, key, position DESC);

ALTER TABLE setting_definition
    ADD CONSTRAINT setting_definition_sensitivity
        CHECK (sensitivity IN ('public', 'internal', 'confidential', 'secret')),
    ADD CONSTRAINT setting_definition_merge_strategy CHECK (merge_strategy IN ('replace', 'merge', 'append'));

CREATE INDEX append_dedupe_by_age ON append_dedupe (created_at);

-- Updated on every append: room on the page keeps these updates off the index.
ALTER TABLE feed_head SET (fillfactor = 10, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
INSERT INTO feed_head (feed, position) VALUES (1, 0), (2, 0);

CREATE TABLE event (
    feed smallint NOT NULL REFERENCES feed_head (feed),
    position bigint NOT NULL CHECK (position > 0),
    id uuid NOT NULL,
    type text NOT NULL,
    tenant text COLLATE "C",
    aggregate_type text NOT NULL,
    aggregate_id text COLLATE "C" NOT NULL,
    payload json NOT NULL,
    actor text NOT NULL,
    correlation_id text,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (feed, position)
) PARTITION BY RANGE (position);
-- Ten million positions each; the default partition takes what nobody made room for, so that no append ever fails.
CREATE TABLE event_p0000 PARTITION OF event FOR VALUES FROM (0) TO (10000000);
CREATE TABLE event_default PARTITION OF event DEFAULT;
"""

BACKWARDS = """
DROP TABLE event;
DELETE FROM feed_head;
ALTER TABLE feed_head RESET (fillfactor, autovacuum_vacuum_threshold, autovacuum_vacuum_scale_factor);
DROP INDEX append_dedupe_by_age;
ALTER TABLE setting_definition
    DROP CONSTRAINT setting_definition_sensitivity, DROP CONSTRAINT setting_definition_merge_strategy;
ALTER TABLE setting_history DROP CONSTRAINT setting_history_operation, DROP COLUMN scope_path;
DROP INDEX setting_history_by_setting;
ALTER TABLE setting_value DROP CONSTRAINT setting_value_level,
    DROP CONSTRAINT setting_value_global_has_no_tenant, DROP COLUMN scope_path;
DROP INDEX setting_value_by_tenant;
ALTER TABLE scope DROP CONSTRAINT scope_level, DROP COLUMN scope_path;
ALTER TABLE tenant DROP CONSTRAINT tenant_id_has_no_slash;
ALTER TABLE tenant ALTER COLUMN id TYPE text COLLATE "default";
ALTER TABLE setting_value ALTER COLUMN key TYPE text COLLATE "default";
ALTER TABLE setting_definition ALTER COLUMN key TYPE text COLLATE "default";
"""


class _Raw(Table):
    """Only a way to run raw SQL."""


async def forwards() -> MigrationManager:
    """Add what Piccolo cannot express."""
    manager = MigrationManager(migration_id=ID, app_name="setpoint", description=DESCRIPTION)

    async def run() -> None:
        for statement in _statements(FORWARDS):
            await _Raw.raw(statement)

    async def run_backwards() -> None:
        for statement in _statements(BACKWARDS):
            await _Raw.raw(statement)

    manager.add_raw(run)
    manager.add_raw_backwards(run_backwards)
    return manager


def _statements(script: str) -> list[str]:
    lines = [line for line in script.splitlines() if not line.strip().startswith("--")]
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]
