"""Options that many commands share, each in one place."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from app.cli.arguments import NamesType, ScopeType
from app.cli.output import FORMATS

if TYPE_CHECKING:
    from app.config import Config

Command = Callable[..., Any]

_CONTEXT = {
    "tenant": ("tenantId", "The tenant; yours, if left out."),
    "territory": ("territory", "The territory."),
    "account": ("accountId", "The account."),
    "contact_role": ("contactRole", "The role of the contact."),
    "contact": ("contactId", "The contact."),
    "user": ("userId", "The user."),
}

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="How to print the data.",
)

tenant_option = click.option("--tenant", metavar="ID", help="The tenant; yours, if left out.")

scope_option = click.option(
    "--scope", type=ScopeType(), required=True, metavar="SCOPE", help="GLOBAL, TENANT, TERRITORY/DE, ACCOUNT/…"
)

if_match_option = click.option("--if-match", metavar="TAG", help="Only if it still has this tag.")

keys_option = click.option("--keys", type=NamesType(), metavar="A,B", help="These keys only.")

url_option = click.option("--url", metavar="URL", help="The node.  [SETPOINT_URL, or this machine]")
token_file_option = click.option(
    "--token-file", metavar="FILE", help="Your token is in this file.  [SETPOINT_TOKEN, or the local development key]"
)
timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True, max=3600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="The longest a request may take.",
)


def context_options(command: Command) -> Command:
    """Options for where a reader stands; the command gets them as the query `context`."""

    @functools.wraps(command)
    def with_context(*args: Any, **options: Any) -> Any:
        context = {name: options.pop(option) for option, (name, _) in _CONTEXT.items()}
        return command(*args, context=context, **options)

    decorated: Command = with_context
    for option, (_, line) in reversed(_CONTEXT.items()):
        decorated = click.option(f"--{option.replace('_', '-')}", option, metavar="ID", help=line)(decorated)
    return decorated


def node_options(command: Command) -> Command:
    """Options for which node and as whom; the command gets an open `client`."""

    @functools.wraps(command)
    def with_client(*args: Any, url: str | None, token_file: str | None, timeout: float, **options: Any) -> Any:
        from app.cli.client import Client
        from app.cli.credential import find_token

        client = Client(url or node_url(), timeout=timeout, find_token=lambda host: find_token(token_file, host=host))
        click.get_current_context().call_on_close(client.close)
        return command(*args, client=client, **options)

    decorated: Command = with_client
    for option in (timeout_option, token_file_option, url_option):
        decorated = option(decorated)
    return decorated


def node_url(config: Config | None = None) -> str:
    """Where the environment says that the node is."""
    given = os.environ.get("SETPOINT_URL")
    if given:
        return given
    if not os.environ.get("SETPOINT_PORT"):
        return "http://127.0.0.1:8080"
    from app.cli.environment import configuration

    return f"http://127.0.0.1:{(config or configuration()).port}"
