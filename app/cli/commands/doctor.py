"""`setpoint doctor`."""

from __future__ import annotations

import os

import click

from app.cli.client import Client
from app.cli.errors import FINDINGS
from app.cli.options import node_url, output_option, timeout_option, url_option
from app.cli.output import emit, grid, say


@click.command()
@output_option
@url_option
@timeout_option
def doctor(*, output: str, url: str | None, timeout: float) -> int:
    """
    Look for what is wrong: configuration, data folder, key, PostgreSQL, migrations, Redis and the node.

    Looks as the environment says, and changes nothing. Exit code 1 when anything is not as it should be.
    """
    from app.cli import checks

    config, findings = checks.check_configuration(os.environ)
    if config is not None:
        client = Client(url or node_url(config), timeout=timeout, find_token=lambda host: None)
        findings += [checks.check_data_folder(config), checks.check_key(config)]
        findings += checks.check_postgres(config, timeout=timeout)
        findings += [checks.check_redis(config, timeout=timeout), checks.check_node(client)]
        client.close()
    emit(
        [one._asdict() for one in findings],
        output=output,
        text=lambda: grid(("Check", "State", "Detail"), findings),
    )
    wrong = [one for one in findings if one.state != "pass"]
    say(f"{len(wrong)} of {len(findings)} need a look." if wrong else "All is well.")
    return FINDINGS if wrong else 0
