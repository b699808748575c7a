"""`setpoint api-keys`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from app.cli.arguments import DurationType, NamesType, quoted_tag
from app.cli.client import Client, segment
from app.cli.options import if_match_option, node_options, output_option, tenant_option
from app.cli.output import emit, grid, say

_KEYS = "/api/security/api-keys"
_CLEARANCES = ("public", "internal", "confidential", "secret")


@click.group("api-keys")
def api_keys() -> None:
    """Credentials for programs. A key has no more power than whoever makes it."""


@api_keys.command("list")
@tenant_option
@output_option
@node_options
def list_keys(*, tenant: str | None, output: str, client: Client) -> None:
    """List the API keys of a tenant. Their secrets are not known to anybody."""
    found = list(client.items(_KEYS, {"tenantId": tenant}))
    if not found:
        say("There is no API key.")
    rows = [
        (one["id"], one["name"], _state(one), one["roles"], one["scopes"], one["expiresAt"], one["lastUsedAt"])
        for one in found
    ]
    columns = ("Id", "Name", "State", "Roles", "Scopes", "Expires", "Last used")
    emit(found, output=output, text=lambda: grid(columns, rows))


@api_keys.command("create")
@click.argument("name")
@click.option("--role", "roles", type=NamesType(), required=True, metavar="A,B", help="Its roles.")
@click.option("--kind", type=click.Choice(("user", "service")), help="What it stands for: you, or itself.  [service]")
@click.option("--territory", "territories", type=NamesType(), default=(), metavar="A,B", help="Its territories.")
@click.option("--account", "accounts", type=NamesType(), default=(), metavar="A,B", help="Its accounts.")
@click.option("--clearance", type=click.Choice(_CLEARANCES), help="What it is trusted with.  [internal, or yours]")
@click.option("--scope", "scopes", type=NamesType(), metavar="A,B", help="What it is good for; all, if left out.")
@click.option("--ttl", type=DurationType(), metavar="SPAN", help="How long it lives, as in 30d.  [what the node says]")
@tenant_option
@output_option
@node_options
def create_key(
    name: str,
    *,
    roles: tuple[str, ...],
    kind: str | None,
    territories: tuple[str, ...],
    accounts: tuple[str, ...],
    clearance: str | None,
    scopes: tuple[str, ...] | None,
    ttl: timedelta | None,
    tenant: str | None,
    output: str,
    client: Client,
) -> None:
    """Make an API key called NAME, and print it: it is shown this once."""
    body: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "roles": roles,
        "territories": territories,
        "accounts": accounts,
        "clearance": clearance,
        "scopes": scopes,
        "expiresAt": None if ttl is None else (datetime.now(UTC) + ttl).isoformat(),
        "tenantId": tenant,
    }
    done = client.send("POST", _KEYS, body={member: value for member, value in body.items() if value is not None}).body
    say(f"Made the API key {done['id']}, which expires at {done['expiresAt']}.")
    emit(done, output=output, text=lambda: str(done["secret"]))


@api_keys.command("rotate")
@click.argument("key")
@click.option(
    "--overlap",
    type=DurationType(),
    metavar="SPAN",
    help="How long the secret that it has is good as well, as in 1h.  [not at all]",
)
@if_match_option
@output_option
@node_options
def rotate_key(key: str, *, overlap: timedelta | None, if_match: str | None, output: str, client: Client) -> None:
    """Give the API key with the id KEY a new secret, and print it: it is shown this once."""
    path = f"{_KEYS}/{segment(key)}"
    tag = quoted_tag(if_match) or client.get(path).body["etag"]
    body = {"overlapSeconds": 0 if overlap is None else int(overlap.total_seconds())}
    done = client.send("POST", f"{path}/rotate", body=body, headers={"If-Match": tag}).body
    until = "" if done["overlapUntil"] is None else f" The one it had is good until {done['overlapUntil']}."
    say(f"Rotated the API key {key}.{until}")
    emit(done, output=output, text=lambda: str(done["secret"]))


@api_keys.command("revoke")
@click.argument("key")
@node_options
def revoke_key(key: str, *, client: Client) -> None:
    """Revoke the API key with the id KEY. It is good for nothing within a second."""
    client.send("DELETE", f"{_KEYS}/{segment(key)}")
    say(f"Revoked the API key {key}.")


def _state(key: dict[str, Any]) -> str:
    if key["revokedAt"] is not None:
        return "revoked"
    return "expired" if datetime.fromisoformat(key["expiresAt"]) <= datetime.now(UTC) else "good"
