"""Granian's worker processes: started, watched until they are ready, drained and ended."""

from __future__ import annotations

import http.client
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from granian._internal import load_target
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from app.access.local_key import LocalKeyError
from app.access.policy import PolicyError
from app.config import Config
from app.kit.orphans import end_with_parent

READY_PATH = "/api/health/ready"
READY_LIMIT = 30.0  # seconds until it is said that something is wrong; the workers go on trying
READY_POLL = 0.05  # seconds
PROBE_LIMIT = 2.0  # seconds for one answer
KILL_AFTER = 10  # seconds a worker gets to drain; without it one open connection would keep us from ever ending
READ_BUFFER = 65_536  # bytes of one connection; more than the edge allows for path and headers together

# Granian would write to stdout, which is for data.
LOGGING = {"handlers": {"console": {"class": "logging.StreamHandler", "formatter": "generic"}}}
LOGGING["handlers"]["access"] = LOGGING["handlers"]["console"]


def run_workers(config: Config, *, target: str, on_ready: Callable[[], None], announce: Callable[[str], None]) -> int:
    """
    Serve until SIGINT or SIGTERM and give the exit code: 0, or 1 when a worker could not start.

    `target` names the application's factory, as `module:function`. A worker that ends after it has been ready is
    replaced; one that cannot start ends us all, for the next would not do better.
    """
    server = MPServer(
        target,
        address=config.host,
        port=config.port,
        interface=Interfaces.ASGI,
        workers=config.workers,
        loop=Loops.uvloop,
        websockets=False,
        # Not "auto": while Granian waits for the first bytes to tell HTTP/1 from HTTP/2, no time limit counts.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(config.header_timeout_seconds * 1_000), max_buffer_size=READ_BUFFER
        ),
        backpressure=config.max_connections,
        workers_kill_timeout=KILL_AFTER,
        log_level=LogLevels.warning,
        log_dictconfig=LOGGING,
        factory=True,
    )
    watch = threading.Thread(target=_watch, args=(server, config, on_ready, announce), name="ready", daemon=True)
    server.on_startup(watch.start)
    server.on_startup(lambda: _pass_on_hangups(server))
    try:
        server.serve(target_loader=_load_in_worker)
    except SystemExit:
        # Ctrl-C reaches the workers as well; one that ended before us then looks to Granian as if it had crashed.
        if not server.interrupt_signal:
            return 1
    return 0


def _pass_on_hangups(server: MPServer) -> None:
    """
    SIGHUP asks each worker to look at its policy files anew (app/access/policy_keeper.py).

    Granian would replace the workers instead, and with a bad policy none of the new ones could start.
    """

    def pass_on(number: int, frame: FrameType | None) -> None:
        del frame
        for worker in server.wrks:
            if worker.inner.is_alive():
                os.kill(worker.inner.pid, number)

    signal.signal(signal.SIGHUP, pass_on)


def _load_in_worker(target: str) -> Any:
    """Make the application, in the worker. Until Granian takes over its signals, they end it at once."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the application listens to it
    end_with_parent()
    try:
        return load_target(target, factory=True)
    except (PolicyError, LocalKeyError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


def _watch(server: MPServer, config: Config, on_ready: Callable[[], None], announce: Callable[[str], None]) -> None:
    deadline = time.monotonic() + READY_LIMIT
    warned = False
    while not server.main_loop_interrupt.is_set():
        # Not before all are forked: a fork copies whatever another thread is in the middle of.
        if len(server.wrks) == config.workers and _is_ready(config):
            server.respawn_failed_workers = True
            on_ready()
            return
        if not warned and time.monotonic() > deadline:
            announce(f"Not ready after {READY_LIMIT:.0f} s; GET {READY_PATH} says why.")
            warned = True
        time.sleep(READY_POLL)


def _is_ready(config: Config) -> bool:
    connection = http.client.HTTPConnection(reachable_host(config.host), config.port, timeout=PROBE_LIMIT)
    with suppress(OSError, http.client.HTTPException):
        try:
            connection.request("GET", READY_PATH)
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()
    return False


def reachable_host(host: str) -> str:
    """An address at which a server bound to `host` answers on this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not bound)
