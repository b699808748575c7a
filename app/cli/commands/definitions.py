"""`setpoint definitions`: what keys are."""

from __future__ import annotations

from typing import Any

import click

from app.cli.arguments import quoted_tag
from app.cli.client import Client, segment
from app.cli.commands.definitions_import import import_definitions
from app.cli.documents import read_document
from app.cli.errors import USAGE, CommandFailed
from app.cli.options import if_match_option, node_options, output_option
from app.cli.output import emit, grid, members, say
from app.cli.text import compact

_DEFINITIONS = "/api/definitions"
_OF_THE_REGISTRY = ("version", "etag", "createdAt", "createdBy", "updatedAt", "updatedBy")

prefix_option = click.option("--prefix", metavar="KEY.", help="Keys that start so.")


@click.group()
def definitions() -> None:
    """What keys are: their schema, their default, where they may be set and how values combine."""


definitions.add_command(import_definitions)


@definitions.command("list")
@prefix_option
@output_option
@node_options
def list_definitions(*, prefix: str | None, output: str, client: Client) -> None:
    """List definitions, in order of their keys."""
    found = list(client.items(_DEFINITIONS, {"prefix": prefix}))
    if not found:
        say("No definition that you may see.")
    rows = [
        (one["key"], compact(one["default"]), one["mergeStrategy"], " ".join(one["levels"]), one["sensitivity"])
        for one in found
    ]
    emit(found, output=output, text=lambda: grid(("Key", "Default", "Merge", "Levels", "Sensitivity"), rows))


@definitions.command("get")
@click.argument("key")
@output_option
@node_options
def get_definition(key: str, *, output: str, client: Client) -> None:
    """Print the definition of KEY."""
    found = client.get(_path(key)).body
    emit(found, output=output, text=lambda: members(found))


@definitions.command("put")
@click.argument("key")
@click.argument("file")
@if_match_option
@click.option("--if-absent", is_flag=True, help="Only if it is not defined yet.")
@click.option("--dry-run", is_flag=True, help="Judge it, and change nothing.")
@output_option
@node_options
def put_definition(
    key: str, file: str, *, if_match: str | None, if_absent: bool, dry_run: bool, output: str, client: Client
) -> None:
    """Define KEY as FILE says (JSON or YAML, `-` for stdin), or change its definition."""
    if if_absent and if_match is not None:
        raise click.UsageError("Name --if-match or --if-absent, not both.")
    body = _body(read_document(file), key)
    tag = quoted_tag(if_match)
    if tag is None and not if_absent:
        current = client.find(_path(key))
        tag = None if current is None else current.body["etag"]
    done = client.send(
        "PUT",
        _path(key),
        query={"dryRun": "true" if dry_run else None},
        body=body,
        headers={"If-Match": tag, "If-None-Match": None if tag else "*"},
    ).body
    say(f"{'Would define' if dry_run else 'Defined'} {key}, version {done['version']}.")
    emit(done, output=output, text=lambda: members(done))


@definitions.command("delete")
@click.argument("key")
@if_match_option
@node_options
def delete_definition(key: str, *, if_match: str | None, client: Client) -> None:
    """Remove the definition of KEY. Refused while values are set for it."""
    tag = quoted_tag(if_match) or client.get(_path(key)).body["etag"]
    client.send("DELETE", _path(key), headers={"If-Match": tag})
    say(f"Removed the definition of {key}.")


@definitions.command("export")
@prefix_option
@click.option("-o", "--output", type=click.Choice(("json", "yaml")), default="json", show_default=True)
@node_options
def export_definitions(*, prefix: str | None, output: str, client: Client) -> None:
    """Print definitions in the form that `import` reads."""
    found = [_without_registry_members(one) for one in client.items(_DEFINITIONS, {"prefix": prefix})]
    emit({"definitions": found}, output=output, text=str)


def _body(document: Any, key: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise CommandFailed("The file should hold one definition: an object.", code=USAGE)
    if document.get("key", key) != key:
        raise CommandFailed(f"The file defines {document['key']}, not {key}.", code=USAGE)
    return {name: value for name, value in _without_registry_members(document).items() if name != "key"}


def _without_registry_members(definition: dict[str, Any]) -> dict[str, Any]:
    """What can be said of a key; a default of null is a value, every other null says nothing."""
    return {
        name: value
        for name, value in definition.items()
        if name not in _OF_THE_REGISTRY and (value is not None or name == "default")
    }


def _path(key: str) -> str:
    return f"{_DEFINITIONS}/{segment(key)}"
