"""
A process of its own that serves until SIGTERM: `server.py node` or `server.py bare`.

The node has embedded servers in the data folder of its environment, the demo registry and the synthetic values.
Prints one line when requests are answered, with the URL of the Redis that it uses.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import synthetic

from app.cli import serve
from app.cli.workers import run_workers
from app.config import Config, read_config
from app.kit.orphans import end_with_parent

READY = "ready"


def prepare(config: Config, *, demo: bool, announce: Callable[[str], None]) -> Sequence[str]:
    """What `setpoint serve` does before its workers start, then the synthetic values."""
    serve.prepare(config, demo=demo, announce=announce)
    if "BENCH_SCOPES" in os.environ:  # else another node of the same data folder has made them
        asyncio.run(synthetic.seed(config, scopes=int(os.environ["BENCH_SCOPES"])))
    return [f"{READY} {config.redis_url}"]


def main() -> int:
    """Serve what the first argument names, as the environment says."""
    end_with_parent()
    config, _ = read_config(os.environ)

    def show(line: str) -> None:
        print(line, flush=True)

    def announce(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    if sys.argv[1] == "node":
        return serve.serve(config, demo=True, announce=announce, show=show, prepare=prepare)
    # Workers find the module by its name.
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    return run_workers(config, target="bare:application", on_ready=lambda: show(READY), announce=announce)


if __name__ == "__main__":
    raise SystemExit(main())
