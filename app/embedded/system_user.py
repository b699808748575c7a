"""PostgreSQL refuses to run as root; this finds whom it runs as then, and how it reaches its files."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from app.embedded.errors import EmbeddedError

NAME = "setpoint"  # the system user made for it; `nobody` would share the database with other daemons
MAKE_LIMIT = 10.0  # seconds; two set-ups at once wait for each other at the lock of the user database


def owner_for(cluster: Path) -> int:
    """The user id that PostgreSQL runs as: ours, or when we are root that of the existing files or the system user."""
    if os.geteuid() != 0:
        return os.geteuid()
    if cluster.exists() and cluster.stat().st_uid != 0:
        return cluster.stat().st_uid
    return _system_user()


def as_user(owner: int, *, reaching: Sequence[Path]) -> list[str]:
    """
    What to put before a command so that it runs as `owner`; nothing when that is us.

    Root's files often lie where no one else may look (a home of mode 700). Rather than opening those folders to
    every user for good, the process alone is let past: CAP_DAC_OVERRIDE, given only when one of `reaching` needs it.
    """
    if owner == os.geteuid():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedError(
            "PostgreSQL does not run as root and `setpriv` (util-linux) is not there to change the user: "
            "run as an ordinary user, or set SETPOINT_DATABASE_URL."
        )
    command = [setpriv, f"--reuid={owner}", f"--regid={_group(owner)}", "--clear-groups"]
    if not all(_reachable(path, owner) for path in reaching):
        # The secure bit makes access(2) heed the capability too; initdb asks it where its programs are.
        command += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]
    return [*command, "--"]


def _system_user() -> int:
    deadline = time.monotonic() + MAKE_LIMIT
    while True:
        try:
            return pwd.getpwnam(NAME).pw_uid
        except KeyError:
            complaint = _make_system_user()
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"PostgreSQL does not run as root and the system user `{NAME}` cannot be made ({complaint}): "
                "run as an ordinary user, or set SETPOINT_DATABASE_URL."
            )


def _make_system_user() -> str:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
    try:
        made = subprocess.run(  # noqa: S603 (a constant command)
            command, capture_output=True, text=True, check=False, timeout=MAKE_LIMIT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        time.sleep(1)
        return str(error)
    if made.returncode != 0:
        time.sleep(0.2)  # most often another set-up holds the user database
    return made.stderr.strip()


def _group(owner: int) -> int:
    try:
        return pwd.getpwuid(owner).pw_gid
    except KeyError:
        return owner


def _reachable(path: Path, owner: int) -> bool:
    return all(_may_pass(step, owner) for step in (path, *path.parents))


def _may_pass(path: Path, owner: int) -> bool:
    found = path.stat()
    needed = stat.S_IXUSR if found.st_uid == owner else stat.S_IXOTH
    return bool(found.st_mode & needed)
