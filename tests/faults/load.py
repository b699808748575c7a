"""Clients of a run: readers that revalidate what they have, and writers that send each write until it is answered."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tests.faults.client import Answer, Connection, request
from tests.faults.history import NO_ANSWER, NOT_MODIFIED, OK, UNAVAILABLE, Asked, Cell, Read, Write
from tests.faults.scene import SCENE, Writer, token, values_of

CONDITIONAL = 0.9  # of the reads
READ_BACK = 3  # reads of what was just written, where it was written
PAUSE_SECONDS = 0.1  # between a write that was not answered and the next attempt
WRITES_PER_SECOND = 20.0  # of each writer


class Recorder:
    """Everything that was asked and answered, in order of the questions."""

    def __init__(self, tokens: Mapping[str | None, str]) -> None:
        self.tokens = tokens  # of the principal who asks, by tenant
        self.reads: list[Read] = []
        self.writes: list[Write] = []
        self.done = asyncio.Event()
        self.usual: dict[int, float] = {}  # by worker: the beginning of the last read that was answered as it should
        self._numbers = 0
        self._shown: list[dict[bytes, tuple[str, ...]]] = [{} for _ in SCENE]

    def usual_since(self, moment: float) -> bool:
        """Whether each worker has answered a read that began after a moment, and did not call it stale."""
        return all(began > moment for began in self.usual.values())

    def number(self) -> int:
        """Of the next write."""
        self._numbers += 1
        return self._numbers

    def values(self, view: int, body: bytes) -> tuple[str, ...]:
        """What an answer's body shows; equal ones are read once."""
        known = self._shown[view].get(body)
        if known is None:
            known = self._shown[view][body] = values_of(SCENE[view], body)
        return known

    def authorization(self, tenant: str | None) -> dict[str, str]:
        """Who asks."""
        return {"Authorization": f"Bearer {self.tokens[tenant]}"}


class Reader:
    """Reads views over one connection, and remembers what it has of each."""

    def __init__(self, connection: Connection, recorder: Recorder, rng: random.Random) -> None:
        self.connection = connection
        self._recorder = recorder
        self._rng = rng
        self._has: dict[int, tuple[bytes, tuple[str, ...]]] = {}
        self._asks = [
            request(
                "GET",
                seen.path,
                port=connection.port,
                headers=recorder.authorization(seen.tenant),
                open_end=True,
            )
            for seen in SCENE
        ]

    async def read(self, view: int, *, minimum: int = 0) -> int:
        """Ask once, write down what came of it, and give the status."""
        asks = self._asks[view]
        has = self._has.get(view)
        if has is not None and self._rng.random() < CONDITIONAL:
            asks += b"If-None-Match: %s\r\n" % has[0]
        if minimum:
            asks += b"Setpoint-Min-Position: %d\r\n" % minimum
        one = Read(view=view, minimum=minimum, worker=self.connection.worker, began=time.monotonic())
        self._recorder.reads.append(one)
        answer = await self.connection.ask(asks + b"\r\n")
        _note(one, answer)
        if answer.status in (OK, NOT_MODIFIED):
            headers = answer.headers
            tag = headers[b"etag"]
            if answer.status == OK:
                has = (tag, self._recorder.values(view, answer.body))
                self._has[view] = has
            one.tag = tag.decode()
            one.position = int(headers[b"setpoint-position"])
            if has is not None and (answer.status == OK or has[0] == tag):
                one.values = has[1]
            stale = headers.get(b"setpoint-stale")
            if stale is not None:
                one.stale_seconds = int(stale)
            else:
                self._recorder.usual[one.worker] = one.began
        return answer.status

    async def run(self, pace: Pace) -> None:
        """Read until the run is over."""
        # The k-th view is read 1/k as often as the first.
        views = list(range(len(SCENE)))
        self._rng.shuffle(views)
        popular = self._rng.choices(views, [1 / rank for rank in range(1, len(views) + 1)], k=1_000)
        while not self._recorder.done.is_set():
            await pace.turn()
            status = await self.read(self._rng.choice(popular))
            if status == NO_ANSWER:
                break  # the connection is gone, and the verdict will say so
            if status == UNAVAILABLE:  # sooner than Retry-After asks: recovery is what is to be seen
                await asyncio.sleep(0.01)


class Pace:
    """Holds readers to so many reads a second together: what is beyond what the run needs is left to others."""

    def __init__(self, recorder: Recorder, per_second: float) -> None:
        self._recorder = recorder
        self._per_second = per_second
        self._began = time.monotonic()

    async def turn(self) -> None:
        """Wait while the run is ahead."""
        ahead = len(self._recorder.reads) / self._per_second - (time.monotonic() - self._began)
        if ahead > 0:
            await asyncio.sleep(ahead)


class Writing:
    """One writer, with a connection to each node; it knows what it has set where."""

    def __init__(self, writer: Writer, readers: Sequence[Reader], recorder: Recorder, rng: random.Random) -> None:
        self._writer = writer
        self._readers = readers
        self._recorder = recorder
        self._rng = rng
        self._set: set[Cell] = set()
        self._views = [
            at
            for at, seen in enumerate(SCENE)
            if any(writer.has(Cell(scope, key)) for scope in seen.view.scopes for key in seen.view.keys)
        ]

    async def run(self) -> None:
        """Write at random times until the run is over."""
        while not self._recorder.done.is_set():
            await asyncio.sleep(self._rng.expovariate(WRITES_PER_SECOND))
            here, there = self._rng.sample(self._readers, 2)
            position = await self._write(here.connection, self._change())
            if position is None:
                break  # who does not know what is set cannot go on, and the verdict will say why
            for view in self._rng.sample(self._views, READ_BACK):
                await here.read(view)
            await there.read(self._rng.choice(self._views), minimum=position)

    def _change(self) -> dict[Cell, str | None]:
        """One value, one removal, or a batch over two or three keys in up to two scopes."""
        number, rng = self._recorder.number(), self._rng
        self._number = number
        many = rng.random() < 0.4
        scopes = rng.sample(self._writer.scopes, min(2 if many else 1, len(self._writer.scopes)))
        keys = rng.sample(self._writer.keys, rng.randint(2, 3) if many else 1)
        cells = [Cell(scope, key) for scope in scopes for key in keys]
        return {
            cell: None if cell in self._set and rng.random() < 0.25 else token(number, cell.scope) for cell in cells
        }

    async def _write(self, connection: Connection, cells: dict[Cell, str | None]) -> int | None:
        """The position of a write, sent again with the same key until it is known; None when it was refused."""
        one = Write(number=self._number, cells=cells, sent=[])
        self._recorder.writes.append(one)
        body = msgspec.json.encode({"operations": [self._operation(*change) for change in cells.items()]})
        sent = request(
            "POST",
            "/api/settings/batch",
            port=connection.port,
            # The request's id is that of its events: so the log says whose they are.
            headers={
                **self._recorder.authorization(self._writer.tenant),
                "Idempotency-Key": f"write-{one.number}",
                "X-Request-ID": f"write-{one.number}",
            },
            body=body,
        )
        while True:
            asked = Asked(worker=connection.worker, began=time.monotonic())
            one.sent.append(asked)
            answer = await connection.ask(sent)
            _note(asked, answer)
            if answer.status != UNAVAILABLE:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        if answer.status != OK:
            return None
        one.position = int(answer.headers[b"setpoint-position"])
        for cell, value in cells.items():
            (self._set.discard if value is None else self._set.add)(cell)
        return one.position

    def _operation(self, cell: Cell, value: str | None) -> dict[str, Any]:
        level, _, rest = cell.scope.partition("/")
        scope_id = rest.partition("/")[2] if level not in ("GLOBAL", "TENANT") else None
        operation: dict[str, Any] = {"op": "set" if value is not None else "unset", "scope": level, "key": cell.key}
        operation |= {} if scope_id is None else {"scopeId": scope_id}
        operation |= {} if value is None else {"value": value}
        return operation | ({"ifMatch": "*"} if cell in self._set else {})


def _note(asked: Asked, answer: Answer) -> None:
    asked.ended, asked.status = answer.ended, answer.status
    asked.retry_after = answer.headers.get(b"retry-after", b"").isdigit()
