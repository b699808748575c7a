"""The schema's history: every step can be taken and taken back, by one node or several, and says what the code says."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.access.api_keys import store as key_store
from app.access.revocation import store as revocation_store
from app.kit.migrations import MigrationFailed, known_ids, migrate_backwards, migrate_forwards
from app.log.append import _APPEND
from app.settings.cache import store as cache_store
from app.settings.definitions import store as definitions_store
from app.settings.directory import store as directory_store
from app.settings.values import store as values_store
from tests.fixtures import Databases, in_a_loop_of_its_own

ROOT = Path(__file__).parents[2]
POSTGRES_TYPES = {
    "Text": "text",
    "Timestamptz": "timestamp with time zone",
    "BigInt": "bigint",
    "Integer": "integer",
    "SmallInt": "smallint",
    "Serial": "integer",
    "UUID": "uuid",
    "JSON": "json",
    "Boolean": "boolean",
    "Bytea": "bytea",
    "Array": "ARRAY",
    "ForeignKey": "text",
}


@pytest.fixture
def fresh(databases: Databases, worker_name: str) -> str:
    """The URL of an empty database."""
    return databases.create(f"fresh_{worker_name}")


def fetch(url: str, sql: str, *arguments: object) -> list[Any]:
    async def run() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(sql, *arguments)
        finally:
            await connection.close()

    return in_a_loop_of_its_own(run)


def shape(url: str) -> list[tuple[Any, ...]]:
    """Every column, index and constraint there is."""
    columns = fetch(
        url,
        """SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name, generation_expression
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'migration' ORDER BY 1, 2""",
    )
    indexes = fetch(url, "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2")
    checks = fetch(
        url,
        """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    )
    return [tuple(row) for rows in (columns, indexes, checks) for row in rows]


def test_up_down_and_up_again_gives_the_same_schema(fresh: str) -> None:
    applied = migrate_forwards(fresh)
    before = shape(fresh)
    undone = migrate_backwards(fresh, to="all")
    between = shape(fresh)
    again = migrate_forwards(fresh)

    assert applied == again == known_ids()
    assert undone == known_ids()[::-1]
    assert [row for row in between if row[0] != "migration"] == []
    assert shape(fresh) == before


def test_migrating_twice_does_nothing_the_second_time(fresh: str) -> None:
    migrate_forwards(fresh)

    assert migrate_forwards(fresh) == []


def test_of_two_nodes_that_start_together_one_migrates(fresh: str) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        applied = pool.map(migrate_forwards, [fresh, fresh])

    assert sorted(applied, key=len) == [[], known_ids()]


def test_a_database_of_a_newer_release_is_refused(fresh: str) -> None:
    migrate_forwards(fresh)
    fetch(fresh, "INSERT INTO migration (name, app_name) VALUES ('2999-01-01T00:00:00:000000', 'setpoint')")

    with pytest.raises(MigrationFailed, match="migrated by a newer release"):
        migrate_forwards(fresh)


def test_a_migration_that_fails_leaves_nothing_behind_and_says_why(fresh: str) -> None:
    fetch(fresh, "CREATE TABLE event (mine int)")

    with pytest.raises(MigrationFailed, match='"event" already exists'):
        migrate_forwards(fresh)

    assert fetch(fresh, "SELECT count(*) FROM pg_indexes WHERE indexname = 'setting_value_by_scope'")[0][0] == 0
    fetch(fresh, "DROP TABLE event")
    assert migrate_forwards(fresh) == known_ids()[1:]


def test_a_database_that_cannot_be_reached_is_said_in_a_sentence() -> None:
    with pytest.raises(MigrationFailed, match=r"^PostgreSQL cannot be reached for migrating: .+\.$"):
        migrate_forwards("postgresql://nobody@127.0.0.1:1/none")


def test_piccolo_finds_nothing_to_migrate(fresh: str) -> None:
    """What the tables say and what the migrations made are the same; run apart, as Piccolo keeps its engine."""
    code = """
import asyncio
from piccolo.apps.migrations.auto import DiffableTable, SchemaDiffer, SchemaSnapshot
from piccolo.apps.migrations.commands.base import BaseMigrationManager
from piccolo.conf.apps import Finder

async def main():
    config = Finder().get_app_config("setpoint")
    managers = await BaseMigrationManager().get_migration_managers(config)
    snapshot = SchemaSnapshot(managers).get_snapshot()
    current = [DiffableTable(class_name=table.__name__, tablename=table._meta.tablename,
                             columns=table._meta.non_default_columns, schema=table._meta.schema)
               for table in config.table_classes]
    differ = SchemaDiffer(schema=current, schema_snapshot=snapshot, auto_input="y")
    print([line for change in differ.get_alter_statements() for line in change.statements])

asyncio.run(main())
"""
    environment = {**os.environ, "SETPOINT_DATABASE_URL": fresh, "PICCOLO_CONF": "migrations.piccolo_conf"}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[-1] == "[]", said.stdout


def test_every_column_that_the_tables_declare_is_there_as_declared(database_url: str) -> None:
    code = """
import json
from piccolo.conf.apps import Finder
tables = Finder().get_app_config("setpoint").table_classes
print(json.dumps([[table._meta.tablename, column._meta.db_column_name, type(column).__name__, column._meta.null]
                  for table in tables for column in table._meta.columns]))
"""
    environment = {**os.environ, "SETPOINT_DATABASE_URL": database_url, "PICCOLO_CONF": "migrations.piccolo_conf"}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    declared = {(table, column): (POSTGRES_TYPES[kind], null) for table, column, kind, null in json.loads(said.stdout)}

    rows = fetch(
        database_url,
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'public'",
    )
    found = {(row[0], row[1]): (row[2], row[3] == "YES") for row in rows}
    assert {place: found.get(place) for place in declared} == declared


def test_the_event_table_has_the_columns_that_are_appended(database_url: str) -> None:
    written = re.search(r"INSERT INTO event \(([^)]*)\)", _APPEND)
    assert written is not None

    rows = fetch(database_url, "SELECT column_name FROM information_schema.columns WHERE table_name = 'event'")

    assert {name.strip() for name in written[1].split(",")} == {row[0] for row in rows}


def statements() -> dict[str, str]:
    """Every SELECT of the stores that a request may send, by its name."""
    stores = (definitions_store, directory_store, cache_store, values_store, key_store, revocation_store)
    return {
        f"{store.__name__}.{name}": value.replace("{visible}", "TRUE")  # what the gate adds leaves no index unused
        for store in stores
        for name, value in vars(store).items()
        if isinstance(value, str)
        and "{definitions}" not in value
        and value.lstrip().startswith("SELECT")
        and "$1" in value
        and value is not revocation_store._IN_FORCE  # a worker that starts reads them all
    }


# Whole tables by design: a page of all tenants or definitions starts where the caller says, and both are small.
SMALL_TABLES = {"tenant", "setting_definition", "feed_head"}


@pytest.mark.parametrize("name", sorted(statements()))
def test_no_statement_reads_a_large_table_whole(large: str, name: str) -> None:
    plan = plan_of(large, statements()[name])

    scanned = set(re.findall(r"Seq Scan on (\w+)", plan))

    assert scanned <= SMALL_TABLES, plan


def plan_of(url: str, statement: str) -> str:
    """The plan that serves every argument."""
    arguments = ", ".join(["NULL"] * max(int(number) for number in re.findall(r"\$(\d+)", statement)))

    async def run() -> str:
        connection = await asyncpg.connect(url, server_settings={"plan_cache_mode": "force_generic_plan"})
        try:
            await connection.execute(f"PREPARE asked AS {statement}")
            rows = await connection.fetch(f"EXPLAIN EXECUTE asked ({arguments})")
        finally:
            await connection.close()
        return "\n".join(row[0] for row in rows)

    return in_a_loop_of_its_own(run)


@pytest.fixture(scope="module")
def large(databases: Databases, template: str, worker_name: str) -> str:
    """The URL of a database with thousands of values, scopes and versions, whose statistics are fresh."""
    url = databases.create(f"large_{worker_name}", template=template)
    script = """
INSERT INTO tenant (id, name, version, position, created_at, created_by, updated_at, updated_by)
SELECT 't' || i, 't', 1, i, now(), 'x', now(), 'x' FROM generate_series(1, 50) i;
INSERT INTO scope (tenant, level, scope_id, attributes, version, position, created_at, created_by, updated_at,
    updated_by)
SELECT 't' || 1 + i % 50, 'ACCOUNT', 'a' || i, '{}', 1, i, now(), 'x', now(), 'x' FROM generate_series(1, 5000) i;
INSERT INTO setting_definition (key, schema, default_value, merge_strategy, levels, sensitivity, tags, deprecated,
    version, position, created_at, created_by, updated_at, updated_by)
SELECT 'many.k' || i, '{}', '0', 'replace', '{ACCOUNT}', 'public', '{}', false, 1, i, now(), 'x', now(), 'x'
FROM generate_series(1, 200) i;
INSERT INTO setting_value (id, tenant, level, scope_id, key, value, metadata, version, position, created_at, created_by,
    updated_at, updated_by)
SELECT gen_random_uuid(), 't' || 1 + i % 50, 'ACCOUNT', 'a' || i, 'many.k' || 1 + i % 200, '0', '{}', 1, i, now(), 'x',
    now(), 'x'
FROM generate_series(1, 5000) i;
INSERT INTO setting_history (setting_id, operation, tenant, level, scope_id, key, value, metadata, version, position,
    at, by)
SELECT id, 'set', tenant, level, scope_id, key, value, metadata, version, 100000 + position, updated_at, updated_by
FROM setting_value;
INSERT INTO api_key (id, tenant, owner, name, kind, roles, territories, accounts, clearance, secret_digest, pepper_id,
    expires_at, version, position, created_at, created_by, updated_at, updated_by)
SELECT 'k' || i, 't' || 1 + i % 50, 'x', 'x', 'service', '{}', '{}', '{}', 'public', '', 'x', now(), 1, i, now(), 'x',
    now(), 'x' FROM generate_series(1, 5000) i;
INSERT INTO revocation (id, tenant, token_id, position, created_at, created_by)
SELECT gen_random_uuid(), 't' || 1 + i % 50, 'x', i, now(), 'x' FROM generate_series(1, 5000) i;
ANALYZE"""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(script)
        finally:
            await connection.close()

    in_a_loop_of_its_own(run)
    return url
