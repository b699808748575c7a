"""Where the Unix sockets of a data folder lie."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

# The kernel gives a socket's whole path 104 (macOS) to 108 bytes; `/.s.PGSQL.5432` takes 14. The characters are those
# that neither postgresql.conf, nor a URL, nor asyncpg (which splits hosts at commas) reads as anything but themselves.
PLAIN_AND_SHORT = re.compile(r"[\w./+@-]{1,88}", re.ASCII)
TEMPORARY = "setpoint-"  # what the name of a folder in the temporary one begins with


def make_socket_dir(data_path: Path, *, owner: int) -> Path:
    """
    Make the folder of the sockets: in the data folder, or in the temporary one when the path is long or odd.

    Only `owner` (and root) can enter it, for whoever reaches the socket is PostgreSQL's superuser. A folder in the
    temporary one has a fresh unguessable name each time; the servers' lock files remember it.
    """
    path = data_path / "sockets"
    if PLAIN_AND_SHORT.fullmatch(str(path)):
        path.mkdir(mode=0o700, exist_ok=True)
    else:
        path = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    path.chmod(0o700)
    if path.stat().st_uid != owner:
        os.chown(path, owner, -1)
    return path


def remove_socket_dir(path: Path) -> None:
    """Remove a folder that lies in the temporary one; that in the data folder stays, its name is part of a URL."""
    if path.name.startswith(TEMPORARY):
        shutil.rmtree(path, ignore_errors=True)
