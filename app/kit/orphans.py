"""A worker does not outlive the process that started it."""

from __future__ import annotations

import os
import signal
import threading
import time

LOOK_EVERY = 0.5  # seconds; how long an orphan may keep the port before it begins to drain
DRAIN_LIMIT = 10.0  # seconds an orphan gets to finish its requests; the same as with a parent


def end_with_parent() -> None:
    """
    End this process soon after its parent has gone: by SIGTERM, then without ceremony.

    After `kill -9` of the parent nobody would tell the workers to end, and they would hold the port forever. A thread
    looks, rather than the kernel telling by prctl, so that it works on macOS and also when the event loop is stuck.
    """
    parent = os.getppid()
    threading.Thread(target=_watch, args=(parent,), name="end-with-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(DRAIN_LIMIT)
    os._exit(1)
