"""Who uses the servers of a data folder: the first node starts them, the last one stops them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import msgspec

from app.embedded.errors import EmbeddedError
from app.embedded.locks import FileLock
from app.embedded.postgres import Postgres
from app.embedded.processes import START_LIMIT, Server, ensure_running, stop
from app.embedded.sockets import make_socket_dir, remove_socket_dir
from app.embedded.system_user import owner_for
from app.embedded.valkey import Valkey

TRANSITION_LIMIT = 2 * START_LIMIT + 30  # seconds; both servers may start before us, the first after a crash
ANOTHER_NODE = "another node that is starting or stopping"


class EmbeddedServers(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the servers that were asked for; `owner_database_url` is for migrations."""

    database_url: str | None
    owner_database_url: str | None
    redis_url: str | None


@contextmanager
def embedded_servers(
    data_path: Path,
    *,
    announce: Callable[[str], None],
    need_postgres: bool = True,
    need_valkey: bool = True,
    durable: bool = True,
) -> Iterator[EmbeddedServers]:
    """
    Be a node of this data folder: its servers run from here to the end of the last node.

    `announce` is told of what takes time. `durable=False` trades safety in a crash for speed, for tests.

    Raises EmbeddedError, on entering, when the folder or a server cannot be used.
    """
    with _as_sentence(data_path):
        _make_folder(data_path)
        membership = FileLock(data_path / "nodes.lock")
    os.register_at_fork(after_in_child=membership.close)  # workers are no nodes, least of all after ours is killed
    try:
        with _as_sentence(data_path), _transition(data_path):
            membership.share(limit=START_LIMIT, meaning=ANOTHER_NODE)
            servers = _start(
                data_path, announce=announce, need_postgres=need_postgres, need_valkey=need_valkey, durable=durable
            )
        yield servers
    finally:
        _leave(data_path, membership)


def _start(
    data_path: Path, *, announce: Callable[[str], None], need_postgres: bool, need_valkey: bool, durable: bool
) -> EmbeddedServers:
    postgres = Postgres(data_path, durable=durable) if need_postgres else None
    valkey = Valkey(data_path) if need_valkey else None
    new_socket_dir = cache(lambda: make_socket_dir(data_path, owner=owner_for(data_path / "postgres")))

    def running(server: Server) -> Path:
        return ensure_running(server, data_path=data_path, new_socket_dir=new_socket_dir, announce=announce)

    postgres_sockets = running(postgres) if postgres else None
    return EmbeddedServers(
        database_url=postgres.url(postgres_sockets) if postgres and postgres_sockets else None,
        owner_database_url=postgres.owner_url(postgres_sockets) if postgres and postgres_sockets else None,
        redis_url=valkey.url(running(valkey)) if valkey else None,
    )


def _leave(data_path: Path, membership: FileLock) -> None:
    with membership, _as_sentence(data_path), _transition(data_path):
        if not membership.try_take():
            return
        socket_dirs = {_stop(Valkey, data_path), _stop(Postgres, data_path)}
        for path in socket_dirs:
            if path is not None:
                remove_socket_dir(path)


def _stop(kind: type[Valkey] | type[Postgres], data_path: Path) -> Path | None:
    life = kind.life_lock(data_path)
    if not life.is_held():
        return None
    socket_dir = life.socket_dir()
    stop(kind(data_path))
    return socket_dir


@contextmanager
def _transition(data_path: Path) -> Iterator[None]:
    with FileLock(data_path / "transition.lock") as lock:
        lock.take(limit=TRANSITION_LIMIT, meaning=ANOTHER_NODE)
        yield


def _make_folder(data_path: Path) -> None:
    if data_path.exists() and not data_path.is_dir():
        raise EmbeddedError(
            f"{data_path} is a file, but the data folder should be there: set SETPOINT_DATA_DIR to another."
        )
    data_path.mkdir(parents=True, exist_ok=True)
    if not os.access(data_path, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(data_path))


@contextmanager
def _as_sentence(data_path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename and str(error.filename) != str(data_path) else ""
        raise EmbeddedError(
            f"The data folder {data_path} cannot be used: {(error.strerror or str(error)).lower()}{where}; "
            "put that right, or set SETPOINT_DATA_DIR to another folder."
        ) from error
