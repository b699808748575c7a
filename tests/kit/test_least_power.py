"""The role that serves is refused when row-level security would not hold it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.config import Config
from app.domain.access import EVERYWHERE, Reach
from app.domain.errors import NotFound
from app.kit.database import Connection, Database, DatabaseUnavailable, open_database
from app.kit.least_power import TooMuchPower, require_least_power, require_least_power_at

pytestmark = pytest.mark.anyio

ACME, GLOBEX = Reach("acme"), Reach("globex")


@pytest.fixture
async def database(db: Connection, config: Config, app_url: str) -> AsyncIterator[Database]:
    """A pool of a single connection, so that whatever one request leaves behind meets the next."""
    del db
    small = Config(data_dir=config.data_dir, pool_size=1)
    async with open_database(app_url, config=small) as opened:
        yield opened


async def tenants(database: Database, reach: Reach) -> list[str]:
    async with database.moment(reach) as connection:
        return [row["id"] for row in await connection.fetch("SELECT id FROM tenant ORDER BY id")]


async def test_the_role_of_a_node_has_no_more_power_than_it_needs(db: Connection, app_url: str) -> None:
    del db
    await require_least_power_at(app_url, timeout=5)


async def test_a_superuser_is_refused(db: Connection, database_url: str) -> None:
    with pytest.raises(TooMuchPower, match=r"it is a superuser.*it owns.*SETPOINT_OWNER_DATABASE_URL"):
        await require_least_power_at(database_url, timeout=5)
    del db


@pytest.mark.parametrize(
    ("loosened", "said"),
    [
        ("ALTER TABLE scope NO FORCE ROW LEVEL SECURITY", "not forced on scope"),
        ("ALTER TABLE setting_value DISABLE ROW LEVEL SECURITY", "not forced on setting_value"),
        ("ALTER TABLE tenant OWNER TO setpoint_app", "it owns tenant"),
        ("CREATE TABLE forgotten (tenant text)", "not forced on forgotten"),
        ("GRANT CREATE ON SCHEMA public TO setpoint_app", "it can create in the schema public"),
        ("GRANT SELECT ON event_p0000 TO setpoint_app", "partitions event_p0000"),
        ("CREATE VIEW all_values AS SELECT * FROM setting_value", "views read with their owner's rights: all_values"),
        (
            "CREATE FUNCTION sudo() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            "functions run with their owner's rights: sudo",
        ),
    ],
)
async def test_a_lock_that_is_loose_is_found(db: Connection, loosened: str, said: str) -> None:
    transaction = db.transaction()
    await transaction.start()
    try:
        await db.execute(loosened)
        await db.execute("SET LOCAL ROLE setpoint_app")

        with pytest.raises(TooMuchPower, match=said):
            await require_least_power(db)
    finally:
        await transaction.rollback()


async def test_a_reach_ends_with_its_transaction(database: Database) -> None:
    assert await tenants(database, EVERYWHERE) == ["acme", "globex"]
    assert await tenants(database, ACME) == ["acme"]
    async with database.connection() as connection:
        assert await connection.fetch("SELECT id FROM tenant") == []
    assert await tenants(database, GLOBEX) == ["globex"]
    assert await tenants(database, Reach("")) == []
    assert await tenants(database, Reach("'; SELECT set_config('setpoint.reach', '*', false); --")) == []


async def test_a_reach_ends_with_its_function(database: Database) -> None:
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM effective_by_prefix('acme', '{}', 'acme', '')")
        assert row is not None
        assert row["tenant_exists"]
        assert await connection.fetchval("SELECT count(*) FROM tenant") == 0


async def test_a_reach_ends_with_an_error_too(database: Database) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with database.transaction(EVERYWHERE) as tx:
            await tx.execute("SELECT 1 / 0")

    assert await tenants(database, Reach("")) == []


async def test_what_is_out_of_reach_cannot_be_written(database: Database) -> None:
    insert = """
        INSERT INTO scope (tenant, level, scope_id, attributes, version, position, created_at, created_by, updated_at,
            updated_by)
        VALUES ($1, 'TERRITORY', 'XX', '{}', 1, 1, now(), 'x', now(), 'x')"""

    for reach in (GLOBEX, Reach("")):
        with pytest.raises(NotFound):
            async with database.transaction(reach) as tx:
                await tx.execute(insert, "acme")
    async with database.transaction(GLOBEX) as tx:
        assert await tx.execute("DELETE FROM tenant WHERE id = 'acme'") == "DELETE 0"
        assert await tx.execute("UPDATE scope SET owner = 'gina' WHERE tenant = 'acme'") == "UPDATE 0"


@pytest.mark.parametrize("table", ["event", "setting_history"])
async def test_what_happened_cannot_be_changed_by_whoever_serves(database: Database, table: str) -> None:
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET tenant = 'globex'", f"TRUNCATE {table}"):
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction(EVERYWHERE) as tx:
                await tx.execute(statement)


async def test_row_level_security_cannot_be_switched_off(database: Database) -> None:
    async def switched_off() -> None:
        async with database.transaction(ACME) as tx:
            await tx.execute("SET LOCAL row_security = off")
            await tx.fetch("SELECT id FROM tenant")

    with pytest.raises(DatabaseUnavailable):
        await switched_off()
