"""Accesses that wait to be written: bounded, in order for each chain, equal refusals folded into one."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime
from typing import Any

import msgspec

from app.domain.access import Access, Principal


class Noted(msgspec.Struct, kw_only=True, eq=False):
    """One access: who, when and where from. `count` is of equal refusals that came before it was written."""

    access: Access
    principal: Principal
    at: datetime
    request_id: str
    client: str | None
    policy_version: str
    count: int = 1
    written: asyncio.Future[bool] | None = None  # whether it was, for those who wait for it

    def settle(self, *, written: bool) -> None:
        """Tell those who wait what became of it."""
        if self.written is not None and not self.written.done():
            self.written.set_result(written)


class Ring:
    """
    What waits for each chain, at most `capacity` over all of them.

    One chain gets at most half: a tenant whose callers are refused a lot must not take the room of the others.
    What was taken counts until it is `done` or `put_back`.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._share = max(1, capacity // 2)
        self._waiting: dict[str, deque[Noted]] = {}
        self._sizes: dict[str, int] = {}  # with what was taken and is not done
        self._foldable: dict[tuple[Any, ...], Noted] = {}
        self.size = 0

    def add(self, chain: str, noted: Noted) -> Noted | None:
        """Let it wait; what it waits as (itself, or the equal one that it was folded into), or None without room."""
        key = _folding_key(chain, noted)
        same = self._foldable.get(key) if key is not None else None
        if same is not None:
            same.count += noted.count
            return same
        held = self._sizes.get(chain, 0)
        if self.size >= self._capacity or held >= self._share:
            return None
        self._waiting.setdefault(chain, deque()).append(noted)
        self._resize(chain, 1)
        if key is not None:
            self._foldable[key] = noted
        return noted

    def waiting(self, chain: str) -> int:
        """How many wait for this chain."""
        return len(self._waiting.get(chain, ()))

    def take(self, chain: str, most: int) -> list[Noted]:
        """The oldest ones of a chain, to be written now. Nothing is folded into them any more."""
        waiting = self._waiting.get(chain)
        taken: list[Noted] = []
        while waiting and len(taken) < most:
            noted = waiting.popleft()
            key = _folding_key(chain, noted)
            if key is not None and self._foldable.get(key) is noted:
                del self._foldable[key]
            taken.append(noted)
        if not waiting:
            self._waiting.pop(chain, None)
        return taken

    def done(self, chain: str, count: int) -> None:
        """So many of what was taken need no room any more."""
        self._resize(chain, -count)

    def put_back(self, chain: str, taken: list[Noted]) -> None:
        """What was taken waits again, before everything else."""
        self._waiting.setdefault(chain, deque()).extendleft(reversed(taken))

    def _resize(self, chain: str, change: int) -> None:
        self.size += change
        left = self._sizes.get(chain, 0) + change
        if left:
            self._sizes[chain] = left
        else:
            self._sizes.pop(chain, None)


def _folding_key(chain: str, noted: Noted) -> tuple[Any, ...] | None:
    """What equal refusals have in common; None for what was granted, of which each stands alone."""
    if noted.access.outcome != "denied":
        return None
    return chain, noted.principal, noted.access, noted.client, noted.policy_version
