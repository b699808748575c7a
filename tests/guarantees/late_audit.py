"""A node whose audit is written after the change and not with it: `python -m tests.guarantees.late_audit`."""

from __future__ import annotations

import asyncio
import os
import sys
from contextvars import ContextVar
from typing import Any

from app.access.audit.append import write_down
from app.cli.serve import serve
from app.config import read_config
from app.kit import asgi
from app.main import create_app_from_environment
from app.settings.values import changes, commands

LATE_SECONDS = 0.02  # between a change and its record; the kill meets one of eight writers there

_owed: ContextVar[list[Any]] = ContextVar("owed")
_apply_alone = changes.apply_alone


async def _owe(tx: Any, audited: Any, *, signature: Any) -> None:
    del tx
    _owed.get().append((audited, signature))


async def _apply_and_write_down_later(change: Any, *, caller: Any, registry: Any) -> Any:
    _owed.set([])
    done = await _apply_alone(change, caller=caller, registry=registry)
    await asyncio.sleep(LATE_SECONDS)
    async with registry.database.transaction(caller.reach) as tx:
        for audited, signature in _owed.get():
            await write_down(tx, audited, signature=signature)
    return done


def create() -> asgi.App:
    """The factory that a worker calls."""
    changes.write_down = _owe  # type: ignore[assignment]
    commands.apply_alone = _apply_and_write_down_later  # type: ignore[assignment]
    return create_app_from_environment()


if __name__ == "__main__":
    sys.exit(
        serve(
            read_config(os.environ)[0],
            demo=False,
            announce=lambda line: print(line, file=sys.stderr, flush=True),
            application="tests.guarantees.late_audit:create",
        )
    )
