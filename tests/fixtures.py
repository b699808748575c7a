"""
One PostgreSQL for the whole run, a database for each test process, and the application in it.

The processes of one run meet in a data folder below the run's temporary folder: the first starts the server there and
makes the template (migrated, and settled with the world of tests/world.py), the last one stops it. Each process has a
database of its own, which is set back to the template's state before every test that uses it. The application is built
once per process and started anew for every test, so that nothing it remembers outlives a test.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import asyncpg
import msgspec
import pytest

from app.config import Config
from app.embedded import embedded_servers, processes
from app.kit import asgi
from app.kit.database import Connection
from app.kit.logs import configure_logs
from app.kit.migrations import migrate_forwards
from app.main import create_app
from app.settings.registry import Registry
from tests.valkey import Valkey, valkey_process
from tests.world import START, Api, SteppableClock, settle

T = TypeVar("T")

TEMPLATE = "setpoint_template"
TABLES = (
    "setting_value",
    "setting_history",
    "scope",
    "setting_definition",
    "tenant",
    "event",
    "append_dedupe",
    "feed_head",
    "audit_head",
    "audit_record",
    "api_key",
    "revocation",
)
LIMIT = 20.0  # seconds to start or stop an application; it takes a few hundredths of one

# Keeps the world aside, and makes `world.reset()`, which brings it back. Generated columns generate themselves again;
# constraints are not looked at, as what comes back is what was there. Deleting few rows is faster than truncating.
KEEP_WORLD = """
CREATE SCHEMA world;
DO $make$
DECLARE
    name text;
    columns text;
    body text := 'PERFORM set_config(''session_replication_role'', ''replica'', true);';
BEGIN
    FOREACH name IN ARRAY $tables LOOP
        SELECT string_agg(quote_ident(column_name), ', ') INTO columns FROM information_schema.columns
            WHERE table_schema = 'public' AND table_name = name AND is_generated = 'NEVER';
        EXECUTE format('CREATE TABLE world.%I AS SELECT %s FROM public.%I', name, columns, name);
        body := body || format('DELETE FROM public.%1$I; INSERT INTO public.%1$I (%2$s) SELECT * FROM world.%1$I;',
                               name, columns);
    END LOOP;
    EXECUTE format('CREATE FUNCTION world.reset() RETURNS void LANGUAGE plpgsql AS %L',
                   'BEGIN ' || body || ' END');
END
$make$
""".replace("$tables", f"ARRAY{list(TABLES)}")


class Databases:
    """Databases on the run's PostgreSQL, as its superuser. Names are the caller's."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, name: str) -> str:
        """Where a database is."""
        return self._url.replace("/setpoint?", f"/{name}?")

    def app_url(self, name: str) -> str:
        """Where a database is for the role that serves."""
        return self.serving(self.url(name))

    @staticmethod
    def serving(url: str) -> str:
        """The same database for the role that serves: it owns nothing and is held to its reach."""
        return url.replace("postgres@", "setpoint_app@")

    def create(self, name: str, *, template: str = "template1") -> str:
        """Make a database anew, and give its URL."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        return self.url(name)

    def exists(self, name: str) -> bool:
        """Whether there is such a database."""
        return bool(self.execute("SELECT 1 FROM pg_database WHERE datname = $1", name))

    def execute(self, statement: str, *arguments: object) -> list[Any]:
        """The rows of one statement, outside of our databases."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.url("postgres"))
            try:
                return await connection.fetch(statement, *arguments)
            finally:
                await connection.close()

        return in_a_loop_of_its_own(run)


@pytest.fixture(scope="session", autouse=True)
def logs() -> None:
    """Logs as in production; left alone, structlog draws every failure that a test provokes, which takes a second."""
    configure_logs(level="error", form="json")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One event loop for the whole session, of the kind that serves."""
    return "asyncio"


@pytest.fixture(scope="session")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all processes of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def databases(run_path: Path) -> Iterator[Databases]:
    """The run's PostgreSQL."""
    with embedded_servers(run_path / "servers", announce=print, need_valkey=False, durable=False) as servers:
        assert servers.owner_database_url is not None
        yield Databases(servers.owner_database_url)
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        processes._children.clear()  # the server may be ours and serve others still; Python would complain of it


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """The Valkey of this process. It keeps what it holds from test to test, as one beside a restored database would."""
    with valkey_process() as server:
        yield server


def valkey_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the Valkey of this process listens; what is in it stays between tests."""
    path = tmp_path_factory.mktemp("valkey")
    with embedded_servers(path, announce=print, need_postgres=False, durable=False) as servers:
        assert servers.redis_url is not None
        yield Path(unquote(servers.redis_url.removeprefix("unix://")))
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        processes._children.clear()


@pytest.fixture(scope="session")
def config(run_path: Path, valkey: Valkey) -> Config:
    """How tests run: with limits that are quickly reached."""
    return Config(
        data_dir=str(run_path / "servers"),
        redis_url=valkey.url,
        redis_timeout_seconds=0.5,  # on a machine that does much else, 50 ms pass before anybody is to blame
        write_burst=1_000_000_000,  # counted in Redis, which outlives each test
        min_position_wait_seconds=0.05,
        acquire_timeout_seconds=5.0,
        pool_size=8,
    )


@pytest.fixture(scope="session")
def template(run_path: Path, databases: Databases, config: Config) -> str:
    """The name of a database with the world in it; made by the process that comes first."""
    with (run_path / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not databases.exists(TEMPLATE):
            url = databases.create("setpoint_unfinished")
            in_a_thread(lambda: migrate_forwards(url))
            in_a_loop_of_its_own(lambda: _settled(config, databases))
            databases.execute(f"ALTER DATABASE setpoint_unfinished RENAME TO {TEMPLATE}")
    return TEMPLATE


@pytest.fixture(scope="session")
def worker_name() -> str:
    """What tells this test process from the others of the run."""
    return os.environ.get("PYTEST_XDIST_WORKER", "alone")


@pytest.fixture(scope="session")
def database_url(databases: Databases, template: str, worker_name: str) -> str:
    """The database of this process."""
    return databases.create(f"setpoint_{worker_name}", template=template)


@pytest.fixture(scope="session")
def clock() -> SteppableClock:
    """The clock of the application."""
    return SteppableClock()


@pytest.fixture(scope="session")
def app_url(databases: Databases, database_url: str, worker_name: str) -> str:
    """The database of this process, as the application reaches it."""
    del database_url  # made
    return databases.app_url(f"setpoint_{worker_name}")


@pytest.fixture(scope="session")
def application(config: Config, app_url: str, clock: SteppableClock) -> asgi.App:
    """The application of this process, not started."""
    return create_app(msgspec.structs.replace(config, database_url=app_url), clock=clock, ticks=clock.ticks)


@pytest.fixture
async def db(database_url: str, clock: SteppableClock) -> AsyncIterator[Connection]:
    """A superuser's connection to the database, which is set back to the world first."""
    clock.now = START
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SELECT world.reset()")
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def api(
    db: object, application: asgi.App, config: Config, app_url: str, clock: SteppableClock
) -> AsyncIterator[Api]:
    """The running application, with the world and nothing else in its database."""
    del db
    async with started(application) as registry:
        config = msgspec.structs.replace(config, database_url=app_url)
        yield Api(application, config=config, clock=clock, registry=registry)


@pytest.fixture
async def openapi(api: Api) -> dict[str, Any]:
    """The OpenAPI document, as served."""
    document: dict[str, Any] = (await api.anonymous.get("/schema/openapi.json")).json()
    return document


@asynccontextmanager
async def running(config: Config, *, clock: SteppableClock) -> AsyncIterator[Api]:
    """Another application with a configuration of its own, for the length of a block."""
    application = create_app(config, clock=clock, ticks=clock.ticks)
    async with started(application) as registry:
        yield Api(application, config=config, clock=clock, registry=registry)


@asynccontextmanager
async def started(application: asgi.App) -> AsyncIterator[Registry]:
    """Run the application's lifespan around a block, as a server does: in a task of its own. Gives its insides."""
    requests: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    answers: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    task = asyncio.create_task(application(scope, requests.get, answers.put))  # type: ignore[arg-type]
    await requests.put({"type": "lifespan.startup"})
    answer = await asyncio.wait_for(answers.get(), LIMIT)
    assert answer["type"] == "lifespan.startup.complete", answer
    try:
        yield await _registry_of(application)
    finally:
        await requests.put({"type": "lifespan.shutdown"})
        answer = await asyncio.wait_for(answers.get(), LIMIT)
        await asyncio.wait_for(task, LIMIT)
    assert answer["type"] == "lifespan.shutdown.complete", answer


async def _registry_of(application: asgi.App) -> Registry:
    """The application's insides; a request that has passed through it knows them."""
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/api/health/live", "query_string": b""}
    scope |= {"headers": [], "client": None, "scheme": "http", "server": ("setpoint.test", 80), "raw_path": b"/"}
    said: asyncio.Queue[Any] = asyncio.Queue()
    await application(scope, asyncio.Queue().get, said.put)
    registry: Registry = scope["litestar_app"].state.registry
    return registry


def in_a_loop_of_its_own(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What a coroutine gives, from a fixture that may stand beside a running loop."""
    return in_a_thread(lambda: asyncio.run(work()))


def in_a_thread(work: Callable[[], T]) -> T:
    """What a function gives in a thread of its own; also what it raises."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


async def _settled(config: Config, databases: Databases) -> None:
    """Settle the world in a migrated database, and keep it aside."""
    config = msgspec.structs.replace(config, database_url=databases.app_url("setpoint_unfinished"))
    async with running(config, clock=SteppableClock()) as api:
        await settle(api.platform)
    connection = await asyncpg.connect(databases.url("setpoint_unfinished"))
    try:
        await connection.execute(KEEP_WORLD)
    finally:
        await connection.close()
