"""
What a hit of the fast lane takes, step by step, in nanoseconds of processor time.

    .venv/bin/python scripts/bench/lane.py

No server, no client: the application is in this process, and every step is repeated by itself. Of many rounds the
fastest counts, as others on the machine only ever make one slower. The steps overlap by what it takes to call them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import questions
from node import folder, free_port, node_environment, say
from synthetic import seed

from app.cli.backends import backends
from app.cli.serve import prepare
from app.config import read_config
from app.fast_lane import lane as lane_module
from app.fast_lane.lane import FastLane
from app.kit.edge import request_id_of
from app.kit.logs import configure_logs
from app.log.tailer import Tailer
from app.main import _settle_garbage, create_app

ROUNDS = 60
CALLS = 500  # in each

Step = Callable[[], object]


async def nanoseconds(step: Step, tailer: Tailer) -> float:
    """What one call takes, at best."""
    best = float("inf")
    for _ in range(ROUNDS):
        await tailer.look()  # or nothing would be fresh any more: nothing else runs while a step is measured
        began = time.thread_time_ns()
        for _ in range(CALLS):
            step()
        best = min(best, (time.thread_time_ns() - began) / CALLS)
    return best


def scope_of(path: str, query: str, headers: dict[str, str]) -> dict[str, Any]:
    """A request as the server hands it over."""
    fields = {"Host": "127.0.0.1:8080", "Accept": "*/*", "User-Agent": "bench", **headers}
    return {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields.items()],
        "client": ("127.0.0.1", 4711),
        "extensions": {},
    }


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The least that an application can do."""
    await send({"type": "http.response.start", "status": 304, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def drop(message: Any) -> None:
    """Nobody."""


def drive(app: Any, scope: dict[str, Any]) -> Step:
    """One request to an application that never waits, without a loop."""

    def once() -> None:
        try:
            app(scope, drop, drop).send(None)
        except StopIteration:
            return
        raise RuntimeError("it waited")

    return once


async def measure(lane: FastLane, token: str) -> None:
    """Print every step."""
    context = "territory=DE&accountId=bench-00001&userId=alice"
    targets = [("/api/settings/resolve/bench.key-01", context), ("/api/settings/effective", context)]
    for path, query in targets:
        plain = scope_of(path, query, questions.auth(token))
        answers: asyncio.Queue[Any] = asyncio.Queue()
        for _ in range(3):
            await lane(plain.copy(), asyncio.Queue().get, answers.put)
        tag = dict((await answers.get())["headers"])[b"etag"].decode()
        conditional = scope_of(path, query, questions.auth(token) | {"If-None-Match": tag})
        await _steps(lane, plain, conditional, path)
        assert min(lane._hot.counters.lane_full, lane._hot.counters.lane_not_modified) > CALLS * ROUNDS  # type: ignore[union-attr]


async def _steps(lane: Any, plain: dict[str, Any], conditional: dict[str, Any], path: str) -> None:
    hot = lane._hot
    headers = lane_module._usual_headers(conditional)
    now = lane._seconds()
    principal = lane._principal(headers, "127.0.0.1", now)
    target = (path, plain["query_string"], principal.tenant, False)
    prepared = hot.local.get(target)
    trail = hot.tailer.trail
    ready = next(iter(prepared.views.values()))
    credential = headers[b"authorization"][7:]
    identity = lane._authenticator.known(credential, now=now)
    assert identity is not None
    steps: list[tuple[str, Step]] = [
        ("nothing", lambda: None),
        ("the header fields", lambda: lane_module._usual_headers(conditional)),
        ("address and host", lambda: lane._origin(conditional, headers)),
        ("the time", lane._seconds),
        ("credential", lambda: lane._principal(headers, "127.0.0.1", now)),
        ("  of that, remembered or not", lambda: lane._authenticator.known(credential, now=now)),
        ("fresh, position", lambda: lane_module._trail_to_answer_from(headers, hot)),
        ("what is prepared", lambda: hot.local.get((path, plain["query_string"], principal.tenant, False))),
        ("holds", lambda: prepared.holds(trail)),
        ("gate", lambda: lane._cleared(principal, prepared.judged, int(now // 60))),
        ("limit", lambda: lane._limits.try_read(principal)),
        ("an id for the request", lambda: request_id_of(())),
        ("header fields of the answer", lambda: ready.not_modified(b"x" * 32)),
        ("all of it, 304", lambda: lane._answer(conditional, path, hot)),
        ("all of it, 200", lambda: lane._answer(plain, path, hot)),
        ("the application, 304", drive(lane, conditional)),
        ("the application, 200", drive(lane, plain)),
        ("a bare application", drive(bare, conditional)),
    ]
    count = len(prepared.judged.needed) + sum(len(resources) for _, resources in prepared.judged.shown)
    print(f"\n{path}: {len(prepared.question.chain)} scopes, {count} decisions")
    for name, step in steps:
        print(f"{name:32}{await nanoseconds(step, hot.tailer):8,.0f} ns")


@asynccontextmanager
async def running(app: Any) -> Any:
    """The application's lifespan around a block."""
    asked: asyncio.Queue[Any] = asyncio.Queue()
    said: asyncio.Queue[Any] = asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, asked.get, said.put))
    await asked.put({"type": "lifespan.startup"})
    assert (await said.get())["type"] == "lifespan.startup.complete"
    try:
        yield
    finally:
        await asked.put({"type": "lifespan.shutdown"})
        await task


def main() -> int:
    """Start servers of our own, measure, end them."""
    configure_logs(level="warning", form="json")
    with folder() as data:
        config, _ = read_config(
            node_environment(data, free_port(), scopes=0) | {"SETPOINT_READS_PER_SECOND": "1000000"}
        )
        with backends(config, announce=say) as resolved:
            prepare(resolved, demo=True, announce=say)
            asyncio.run(seed(resolved, scopes=10))
            app = cast(FastLane, create_app(resolved))
            token = questions.admin_token(data)

            async def run() -> None:
                async with running(app):
                    _settle_garbage()
                    await measure(app, token)

            asyncio.run(run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
