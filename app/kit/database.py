"""
PostgreSQL over asyncpg: a bounded pool, transactions, and one translation of its failures.

Connections are given back without a reset round trip, which halves the cost of a simple query. That is safe because
nothing here leaves session state behind: no LISTEN, no session SET, no session advisory lock on a pooled connection.
The reset query must be overridden on the class; the `reset` argument of the pool only adds work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from app.config import Config
from app.domain.access import Reach
from app.domain.errors import AlreadyExists, NotFound, SetpointError, Unavailable
from app.kit.logs import get_logger

IDLE_IN_TRANSACTION_SECONDS = 10  # a worker that dies in a transaction must not hold the counter row longer
LOCK_SECONDS = 3  # the longest a writer queues behind others before it answers 503

# What is passed to stores inside a transaction, and what comes back.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Row: TypeAlias = asyncpg.Record

T = TypeVar("T")

_UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, during a failover
    # An idle connection whose backend was ended has said so, but is not closed yet: asyncpg sends nothing over it.
    asyncpg.InternalClientError,
)


_log = get_logger()


class DatabaseUnavailable(Unavailable):
    """The database does not answer; try again."""

    code = "database-unavailable"


if TYPE_CHECKING:
    _BaseConnection = asyncpg.Connection[asyncpg.Record]
else:  # at run time the class takes no parameters
    _BaseConnection = asyncpg.Connection


class _PooledConnection(_BaseConnection):
    def get_reset_query(self) -> str:
        return ""


class Database:
    """A pool of connections. Open it with `open_database`."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], *, acquire_timeout_seconds: float) -> None:
        self._pool = pool
        self._acquire_timeout = acquire_timeout_seconds

    async def fetchrow(self, sql: str, *arguments: object) -> Row:
        """The one row of a statement that always gives one."""
        async with self.connection() as connection:
            row = await connection.fetchrow(sql, *arguments)
            return cast(Row, row)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """
        A connection of one's own for a moment: for what belongs to no tenant, and for functions that take a reach.

        Without a reach, tables of tenants are empty. Raises DatabaseUnavailable when none is to be had.
        """
        with _translated():
            connection = await self._acquired()
            try:
                yield cast(Connection, connection)
            except asyncpg.InternalClientError:
                connection.terminate()  # else the next one would be given it, if the end of it never arrives
                raise
            finally:
                await self._pool.release(connection)

    async def _acquired(self) -> PoolConnectionProxy[asyncpg.Record]:
        try:
            return await self._pool.acquire(timeout=self._acquire_timeout)
        except asyncpg.PostgresError as error:  # whatever it is, it is not what we asked: we asked for nothing yet
            raise DatabaseUnavailable from error

    @asynccontextmanager
    async def transaction(self, reach: Reach) -> AsyncIterator[Connection]:
        """One transaction on the rows within reach: committed when the block ends, rolled back when it raises."""
        async with self.connection() as connection, _begun(connection, "BEGIN", reach):
            yield connection

    @asynccontextmanager
    async def moment(self, reach: Reach) -> AsyncIterator[Connection]:
        """A connection for reading, within reach, that sees one moment, however many statements it takes."""
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        async with self.connection() as connection, _begun(connection, begin, reach):
            yield connection


@asynccontextmanager
async def _begun(connection: Connection, begin: str, reach: Reach) -> AsyncIterator[None]:
    """
    A transaction and its reach, begun in one round trip.

    Two statements in one message can have no parameters, so the reach goes as hexadecimal digits: it may hold anything
    and nothing in it can end the literal. It is local to the transaction, and gone with it.
    """
    set_reach = f"SELECT set_config('setpoint.reach', convert_from('\\x{reach.encode().hex()}', 'UTF8'), true)"
    try:
        await connection.execute(f"{begin}; {set_reach}")
        yield
    except BaseException:
        await _roll_back(connection)
        raise
    await connection.execute("COMMIT")


async def _roll_back(connection: Connection) -> None:
    """Leave the transaction; a connection on which not even that works must not be used again."""
    try:
        await connection.execute("ROLLBACK")
    except Exception:  # noqa: BLE001 - what went wrong first is what the caller is told
        connection.terminate()


@asynccontextmanager
async def open_database(url: str, *, config: Config) -> AsyncIterator[Database]:
    """
    A pool that is closed when the block ends.

    Raises DatabaseUnavailable when PostgreSQL cannot be reached within the configured time.
    """
    with _translated():
        pool = await asyncio.wait_for(_create_pool(url, config), config.connect_timeout_seconds + 1)
    try:
        yield Database(pool, acquire_timeout_seconds=config.acquire_timeout_seconds)
    finally:
        await _close(pool)


async def _create_pool(url: str, config: Config) -> asyncpg.Pool[asyncpg.Record]:
    return await asyncpg.create_pool(
        url,
        connection_class=_PooledConnection,
        min_size=min(2, config.pool_size),
        max_size=config.pool_size,
        timeout=config.connect_timeout_seconds,
        command_timeout=config.statement_timeout_seconds + 1,  # PostgreSQL's own limit should speak first
        statement_cache_size=256,
        # As server settings, not SETs on connect: these survive whatever a statement does.
        server_settings={
            "application_name": "setpoint",
            "jit": "off",
            "statement_timeout": _milliseconds(config.statement_timeout_seconds),
            "lock_timeout": _milliseconds(LOCK_SECONDS),
            "idle_in_transaction_session_timeout": _milliseconds(IDLE_IN_TRANSACTION_SECONDS),
        },
    )


async def _close(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    try:
        await asyncio.wait_for(pool.close(), timeout=5)  # seconds; requests have ended by then
    except TimeoutError:
        pool.terminate()


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


async def creating(work: Callable[[], Awaitable[T]]) -> T:
    """
    What `work` gives; once more from the start if another writer created the same thing meanwhile.

    Two who create look, find nothing, and insert; the second insert fails on the unique index. Looking again it finds
    what the first made, and can say so. `work` opens its own transaction.
    """
    try:
        return await work()
    except asyncpg.UniqueViolationError:
        pass
    try:
        return await work()
    except asyncpg.UniqueViolationError as error:  # made, removed and made again while we looked
        raise AlreadyExists from error


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise _refusal(error) from error
    except _UNREACHABLE as error:
        if isinstance(error, ValueError):  # asyncpg's own DataError: an argument of ours is wrong, not the database
            raise
        raise DatabaseUnavailable from error


def _refusal(error: asyncpg.InsufficientPrivilegeError) -> SetpointError:
    """
    What the caller is told when the database itself says no: the second lock has held where the first did not.

    A row out of reach is absent, as behind the gate. A right that the role lacks is our operator's to mend.
    """
    out_of_reach = "violates row-level security" in str(error)
    _log.error("database-refused", error=str(error)[:300], out_of_reach=out_of_reach)
    return NotFound() if out_of_reach else DatabaseUnavailable()
