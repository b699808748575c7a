"""`setpoint serve`: what app/cli/serve.py does, with options in front of the environment."""

from __future__ import annotations

import click

from app.cli.environment import configuration
from app.cli.output import say


@click.command()
@click.option("--demo", is_flag=True, help="With a demo registry of two tenants, acme and globex.")
@click.option("--host", metavar="ADDRESS", help="Where to listen.  [SETPOINT_HOST, or 127.0.0.1]")
@click.option("--port", metavar="PORT", help="Where to listen.  [SETPOINT_PORT, or 8080]")
@click.option("--workers", metavar="N", help="Processes that share the port.  [SETPOINT_WORKERS, or 1]")
@click.option("--data-dir", metavar="FOLDER", help="What a node keeps.  [SETPOINT_DATA_DIR, or .setpoint]")
def serve(*, demo: bool, host: str | None, port: str | None, workers: str | None, data_dir: str | None) -> int:
    """
    Run a node until Ctrl-C.

    It brings its database up to date, and starts PostgreSQL and Valkey in the data folder unless
    SETPOINT_DATABASE_URL and SETPOINT_REDIS_URL name others.
    """
    config = configuration(host=host, port=port, workers=workers, data_dir=data_dir)
    from app.cli.serve import serve as run

    return run(config, demo=demo, announce=say)
