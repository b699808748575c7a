"""The tier in this process: what was used last, up to so many bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

ITEM_BYTES = 150  # of the map itself, for each thing in it


class Local:
    """
    Keeps what is put, and lets go of what was used longest ago when that is more than `limit` bytes; 0 keeps nothing.

    Whoever puts says what it costs. `evicted` is told the key of what had to go for want of room.
    """

    def __init__(self, limit: int, *, evicted: Callable[[Hashable], None] = lambda key: None) -> None:
        self.limit = limit
        self.bytes = 0
        self._evicted = evicted
        self._items: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: Hashable) -> Any:
        """What is kept under this key, None if nothing is."""
        item = self._items.get(key)
        if item is None:
            return None
        self._items.move_to_end(key)
        return item[1]

    def put(self, key: Hashable, thing: Any, *, cost: int) -> None:
        """Keep something. What would not fit alone is not kept."""
        self.drop(key)
        cost += ITEM_BYTES
        if cost > self.limit:
            return
        self._items[key] = (cost, thing)
        self.bytes += cost
        while self.bytes > self.limit:
            oldest, (freed, _) = self._items.popitem(last=False)
            self.bytes -= freed
            self._evicted(oldest)

    def drop(self, key: Hashable) -> bool:
        """Let go of what is kept under a key; whether there was something."""
        item = self._items.pop(key, None)
        if item is None:
            return False
        self.bytes -= item[0]
        return True

    def clear(self) -> None:
        """Let go of everything."""
        self._items.clear()
        self.bytes = 0
