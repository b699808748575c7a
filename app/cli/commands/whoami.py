"""`setpoint whoami`."""

from __future__ import annotations

import click

from app.cli.client import Client
from app.cli.options import node_options, output_option
from app.cli.output import emit, members


@click.command()
@output_option
@node_options
def whoami(output: str, client: Client) -> None:
    """Print who you are, as the node sees you."""
    principal = client.get("/api/auth/verify").body
    emit(principal, output=output, text=lambda: members(principal))
