"""File locks with a limit to every wait, and the lock a server process carries through its life."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from app.embedded.errors import EmbeddedError

POLL = 0.02  # seconds between two looks at a lock; flock itself cannot wait with a limit
TEXT_LIMIT = 4096  # bytes read from a lock file; it holds one path


class FileLock:
    """An flock on a file made for it. Closing the last descriptor of an open file gives the lock back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of this process's hold; one inherited by a child stays."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def try_take(self) -> bool:
        """Take the lock for ourselves alone if nobody else has it in any way."""
        return self._attempt(fcntl.LOCK_EX)

    def take(self, *, limit: float, meaning: str) -> None:
        """Take the lock for ourselves alone within `limit` seconds. `meaning` is why someone else may hold it."""
        self._wait(fcntl.LOCK_EX, limit, meaning)

    def share(self, *, limit: float, meaning: str) -> None:
        """Hold the lock together with others within `limit` seconds."""
        self._wait(fcntl.LOCK_SH, limit, meaning)

    def _wait(self, kind: int, limit: float, meaning: str) -> None:
        deadline = time.monotonic() + limit
        while not self._attempt(kind):
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{meaning} has held {self.path} for more than {limit:.0f} s: end that process and try again."
                )
            time.sleep(POLL)

    def _attempt(self, kind: int) -> bool:
        try:
            fcntl.flock(self.descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class LifeLock:
    """
    The lock a server inherits when it is born: held for exactly as long as any process of it lives.

    Look at it only while holding the transition lock, since looking takes it for a moment.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_held(self) -> bool:
        """Whether a server lives."""
        with FileLock(self.path) as lock:
            return not lock.try_take()

    def socket_dir(self) -> Path | None:
        """Where the living server has its socket; None in the moment before it is known."""
        text = self.path.read_text("utf-8")[:TEXT_LIMIT].strip()
        return Path(text) if text else None

    @contextmanager
    def birth(self, socket_dir: Path) -> Iterator[int]:
        """Take the lock and give the descriptor a new server must inherit."""
        with FileLock(self.path) as lock:
            if not lock.try_take():
                raise EmbeddedError(f"another process has just taken {self.path}: try again.")
            os.ftruncate(lock.descriptor, 0)
            os.pwrite(lock.descriptor, f"{socket_dir}\n".encode(), 0)
            yield lock.descriptor
