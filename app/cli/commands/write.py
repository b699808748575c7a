"""`setpoint set` and `unset`: one value at one scope."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import click

from app.cli.arguments import ScopeRef, parse_object, parse_value, quoted_tag, value_or_negative_number
from app.cli.client import Client, segment
from app.cli.documents import STDIN, read_bytes
from app.cli.errors import CONFLICT, CommandFailed
from app.cli.options import if_match_option, node_options, output_option, scope_option, tenant_option
from app.cli.output import emit, members, say

_SETTINGS = "/api/settings"


@click.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("key", callback=value_or_negative_number)
@click.argument("value", callback=value_or_negative_number)
@scope_option
@tenant_option
@if_match_option
@click.option("--if-absent", is_flag=True, help="Only if nothing is set there.")
@click.option("--metadata", metavar="JSON", help="An object to keep beside the value.")
@output_option
@node_options
def set_value(
    key: str,
    value: str,
    *,
    scope: ScopeRef,
    tenant: str | None,
    if_match: str | None,
    if_absent: bool,
    metadata: str | None,
    output: str,
    client: Client,
) -> None:
    """
    Set KEY to VALUE at a scope.

    VALUE is JSON; a bare word that is no JSON is taken as a string. `-` reads it from stdin, which keeps secrets out
    of the list of processes and the history of your shell.

    What is set there already is replaced if nobody changes it meanwhile: its tag is read first, or is the one you
    name with --if-match.
    """
    if if_absent and if_match is not None:
        raise click.UsageError("Name --if-match or --if-absent, not both.")
    body: dict[str, Any] = {"value": parse_value(_typed(value))}
    if metadata is not None:
        body["metadata"] = parse_object(metadata, option="--metadata")
    place = {**scope.members(tenant), "key": key}
    current = None if if_absent else _current(client, place, if_match=if_match)
    if current is None:
        done = client.send("POST", _SETTINGS, body={**{n: v for n, v in place.items() if v is not None}, **body})
    else:
        tag = quoted_tag(if_match) or current["etag"]
        done = client.send("PUT", _path(current), body=body, headers={"If-Match": tag})
    say(f"{'Set' if done.status == HTTPStatus.CREATED else 'Changed'} {key} at {scope}.")
    emit(done.body, output=output, text=lambda: members(done.body))


@click.command("unset")
@click.argument("key")
@scope_option
@tenant_option
@if_match_option
@node_options
def unset_value(key: str, *, scope: ScopeRef, tenant: str | None, if_match: str | None, client: Client) -> None:
    """Remove the value of KEY from a scope; what is more general holds there from then on."""
    current = client.get(_SETTINGS, {**scope.members(tenant), "key": key}).body
    client.send("DELETE", _path(current), headers={"If-Match": quoted_tag(if_match) or current["etag"]})
    say(f"Unset {key} at {scope}.")


def _typed(value: str) -> str:
    if value != STDIN:
        return value
    try:
        return read_bytes(STDIN).decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"The value on stdin is not UTF-8: {error}.") from error


def _current(client: Client, place: dict[str, str | None], *, if_match: str | None) -> dict[str, Any] | None:
    answer = client.find(_SETTINGS, place)
    if answer is None and if_match is not None:
        raise CommandFailed("Nothing is set there, so no tag can match.", code=CONFLICT)
    return None if answer is None else answer.body


def _path(setting: dict[str, Any]) -> str:
    return f"{_SETTINGS}/{segment(setting['id'])}"
