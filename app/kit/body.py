"""
Reading a body: so many bytes, in so much time, and not slower than anybody sends who means it.

A client that sends a byte now and then would hold a request open for as long as it likes. All of the body has to be
there in time; and from GRACE on, no less than MIN_RATE times the seconds so far.
"""

from __future__ import annotations

import asyncio

from app.domain.errors import Malformed
from app.kit import asgi
from app.kit.problems import RequestTimeout, TooLarge

GRACE = 5.0  # seconds; a lost packet or two at the start
MIN_RATE = 1_024  # bytes per second; a modem's


async def read_body(receive: asgi.Receive, *, max_bytes: int, timeout_seconds: float) -> bytes:
    """All of a body. Raises TooLarge, RequestTimeout, or Malformed for one that breaks off."""
    began = asyncio.get_running_loop().time()
    body = bytearray()  # bytes would be copied whole for every chunk
    try:
        async with asyncio.timeout_at(began + time_for(0, timeout_seconds)) as limit:
            more = True
            while more:
                more = await _added(receive, body)
                if len(body) > max_bytes:
                    raise too_large(max_bytes)
                limit.reschedule(began + time_for(len(body), timeout_seconds))
    except TimeoutError as error:
        raise RequestTimeout(f"The body did not arrive in time: {len(body)} bytes did.") from error
    return bytes(body)


async def _added(receive: asgi.Receive, body: bytearray) -> bool:
    """Add what comes next, and say whether there is more to come."""
    message = await receive()
    if message["type"] == "http.disconnect":
        # The client is gone, or its chunks are none: Granian says the same of both.
        raise Malformed("The body breaks off.")
    body += message.get("body", b"")
    return bool(message.get("more_body", False))


def time_for(received: int, timeout_seconds: float) -> float:
    """How many seconds after its beginning a body may go on, once so many bytes of it are there."""
    return min(timeout_seconds, GRACE + received / MIN_RATE)


def too_large(max_bytes: int) -> TooLarge:
    """What is said of a longer body."""
    return TooLarge(f"The body takes more than {max_bytes} bytes.")
