"""What can be known about the benchmark without a measurement: its arithmetic, its command line, and its client."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).resolve().parents[2] / "scripts" / "bench"


def percentiles_module() -> ModuleType:
    spec = spec_from_file_location("bench_percentiles", BENCH / "percentiles.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("latencies", "expected"),
    [
        (range(1, 101), {"p50": 50, "p95": 95, "p99": 99}),
        (range(1_000, 0, -1), {"p50": 500, "p95": 950, "p99": 990}),
        ([7.5], {"p50": 7.5, "p95": 7.5, "p99": 7.5}),
        ([1, 2], {"p50": 1, "p95": 2, "p99": 2}),
        ([1.0] * 94 + [80.0] * 6, {"p50": 1.0, "p95": 80.0, "p99": 80.0}),
    ],
)
def test_a_percentile_is_the_smallest_latency_that_so_many_requests_kept_to(
    latencies: list[float], expected: dict[str, float]
) -> None:
    assert percentiles_module().percentiles(latencies) == expected


def test_help_exits_with_0_and_names_every_option() -> None:
    command = [sys.executable, str(BENCH / "settings.py"), "--help"]

    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 0
    assert all(option in ended.stdout for option in ("--json", "--seconds", "--connections"))


@pytest.mark.parametrize(("path", "all_are_errors"), [("/fine", False), ("/missing", True)])
def test_the_built_in_client_counts_answers_and_errors(path: str, all_are_errors: bool) -> None:
    with answering_server() as port:
        requests = [{"method": "GET", "path": path, "headers": {"Authorization": "Bearer x"}, "body": ""}]
        load = {"host": "127.0.0.1", "port": port, "requests": requests, "connections": 3, "seconds": 0.2}
        ended = subprocess.run(
            [sys.executable, str(BENCH / "load.py")],
            input=json.dumps(load),
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )

    result = json.loads(ended.stdout)
    assert result["requests"] > 3
    assert result["errors"] == (result["requests"] if all_are_errors else 0)
    assert 0 < result["p50"] <= result["p95"] <= result["p99"]


@contextmanager
def answering_server() -> Iterator[int]:
    """A server on a free port that answers `/fine` with 200 and all else with 404, and keeps its connections."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(close(server), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while head := await head_of(reader):
        status = b"200 OK" if head.startswith(b"GET /fine ") else b"404 Not Found"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nbody")
    writer.close()
    await writer.wait_closed()


async def head_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def close(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait(others, timeout=5) if others else None
