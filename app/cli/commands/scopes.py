"""`setpoint scopes`: the scope directory."""

from __future__ import annotations

from typing import Any

import click

from app.cli.arguments import LEVELS, ScopeRef, ScopeType, parse_object, quoted_tag
from app.cli.client import Client, segment
from app.cli.options import if_match_option, node_options, output_option, tenant_option
from app.cli.output import emit, grid, members, say

_SCOPES = "/api/scopes"


@click.group()
def scopes() -> None:
    """What is known of scopes besides their values; it decides who may see and change them."""


@scopes.command("list")
@click.option("--level", type=click.Choice(LEVELS[1:], case_sensitive=False), help="At this level only.")
@click.option("--territory", metavar="ID", help="In this territory only.")
@tenant_option
@output_option
@node_options
def list_scopes(*, level: str | None, territory: str | None, tenant: str | None, output: str, client: Client) -> None:
    """List the scopes of a tenant that the directory knows."""
    found = list(client.items(_SCOPES, {"scope": level, "territory": territory, "tenantId": tenant}))
    if not found:
        say("The directory knows no such scope.")
    rows = [
        (f"{one['scope']}/{one['scopeId']}", one["territory"], one["owner"], one["attributes"], one["version"])
        for one in found
    ]
    emit(found, output=output, text=lambda: grid(("Scope", "Territory", "Owner", "Attributes", "Version"), rows))


@scopes.command("get")
@click.argument("scope", type=ScopeType())
@tenant_option
@output_option
@node_options
def get_scope(scope: ScopeRef, *, tenant: str | None, output: str, client: Client) -> None:
    """Print what is known of SCOPE, as in ACCOUNT/hotel-adler."""
    found = client.get(_path(scope), _tenant_of(scope, tenant)).body
    emit(found, output=output, text=lambda: members(found))


@scopes.command("put")
@click.argument("scope", type=ScopeType())
@tenant_option
@click.option("--territory", metavar="ID", help='Where it lies; "" for unknown.')
@click.option("--owner", metavar="ID", help='Who owns it; "" for unknown.')
@click.option("--attributes", metavar="JSON", help="Anything else, as an object.")
@if_match_option
@output_option
@node_options
def put_scope(
    scope: ScopeRef,
    *,
    tenant: str | None,
    territory: str | None,
    owner: str | None,
    attributes: str | None,
    if_match: str | None,
    output: str,
    client: Client,
) -> None:
    """Say what is known of SCOPE. What you do not name stays as it is."""
    path, query = _path(scope), _tenant_of(scope, tenant)
    answer = client.find(path, query)
    current: dict[str, Any] = {} if answer is None else answer.body
    tag = quoted_tag(if_match) or current.get("etag")
    body = {
        # An option that is not given and one that is empty say different things.
        "territory": current.get("territory") if territory is None else territory or None,
        "owner": current.get("owner") if owner is None else owner or None,
        "attributes": (
            current.get("attributes", {}) if attributes is None else parse_object(attributes, option="--attributes")
        ),
    }
    headers = {"If-Match": tag, "If-None-Match": None if tag else "*"}
    done = client.send("PUT", path, query=query, body=body, headers=headers).body
    say(f"{'Made' if done['version'] == 1 else 'Changed'} the entry of {scope}.")
    emit(done, output=output, text=lambda: members(done))


@scopes.command("delete")
@click.argument("scope", type=ScopeType())
@tenant_option
@if_match_option
@node_options
def delete_scope(scope: ScopeRef, *, tenant: str | None, if_match: str | None, client: Client) -> None:
    """Forget what is known of SCOPE. Values set there stay."""
    path, query = _path(scope), _tenant_of(scope, tenant)
    tag = quoted_tag(if_match) or client.get(path, query).body["etag"]
    client.send("DELETE", path, query=query, headers={"If-Match": tag})
    say(f"Forgot {scope}.")


def _path(scope: ScopeRef) -> str:
    if scope.level == "GLOBAL":
        raise click.UsageError("The directory does not know GLOBAL.")
    return f"{_SCOPES}/{scope.level}/{segment(scope.scope_id or '')}"


def _tenant_of(scope: ScopeRef, tenant: str | None) -> dict[str, str | None]:
    return {"tenantId": scope.members(tenant)["tenantId"]}
