"""Holding the port for as long as a node lives, so that a second one is told instead of sharing it unnoticed."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.cli.errors import UNREACHABLE, USAGE, CommandFailed
from app.kit.orphans import LOOK_EVERY

Address = tuple[str, int] | tuple[str, int, int, int]

PATIENCE = 2 * LOOK_EVERY  # seconds; workers of a node that was killed see it and let go of the port within half of it
POLL = 0.02  # seconds


@contextmanager
def held_port(host: str, port: int) -> Iterator[None]:
    """
    Keep a port for this node's workers. Raises CommandFailed when it is in use or cannot be had.

    Workers share the port through SO_REUSEPORT, and so would those of any other node of the same user: requests would
    go to one or the other by chance. A socket that is bound but never listens takes no request and stands in the way
    of the next node's bind. The order matters: the bind itself must not share, the workers' binds afterwards must.
    """
    family, address = _resolve(host, port)
    with socket.socket(family, socket.SOCK_STREAM) as guard:
        guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last run may still linger
        try:
            _bind(guard, address)
        except OSError as error:
            raise _refused(error, host, port) from error
        os.register_at_fork(after_in_child=guard.close)  # a worker orphaned while draining must not hold the port
        guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        yield


def _bind(guard: socket.socket, address: Address) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            guard.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
            time.sleep(POLL)
        else:
            return


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CommandFailed(f"SETPOINT_HOST: {host} is not an address: {error.strerror}.", code=USAGE) from error
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]  # getaddrinfo is typed for families we did not ask for


def _refused(error: OSError, host: str, port: int) -> CommandFailed:
    match error.errno:
        case errno.EADDRINUSE:
            return CommandFailed(
                f"Port {port} on {host} is in use: end what uses it, or choose another with SETPOINT_PORT.",
                code=UNREACHABLE,
            )
        case errno.EACCES:
            return CommandFailed(
                f"Port {port} needs more rights: choose one above 1023 with SETPOINT_PORT.", code=USAGE
            )
        case errno.EADDRNOTAVAIL:
            return CommandFailed(f"SETPOINT_HOST: {host} is no address of this machine.", code=USAGE)
        case _:
            return CommandFailed(f"Port {port} on {host} cannot be used: {error.strerror}.", code=UNREACHABLE)
