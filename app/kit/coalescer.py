"""
Asking once for what many ask for.

What is asked for within one turn of the event loop, and while all calls are taken, goes into one call for each group;
what is on its way is not asked for again. Calls run in tasks of the coalescer's own, so that a client who hangs up in
the middle neither ends the call that others wait for nor leaves a connection half read.
Guarded by tests/kit/test_coalescer.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Generic, TypeVar

from app.domain.errors import Unavailable
from app.kit.tasks import end

G = TypeVar("G")
K = TypeVar("K")
V = TypeVar("V")


class Coalescer(Generic[G, K, V]):
    """
    Gathers keys into calls of `load(group, keys)`, of which `calls` run at a time and each takes `keys` at most.

    A key that `load` gives nothing for is answered with None. Who asks while `waiting` keys wait already is refused
    with Unavailable: a queue that only grows helps nobody.
    """

    def __init__(
        self, load: Callable[[G, list[K]], Awaitable[Mapping[K, V]]], *, calls: int, keys: int, waiting: int = 10_000
    ) -> None:
        self._load = load
        self._calls = calls
        self._keys = keys
        self._waiting = waiting
        self._asked: dict[G, dict[K, asyncio.Future[V | None]]] = {}  # not in a call yet
        self._flying: dict[tuple[G, K], asyncio.Future[V | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._flush_soon = False

    async def get(self, group: G, keys: Iterable[K]) -> dict[K, V | None]:
        """What `load` gives for these keys; raises what it raises."""
        futures = {key: self._future(group, key) for key in keys}
        return {key: await asyncio.shield(future) for key, future in futures.items()}

    async def close(self) -> None:
        """End all calls."""
        for asked in self._asked.values():
            for future in asked.values():
                future.set_exception(Unavailable())
        self._asked.clear()
        await end(self._tasks)

    def _future(self, group: G, key: K) -> asyncio.Future[V | None]:
        flying = self._flying.get((group, key))
        if flying is not None:
            return flying
        asked = self._asked.setdefault(group, {})
        if key not in asked:
            if sum(map(len, self._asked.values())) >= self._waiting:
                raise Unavailable
            asked[key] = asyncio.get_running_loop().create_future()
            asked[key].add_done_callback(_retrieve)
        if not self._flush_soon:
            self._flush_soon = True
            asyncio.get_running_loop().call_soon(self._flush)
        return asked[key]

    def _flush(self) -> None:
        self._flush_soon = False
        while self._asked and len(self._tasks) < self._calls:
            group = next(iter(self._asked))  # who has waited longest
            asked = self._asked.pop(group)
            batch = dict(list(asked.items())[: self._keys])
            if rest := {key: future for key, future in asked.items() if key not in batch}:
                self._asked[group] = rest
            self._flying |= {(group, key): future for key, future in batch.items()}
            task = asyncio.create_task(self._call(group, batch))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._flush()

    async def _call(self, group: G, batch: dict[K, asyncio.Future[V | None]]) -> None:
        try:
            found = await self._load(group, list(batch))
        except BaseException as error:
            told = Unavailable() if isinstance(error, asyncio.CancelledError) else error
            for future in batch.values():
                future.set_exception(told)
            if not isinstance(error, Exception):
                raise
        else:
            for key, future in batch.items():
                future.set_result(found.get(key))
        finally:
            for key in batch:
                del self._flying[group, key]


def _retrieve(future: asyncio.Future[V | None]) -> None:
    """Whoever asked may be gone; asyncio complains of errors that nobody has looked at."""
    if not future.cancelled():
        future.exception()
