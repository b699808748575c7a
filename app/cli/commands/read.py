"""`setpoint get`, `explain` and `effective`: what holds for a context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from app.cli.client import Client, segment
from app.cli.options import context_options, keys_option, node_options, output_option
from app.cli.output import emit, grid, say
from app.cli.text import compact

Context = Mapping[str, str | None]


@click.command()
@click.argument("key")
@context_options
@output_option
@node_options
def get(key: str, *, context: Context, output: str, client: Client) -> None:
    """Print the value that holds for KEY, as JSON. `-o json` tells where it came from as well."""
    found = client.get(f"/api/settings/resolve/{segment(key)}", context).body
    emit(found, output=output, text=lambda: compact(found["value"]))


@click.command()
@click.argument("key")
@context_options
@output_option
@node_options
def explain(key: str, *, context: Context, output: str, client: Client) -> None:
    """Say why a value holds for KEY: every scope of the chain, from general to specific, and what became of its say."""
    found = client.get(f"/api/settings/resolve/{segment(key)}", {**context, "explain": "true"}).body
    emit(found, output=output, text=lambda: _explanation(found))


@click.command()
@click.option("--prefix", metavar="KEY.", help="Keys that start so.")
@keys_option
@context_options
@output_option
@node_options
def effective(
    *, prefix: str | None, keys: tuple[str, ...] | None, context: Context, output: str, client: Client
) -> None:
    """Print everything that holds in a context, and where it came from."""
    if prefix is not None and keys is not None:
        raise click.UsageError("Name --keys or a --prefix, not both.")
    query = {**context, "prefix": prefix, "keys": ",".join(keys) if keys else None, "explain": "true"}
    found = client.get("/api/settings/effective", query).body
    if not found["values"]:
        say("No setting that you may see.")
    emit(found, output=output, text=lambda: _effective(found))


def _explanation(found: dict[str, Any]) -> str:
    # A value is shown only where there is one: an explicit null is not the same as nothing.
    rows = [
        (
            _scope(link),
            link["state"],
            compact(link["value"]) if "value" in link else None,
            link.get("version"),
            link.get("updatedBy"),
            link.get("updatedAt"),
        )
        for link in found["chain"]
    ]
    chain = grid(("Scope", "State", "Value", "Version", "By", "At"), rows)
    return f"{found['key']} = {compact(found['value'])}\n\n{chain}"


def _effective(found: dict[str, Any]) -> str:
    rows = [(key, compact(value), _scope(found["origins"][key])) for key, value in found["values"].items()]
    return grid(("Key", "Value", "From"), rows)


def _scope(link: dict[str, Any]) -> str:
    return f"{link['scope']}/{link['scopeId']}" if link["scopeId"] is not None else str(link["scope"])
