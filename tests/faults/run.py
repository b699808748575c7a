"""
One run: nodes under random reads, writes and faults, and what the history of it says.

    python -m tests.faults --minutes 10 --seed 7

Everything that is left to chance comes from the seed, but for what the machine decides. A run goes on until its time is
over, each fault has happened, and there have been enough reads for the verdict to mean something.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from app.access.local_key import ensure_local_key, sign
from tests.faults.client import Connection, connected, request, workers_of
from tests.faults.history import Cell, Change, History, Verdict, Write, check, excused_seconds
from tests.faults.load import Pace, Reader, Recorder, Writing
from tests.faults.nemesis import Nemesis, Pulse
from tests.faults.scene import DEFAULT, SCENE, WRITERS, set_the_scene
from tests.faults.servers import NODE, WORKERS, Servers
from tests.guarantees.node import Node
from tests.world import PRINCIPALS

READERS = 4  # connections to each worker
READS_PER_SECOND = 2_500  # at most, unless the plan wants more: the machine is not ours alone
CALM_SECONDS = 1.5  # at the end, without a fault: everything has to be as it should
LONGEST = 4  # times the planned length, while there are too few reads
SLICE_SECONDS = 1.0  # between looks at an unfinished history
PRINCIPAL = {"acme": PRINCIPALS["admin"], "globex": PRINCIPALS["globex"], None: PRINCIPALS["platform"]}

_HEAD = "SELECT position FROM feed_head WHERE feed = 1"
_LOG = """
SELECT e.position, e.correlation_id, h.scope_path, h.key, CASE h.operation WHEN 'set' THEN h.value::text END AS value
FROM event e LEFT JOIN setting_history h ON h.position = e.position
WHERE e.feed = 1 AND e.position > $1 ORDER BY e.position"""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done. Without `faults` all kinds are; `until_violation` ends the run with the first one."""

    seconds: float = 45.0
    reads: int = 100_000
    seed: int = 1
    nodes: int = 2
    module: str = NODE
    faults: tuple[str, ...] = ()
    until_violation: bool = False


class Report(msgspec.Struct, kw_only=True):
    """What came of it."""

    plan: Plan
    seconds: float
    verdict: Verdict
    reads: int
    writes: int
    faults: dict[str, int]
    answered: dict[str, int]  # by tier, of all workers
    away_seconds: float  # during which an answer may be missing or labelled
    slowest_recovery_seconds: float
    stalls: int  # of the machine, beside the faults
    stalled_seconds: float
    slowest_read_seconds: float

    @property
    def lines(self) -> list[str]:
        """For people."""
        verdict = self.verdict
        statuses = ", ".join(f"{count:,} × {status}" for status, count in sorted(verdict.statuses.items()))
        answered = ", ".join(f"{count:,} {tier}" for tier, count in self.answered.items())
        happened = f"{self.reads:,} reads, {self.writes:,} writes, {sum(self.faults.values())} faults"
        seed = f"seed {self.plan.seed}, {self.seconds:.0f} s"
        lines = [f"faults: {happened}, {sum(verdict.violations.values())} violations ({seed})"]
        lines += [f"  faults: {', '.join(f'{count} {name}' for name, count in sorted(self.faults.items()))}"]
        lines += [f"  reads: {statuses}; {verdict.labelled:,} labelled; slowest {self.slowest_read_seconds:.2f} s"]
        lines += [f"  answered from: {answered}"]
        lines += [f"  largest staleness without a label: {verdict.largest_staleness:.3f} s"]
        lines += [f"  reads from before an earlier one of their worker: {verdict.went_back}"]
        lines += [
            f"  PostgreSQL away: {self.away_seconds:.1f} s, with recovery of {self.slowest_recovery_seconds:.2f} s"
        ]
        lines += [f"  the machine stood still: {self.stalls} times, {self.stalled_seconds:.1f} s with recovery"]
        lines += [f"  {count} x {kind.value}" for kind, count in verdict.violations.items()]
        return lines + [f"    {example}" for example in verdict.examples]


async def run(plan: Plan, servers: Servers) -> Report:
    """Let clients and faults loose on servers that have just started."""
    rng = random.Random(plan.seed)
    async with asyncio.timeout(60):
        await set_the_scene(servers.nodes[0].client(PRINCIPALS["platform"]))
        await servers.nodes[0].hang_up()
    recorder = Recorder({tenant: _token(servers.nodes[0], tenant) for tenant in PRINCIPAL})
    each = READERS + len(WRITERS)
    by_node = [
        await connected(at, one.port, pid=one.process.pid, workers=WORKERS, each=each)
        for at, one in enumerate(servers.nodes)
    ]
    connections = [connection for of_one in by_node for connection in of_one]
    nemesis = Nemesis(servers, workers_of(connections), rng, usual_since=recorder.usual_since)
    pulse = Pulse(servers.owner_url)
    one = _Run(plan, servers, recorder, nemesis, pulse)
    await one.begin()
    try:
        await one.clients(by_node, rng)
        return await one.report(connections)
    finally:
        await nemesis.close()
        for connection in connections:
            connection.close()


class _Run:
    def __init__(self, plan: Plan, servers: Servers, recorder: Recorder, nemesis: Nemesis, pulse: Pulse) -> None:
        self._plan = plan
        self._servers = servers
        self._recorder = recorder
        self._nemesis = nemesis
        self._pulse = pulse
        self._base = 0
        self._began = self._ended = time.monotonic()

    async def begin(self) -> None:
        """Note where the feed stands before the first write."""
        connection = await asyncpg.connect(self._servers.owner_url)
        self._base = await connection.fetchval(_HEAD)
        await connection.close()
        self._began = time.monotonic()

    async def clients(self, by_node: Sequence[list[Connection]], rng: random.Random) -> None:
        """Readers on every worker, writers on every node, until the run is over."""
        pace = Pace(self._recorder, max(READS_PER_SECOND, 1.1 * self._plan.reads / self._plan.seconds))
        readers = [[Reader(one, self._recorder, random.Random(rng.random())) for one in of_one] for of_one in by_node]
        async with asyncio.TaskGroup() as group:
            pulse = group.create_task(self._pulse.run())
            for writer in WRITERS:
                mine = [of_one.pop() for of_one in readers] + [of_one.pop() for of_one in readers]
                group.create_task(Writing(writer, mine, self._recorder, random.Random(rng.random())).run())
            for reader in (reader for of_one in readers for reader in of_one):
                group.create_task(reader.run(pace))
            await self._break_things()
            self._ended = time.monotonic()
            self._recorder.done.set()
            pulse.cancel()

    async def _break_things(self) -> None:
        names = self._plan.faults or tuple(self._nemesis.kinds)
        async for _ in self._nemesis.faults(names):
            elapsed = time.monotonic() - self._began
            if self._plan.until_violation and (await self.verdict()).violations:
                return
            enough = len(self._recorder.reads) >= self._plan.reads and len(self._nemesis.done) == len(names)
            if elapsed > (self._plan.seconds if enough else LONGEST * self._plan.seconds):
                break
        await asyncio.sleep(CALM_SECONDS)

    async def verdict(self) -> Verdict:
        """What the history says so far. What goes on meanwhile is judged the next time."""
        reads = [read for read in self._recorder.reads if read.ended < math.inf]
        positions = {write.number: write.position for write in self._recorder.writes}
        log = await self._log()  # of no earlier position than these reads and writes
        return check(
            History(
                views=[seen.view for seen in SCENE],
                default=DEFAULT,
                base=self._base,
                reads=reads,
                writes=[_so_far(write, positions.get(write.number)) for write in self._recorder.writes],
                log=log,
                away=[*self._nemesis.away, *self._pulse.stalls],
            )
        )

    async def _log(self) -> list[Change]:
        connection = await asyncpg.connect(self._servers.owner_url)
        try:
            rows = await connection.fetch(_LOG, self._base)
        finally:
            await connection.close()
        return [_change(row) for row in rows]

    async def report(self, connections: Sequence[Connection]) -> Report:
        """The verdict and the figures."""
        away = self._nemesis.away
        beside = [stall for stall in self._pulse.stalls if not excused_seconds(away, stall.began, stall.ended)]
        reads = self._recorder.reads
        return Report(
            plan=self._plan,
            seconds=self._ended - self._began,
            verdict=await self.verdict(),
            reads=len(reads),
            writes=sum(write.position is not None for write in self._recorder.writes),
            faults=self._nemesis.done,
            answered=await self._answered(connections),
            away_seconds=excused_seconds(away, self._began, self._ended),
            slowest_recovery_seconds=self._nemesis.slowest_recovery,
            stalls=len(beside),
            stalled_seconds=excused_seconds(beside, self._began, self._ended),
            slowest_read_seconds=max(read.ended - read.began for read in reads),
        )

    async def _answered(self, connections: Sequence[Connection]) -> Counter[str]:
        answered: Counter[str] = Counter()
        for connection in {one.worker: one for one in connections}.values():
            headers = self._recorder.authorization(None)
            asked = request("GET", "/api/operations/cache", port=connection.port, headers=headers)
            answered.update(msgspec.json.decode((await connection.ask(asked)).body)["answered"])
        return answered


def _so_far(write: Write, position: int | None) -> Write:
    return Write(
        number=write.number,
        cells=write.cells,
        sent=[asked for asked in write.sent if asked.ended < math.inf],
        position=position,
    )


def _change(row: asyncpg.Record) -> Change:
    number = (row["correlation_id"] or "").removeprefix("write-")
    value = None if row["value"] is None else msgspec.json.decode(row["value"])
    cell = Cell(row["scope_path"] or "", row["key"] or "")
    return Change(row["position"], int(number) if number.isdigit() else None, cell, value)


def _token(node: Node, tenant: str | None) -> str:
    key = ensure_local_key(node.data_path)
    return sign(key, PRINCIPAL[tenant], now=datetime.now(UTC), ttl=timedelta(days=2))
