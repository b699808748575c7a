"""Many who ask for the same things cause few calls."""

from __future__ import annotations

import asyncio

import pytest

from app.domain.errors import Unavailable
from app.kit.coalescer import Coalescer

pytestmark = pytest.mark.anyio

LIMIT = 5.0


class Source:
    """Gives each key its own name back, when it is let."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def load(self, group: str, keys: list[str]) -> dict[str, str]:
        self.calls.append((group, keys))
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return {key: f"{group}/{key}" for key in keys if key != "none"}


async def test_what_is_asked_in_one_turn_goes_in_one_call_per_group() -> None:
    source = Source()
    coalescer: Coalescer[str, str, str] = Coalescer(source.load, calls=4, keys=10)

    answers = await asyncio.gather(
        coalescer.get("a", ["x", "y"]), coalescer.get("a", ["y", "none"]), coalescer.get("b", ["x"])
    )

    assert answers == [{"x": "a/x", "y": "a/y"}, {"y": "a/y", "none": None}, {"x": "b/x"}]
    assert source.calls == [("a", ["x", "y", "none"]), ("b", ["x"])]


async def test_what_is_on_its_way_is_not_asked_for_again() -> None:
    source = Source()
    source.open.clear()
    coalescer: Coalescer[str, str, str] = Coalescer(source.load, calls=4, keys=10)
    first = asyncio.create_task(coalescer.get("a", ["x"]))
    await asyncio.sleep(0.01)

    second = asyncio.create_task(coalescer.get("a", ["x"]))
    await asyncio.sleep(0.01)
    source.open.set()

    assert await first == await second == {"x": "a/x"}
    assert len(source.calls) == 1


async def test_calls_are_bounded_and_what_waits_goes_together() -> None:
    source = Source()
    source.open.clear()
    coalescer: Coalescer[str, str, str] = Coalescer(source.load, calls=1, keys=3)
    tasks = []
    for key in "uvwxyz":
        tasks.append(asyncio.create_task(coalescer.get("a", [key])))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert source.calls == [("a", ["u"])]

    source.open.set()
    await asyncio.wait_for(asyncio.gather(*tasks), LIMIT)

    assert source.calls == [("a", ["u"]), ("a", ["v", "w", "x"]), ("a", ["y", "z"])]


async def test_an_error_reaches_all_who_asked_and_nobody_later() -> None:
    source = Source()
    source.error = OSError("gone")
    coalescer: Coalescer[str, str, str] = Coalescer(source.load, calls=1, keys=10)

    found = await asyncio.gather(coalescer.get("a", ["x"]), coalescer.get("a", ["x", "y"]), return_exceptions=True)

    assert [type(one) for one in found] == [OSError, OSError]
    source.error = None
    assert await coalescer.get("a", ["x"]) == {"x": "a/x"}


async def test_who_hangs_up_does_not_end_the_call_of_others() -> None:
    source = Source()
    source.open.clear()
    coalescer: Coalescer[str, str, str] = Coalescer(source.load, calls=1, keys=10)
    leaving = asyncio.create_task(coalescer.get("a", ["x"]))
    staying = asyncio.create_task(coalescer.get("a", ["x"]))
    await asyncio.sleep(0.01)

    leaving.cancel()
    source.open.set()

    assert await asyncio.wait_for(staying, LIMIT) == {"x": "a/x"}


async def test_a_queue_that_is_full_refuses() -> None:
    source = Source()
    source.open.clear()
    coalescer: Coalescer[str, str, str] = Coalescer(source.load, calls=1, keys=1, waiting=2)
    first = asyncio.create_task(coalescer.get("a", ["x"]))
    await asyncio.sleep(0.01)
    others = asyncio.create_task(coalescer.get("a", ["y", "z"]))
    await asyncio.sleep(0.01)

    with pytest.raises(Unavailable):
        await coalescer.get("a", ["more"])

    source.open.set()
    assert await asyncio.wait_for(asyncio.gather(first, others), LIMIT)


async def test_closing_ends_what_is_under_way() -> None:
    source = Source()
    source.open.clear()
    coalescer: Coalescer[str, str, str] = Coalescer(source.load, calls=1, keys=1)
    waiting = asyncio.create_task(coalescer.get("a", ["x"]))
    await asyncio.sleep(0.01)

    await coalescer.close()

    with pytest.raises(Unavailable):
        await asyncio.wait_for(waiting, LIMIT)
