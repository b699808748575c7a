"""The servers of a run: a PostgreSQL and a Valkey that can be broken, and nodes on them; all gone with the block."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from app.embedded import embedded_servers
from app.embedded.postgres import Postgres
from app.embedded.processes import ensure_running, stop
from tests.guarantees.node import Node
from tests.valkey import Valkey, valkey_process

WORKERS = 2  # of each node
STOP_LIMIT = 60.0  # seconds; workers get ten to drain
NODE = "app.cli.main"


class Servers(NamedTuple):
    """What runs, and what it can be reached by. The second node holds nothing itself: each read wants Redis."""

    folder: Path
    owner_url: str
    valkey: Valkey
    nodes: list[Node]
    own_postgresql: bool  # else it is somebody's, and must not be broken

    def end_postgresql(self, number: signal.Signals) -> None:
        """SIGINT ends it fast: it says goodbye to all. SIGQUIT does so at once, and the next start has to recover."""
        postgres = Postgres(self.folder / "postgresql")
        postgres.stop_signals = ((number, 20.0), *Postgres.stop_signals)
        stop(postgres)

    def start_postgresql(self) -> None:
        """Start it where it was, and wait until it answers."""
        postgres = Postgres(self.folder / "postgresql")
        sockets = postgres.life.socket_dir()
        assert sockets is not None
        ensure_running(postgres, data_path=postgres.data_path, new_socket_dir=lambda: sockets, announce=lambda _: None)


@contextmanager
def servers(*, nodes: int = 2, module: str = NODE, database: tuple[str, str] | None = None) -> Iterator[Servers]:
    """
    PostgreSQL, Valkey and nodes of two workers. Whatever happens, none of their processes outlives the block.

    PostgreSQL is durable: a restart must not lose what was acknowledged, or there would be no truth to hold against.
    `database` are the URLs of one to use instead, for serving and for owning it.
    """
    folder = Path(tempfile.mkdtemp(prefix="setpoint-faults-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url, owner_url = stack.enter_context(_postgresql(folder)) if database is None else database
        valkey = stack.enter_context(valkey_process())
        settings = {
            "DATABASE_URL": url,
            "OWNER_DATABASE_URL": owner_url,
            "REDIS_URL": valkey.url,
            "WORKERS": str(WORKERS),
            "LOG_LEVEL": "warning",
            "LOG_FORMAT": "json",
            # A reader that waits for PostgreSQL, or for its turn on a busy machine, must not be hung up on.
            "HEADER_TIMEOUT_SECONDS": "60",
        }
        running = []
        for at in range(nodes):
            more = {"L1_BYTES": "0"} if at else {}
            running.append(Node(folder / "node", module=module, **settings, **more))
            stack.callback(_kill, running[-1])
        for one in running:
            one.until_ready()
        yield Servers(folder, owner_url, valkey, running, database is None)
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.communicate(timeout=STOP_LIMIT)
            assert one.process.returncode == 0, f"a node ended with {one.process.returncode}"


@contextmanager
def _postgresql(folder: Path) -> Iterator[tuple[str, str]]:
    with embedded_servers(folder / "postgresql", announce=lambda _: None, need_valkey=False) as embedded:
        assert embedded.database_url is not None
        assert embedded.owner_database_url is not None
        yield embedded.database_url, embedded.owner_database_url


def _kill(one: Node) -> None:
    if one.process.poll() is None:
        one.kill()
