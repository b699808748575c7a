"""
Traffic as a registry sees it: many clients that hold answers and ask whether they still hold, and somebody who writes.

    mixed      questions by Zipf's law over the contexts, each client with the tags it has seen, at a given rate
    visible    how long after a write was acknowledged another node answers with it

Latencies of mixed traffic run from the moment a request was due, not from when it could be sent: what a slow answer
holds up counts as well. In a process of its own, like the other client.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from typing import Any

from load import ANSWER_LIMIT, NOT_MODIFIED, Load, Request, raw_request
from percentiles import percentiles

SKEW = 1.0  # of Zipf's law: the second question is asked half as often as the first, the third a third as often
WRITE_EVERY = 1.0  # seconds
WARM_UP = 1.0  # seconds that do not count
GOOD = (200, NOT_MODIFIED)


@dataclass(frozen=True)
class Mixed:
    """What came of mixed traffic. `hit_rate` is the share of answers that were 304."""

    requests: int
    per_second: float
    p50: float
    p95: float
    p99: float
    hit_rate: float
    writes: int
    errors: int


@dataclass(frozen=True)
class Visible:
    """Milliseconds from the acknowledgement of a write to the answer of another node that shows it."""

    writes: int
    p50: float
    p99: float
    most: float


def mixed(load: Load, writes: Sequence[Request], *, rate: float, seed: int) -> Mixed:
    """Send it: `rate` requests a second over all connections."""
    plan = {"what": "mixed", "load": asdict(load), "writes": [asdict(one) for one in writes]}
    return Mixed(**_in_a_process(plan | {"rate": rate, "seed": seed}))


def visible(host: str, written_at: int, read_at: int, writes: Sequence[Request], reads: Sequence[Request]) -> Visible:
    """Write to one node and ask the other until it shows; each write goes with the read of the same thing."""
    plan = {"what": "visible", "host": host, "written_at": written_at, "read_at": read_at}
    plan |= {"writes": [asdict(one) for one in writes], "reads": [asdict(one) for one in reads]}
    return Visible(**_in_a_process(plan))


def _in_a_process(plan: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, __file__]
    ended = subprocess.run(command, input=json.dumps(plan), check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


class Connection:
    """One kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        """Connect."""
        return cls(*await asyncio.open_connection(host, port))

    async def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer."""
        self._writer.write(request)
        async with asyncio.timeout(ANSWER_LIMIT):
            head = await self._reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            length = _field(head, b"content-length")
            body = await self._reader.readexactly(int(length)) if length and status != NOT_MODIFIED else b""
        return status, head, body

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def _field(head: bytes, name: bytes) -> bytes:
    _, found, rest = head.partition(b"\r\n" + name + b": ")
    return rest.partition(b"\r\n")[0] if found else b""


class _Traffic:
    def __init__(self, load: Load, writes: list[Request], rate: float, seed: int) -> None:
        self._load = load
        self._writes = writes
        self._pause = load.connections / rate
        self._seed = seed
        self._weights = list(accumulate(1 / (rank + 1) ** SKEW for rank in range(len(load.requests))))
        self._plain = [raw_request(one, load.host, load.port) for one in load.requests]
        self._latencies: list[float] = []
        self._hits = self._errors = self._written = 0

    async def run(self) -> Mixed:
        tags = await self._first_answers()
        warm = time.perf_counter() + WARM_UP
        until = warm + self._load.seconds
        clients = [self._client(number, dict(tags), warm, until) for number in range(self._load.connections)]
        await asyncio.gather(*clients, self._writer(until))
        return Mixed(
            requests=len(self._latencies),
            per_second=len(self._latencies) / self._load.seconds,
            hit_rate=self._hits / len(self._latencies),
            writes=self._written,
            errors=self._errors,
            **percentiles(self._latencies),
        )

    async def _first_answers(self) -> dict[int, bytes]:
        """The tags that clients have who have been there for a while: of an answer to each question."""
        connection = await Connection.open(self._load.host, self._load.port)
        tags = {}
        for index, plain in enumerate(self._plain):
            _, head, _ = await connection.ask(plain)
            tags[index] = _field(head, b"etag")
        connection.close()
        return tags

    async def _client(self, number: int, tags: dict[int, bytes], warm: float, until: float) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        connection = await Connection.open(self._load.host, self._load.port)
        due = warm - WARM_UP + chance.random() * self._pause
        while due < until:
            now = time.perf_counter()
            if now < due:
                await asyncio.sleep(due - now)
            [index] = chance.choices(range(len(self._plain)), cum_weights=self._weights)
            status, head, _ = await connection.ask(
                self._plain[index][:-2] + b"If-None-Match: " + tags[index] + b"\r\n\r\n"
            )
            tags[index] = _field(head, b"etag") or tags[index]
            if due >= warm:
                self._latencies.append((time.perf_counter() - due) * 1_000)
                self._hits += status == NOT_MODIFIED
                self._errors += status not in GOOD
            due += self._pause
        connection.close()

    async def _writer(self, until: float) -> None:
        connection = await Connection.open(self._load.host, self._load.port)
        while time.perf_counter() < until:
            write = self._writes[self._written % len(self._writes)]
            write = replace(write, body=json.dumps({"value": f"changed {self._written}"}))  # or no tag would change
            status, _, _ = await connection.ask(raw_request(write, self._load.host, self._load.port))
            self._errors += status not in GOOD
            self._written += 1
            await asyncio.sleep(WRITE_EVERY)
        connection.close()


async def _see(plan: dict[str, Any]) -> Visible:
    writer = await Connection.open(plan["host"], plan["written_at"])
    reader = await Connection.open(plan["host"], plan["read_at"])
    waits = []
    for number, (write, read) in enumerate(zip(plan["writes"], plan["reads"], strict=True)):
        value = f"seen {number} {time.time_ns()}"
        request = Request(**write | {"body": json.dumps({"value": value})})
        asked = raw_request(Request(**read), plan["host"], plan["read_at"])
        await reader.ask(asked)  # the other node holds what is about to be wrong
        status, _, body = await writer.ask(raw_request(request, plan["host"], plan["written_at"]))
        acknowledged = time.perf_counter()
        if status != GOOD[0]:
            raise SystemExit(f"a write was answered with {status}: {body!r}")
        while value.encode() not in (await reader.ask(asked))[2]:
            if time.perf_counter() - acknowledged > ANSWER_LIMIT:
                raise SystemExit(f"a write was not to be seen after {ANSWER_LIMIT:.0f} s")
        waits.append((time.perf_counter() - acknowledged) * 1_000)
    found = percentiles(waits)
    return Visible(writes=len(waits), p50=found["p50"], p99=found["p99"], most=max(waits))


def main() -> None:
    """The process of this client: a plan on stdin, what came of it on stdout."""
    plan = json.loads(sys.stdin.read())
    if plan["what"] == "visible":
        work: Any = _see(plan)
    else:
        load = Load(**plan["load"] | {"requests": [Request(**one) for one in plan["load"]["requests"]]})
        work = _Traffic(load, [Request(**one) for one in plan["writes"]], plan["rate"], plan["seed"]).run()
    try:
        import uvloop
    except ImportError:
        result = asyncio.run(work)
    else:
        result = uvloop.run(work)
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
