"""
Sending requests as fast as answers come, over a fixed number of kept connections.

`wrk` does it when it is there. Otherwise a client of our own: raw asyncio streams in a process of its own, because an
HTTP library would measure itself, and a client inside of the measuring process would wait for that one. Both are
closed loops: they state how long an answer took once asked for, not how long it would have queued behind others.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from percentiles import SHOWN, percentiles

ANSWER_LIMIT = 10.0  # seconds for one answer; longer counts as an error
NOT_MODIFIED = 304
FIRST_ERROR = 400


@dataclass(frozen=True)
class Request:
    """One request to send, again and again among others."""

    method: str
    path: str
    headers: dict[str, str]
    body: str = ""


@dataclass(frozen=True)
class Load:
    """What to send where, for how long, over how many connections; `once` sends each request once and no more."""

    host: str
    port: int
    requests: Sequence[Request]
    connections: int
    seconds: float
    once: bool = False


@dataclass(frozen=True)
class Result:
    """What came of it: latencies in milliseconds. `errors` counts answers of 400 and above, and lost connections."""

    requests: int
    per_second: float
    p50: float
    p95: float
    p99: float
    errors: int


def run(load: Load, *, tool: str) -> Result:
    """Send the load with `wrk` or the `built-in` client and wait for the end."""
    return _by_wrk(load) if tool == "wrk" and not load.once else _by_us(load)


def tool_of(choice: str) -> str:
    """The client to use: the chosen one, or for `auto` the one there is."""
    if choice != "auto":
        return choice
    return "wrk" if shutil.which("wrk") else "built-in"


# ---- wrk ----

_LUA = """
local lines = {}
init = function()
  for line in io.lines("%(requests)s") do
    local method, path, body, headers = line:match("^(.-)\\t(.-)\\t(.-)\\t(.*)$")
    local named = {}
    for name, value in headers:gmatch("(.-)\\31(.-)\\30") do named[name] = value end
    lines[#lines + 1] = wrk.format(method, path, named, #body > 0 and body or nil)
  end
end
local next = 0
request = function()
  next = next %% #lines + 1
  return lines[next]
end
done = function(summary, latency)
  local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('\\n{"requests": %%d, "seconds": %%f, "errors": %%d', summary.requests,
    summary.duration / 1e6, summary.errors.status + lost))
  for _, share in ipairs({%(shares)s}) do
    io.write(string.format(', "p%%d": %%f', share, latency:percentile(share) / 1000))
  end
  io.write("}\\n")
end
"""


def _by_wrk(load: Load) -> Result:
    with tempfile.TemporaryDirectory(prefix="setpoint-bench-") as folder:
        requests = Path(folder, "requests")
        requests.write_text("".join(_line(request) for request in load.requests), "utf-8")
        script = Path(folder, "requests.lua")
        shares = ", ".join(str(share) for share in SHOWN)
        script.write_text(_LUA % {"requests": requests, "shares": shares}, "utf-8")
        command = ["wrk", "--latency", "-t1", f"-c{load.connections}", f"-d{load.seconds:.0f}s"]
        command += [f"--timeout={ANSWER_LIMIT:.0f}s", "-s", str(script), f"http://{load.host}:{load.port}"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    seconds = found.pop("seconds")
    return Result(per_second=found["requests"] / seconds, **found)


def _line(request: Request) -> str:
    headers = "".join(f"{name}\x1f{value}\x1e" for name, value in request.headers.items())
    return f"{request.method}\t{request.path}\t{request.body}\t{headers}\n"


# ---- our own ----


def _by_us(load: Load) -> Result:
    plan = json.dumps(asdict(load))
    ended = subprocess.run([sys.executable, __file__], input=plan, check=True, capture_output=True, text=True)
    return Result(**json.loads(ended.stdout))


def main() -> None:
    """The process of our own client: a Load on stdin, a Result on stdout."""
    plan: dict[str, Any] = json.loads(sys.stdin.read())
    plan["requests"] = [Request(**request) for request in plan["requests"]]
    try:
        import uvloop
    except ImportError:
        result = asyncio.run(_send(Load(**plan)))
    else:
        result = uvloop.run(_send(Load(**plan)))
    print(json.dumps(asdict(result)))


async def _send(load: Load) -> Result:
    raw = [raw_request(request, load.host, load.port) for request in load.requests]
    latencies: list[float] = []
    begun = time.perf_counter()
    until = begun + load.seconds
    tasks = [_connection(load, raw, number, until, latencies) for number in range(load.connections)]
    errors = sum(await asyncio.gather(*tasks))
    seconds = time.perf_counter() - begun
    if not latencies:
        raise SystemExit("no request was answered")
    return Result(requests=len(latencies), per_second=len(latencies) / seconds, errors=errors, **percentiles(latencies))


async def _connection(load: Load, raw: list[bytes], number: int, until: float, latencies: list[float]) -> int:
    """One kept connection, asking one thing after the other; gives how many answers were errors."""
    errors = 0
    reader, writer = await asyncio.open_connection(load.host, load.port)
    # Connections begin at different requests, so that they do not ask for the same thing at once.
    mine: Iterable[bytes] = islice(cycle(raw), number * len(raw) // load.connections, None)
    if load.once:
        mine = raw[number :: load.connections]
    for request in mine:
        begun = time.perf_counter()
        if begun >= until:
            break
        writer.write(request)
        try:
            status = await asyncio.wait_for(_answer(reader), ANSWER_LIMIT)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            errors += 1
            writer.close()
            reader, writer = await asyncio.open_connection(load.host, load.port)
            continue
        latencies.append((time.perf_counter() - begun) * 1_000)
        errors += status >= FIRST_ERROR
    writer.close()
    return errors


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if found and status != NOT_MODIFIED:
        await reader.readexactly(int(rest.partition(b"\r\n")[0]))
    return status


def raw_request(request: Request, host: str, port: int) -> bytes:
    """The bytes of a request."""
    body = request.body.encode()
    headers = {"Host": f"{host}:{port}", **request.headers}
    if body:
        headers["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{request.method} {request.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


if __name__ == "__main__":
    main()
