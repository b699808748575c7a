"""`setpoint tenants`."""

from __future__ import annotations

from typing import Any

import click

from app.cli.arguments import quoted_tag
from app.cli.client import Client, segment
from app.cli.errors import REFUSED, CommandFailed
from app.cli.options import if_match_option, node_options, output_option
from app.cli.output import emit, grid, members, say

_TENANTS = "/api/tenants"


@click.group()
def tenants() -> None:
    """Who has settings here. Only a platform_admin may see and change tenants."""


@tenants.command("list")
@output_option
@node_options
def list_tenants(output: str, client: Client) -> None:
    """List all tenants."""
    found = list(client.items(_TENANTS))
    rows = [(one["tenantId"], one["name"], one["version"], one["updatedBy"], one["updatedAt"]) for one in found]
    emit(found, output=output, text=lambda: grid(("Tenant", "Name", "Version", "By", "At"), rows))


@tenants.command("put")
@click.argument("tenant")
@click.option("--name", help="Its name; the id, if left out when it is made.")
@if_match_option
@output_option
@node_options
def put_tenant(tenant: str, *, name: str | None, if_match: str | None, output: str, client: Client) -> None:
    """Create TENANT, or rename it."""
    current = None if if_match else _find(client, tenant)
    tag = quoted_tag(if_match) or (None if current is None else current["etag"])
    if name is None and current is not None:
        name = current["name"]
    done = client.send(
        "PUT",
        f"{_TENANTS}/{segment(tenant)}",
        body={} if name is None else {"name": name},
        headers={"If-Match": tag, "If-None-Match": None if tag else "*"},
    ).body
    say(f"{'Made' if done['version'] == 1 else 'Changed'} the tenant {tenant}.")
    emit(done, output=output, text=lambda: members(done))


@tenants.command("delete")
@click.argument("tenant")
@if_match_option
@node_options
def delete_tenant(tenant: str, *, if_match: str | None, client: Client) -> None:
    """Remove TENANT. Refused while it has values or scopes."""
    tag = quoted_tag(if_match)
    if tag is None:
        current = _find(client, tenant)
        if current is None:
            raise CommandFailed(f"There is no tenant {tenant}.", code=REFUSED)
        tag = current["etag"]
    client.send("DELETE", f"{_TENANTS}/{segment(tenant)}", headers={"If-Match": tag})
    say(f"Removed the tenant {tenant}.")


def _find(client: Client, tenant: str) -> dict[str, Any] | None:
    return next((one for one in client.items(_TENANTS) if one["tenantId"] == tenant), None)
