"""`setpoint list` and `history`: what is set, and what was."""

from __future__ import annotations

import click

from app.cli.arguments import ScopeRef, ScopeType
from app.cli.client import Client, segment
from app.cli.options import node_options, output_option, scope_option, tenant_option
from app.cli.output import emit, grid, say
from app.cli.text import compact


@click.command("list")
@scope_option
@tenant_option
@click.option("--prefix", metavar="KEY.", help="Keys that start so.")
@output_option
@node_options
def list_values(scope: ScopeRef, tenant: str | None, prefix: str | None, output: str, client: Client) -> None:
    """List what is set at one scope, in order of the keys."""
    found = list(client.items("/api/settings/list", {**scope.members(tenant), "prefix": prefix}))
    if not found:
        say(f"Nothing is set at {scope}.")
    rows = [(one["key"], compact(one["value"]), one["version"], one["updatedBy"], one["updatedAt"]) for one in found]
    emit(found, output=output, text=lambda: grid(("Key", "Value", "Version", "By", "At"), rows))


@click.command()
@click.argument("key", required=False)
@click.option("--scope", type=ScopeType(), metavar="SCOPE", help="Where it is set.")
@tenant_option
@click.option("--id", "setting_id", metavar="ID", help="The value, by its id; also after it was unset.")
@output_option
@node_options
def history(
    *, key: str | None, scope: ScopeRef | None, tenant: str | None, setting_id: str | None, output: str, client: Client
) -> None:
    """List every version of the value of KEY at a scope, newest first; or of the value with an id."""
    if (key is not None and scope is not None) is (setting_id is not None):
        raise click.UsageError("Name a KEY and its --scope, or an --id.")
    if setting_id is None:
        assert key is not None and scope is not None  # noqa: S101, PT018 (just looked at; for the type checker)
        place = {**scope.members(tenant), "key": key}
        setting_id = str(client.get("/api/settings", place).body["id"])
    found = list(client.items(f"/api/settings/{segment(setting_id)}/history"))
    rows = [
        (
            one["version"],
            one["operation"],
            compact(one["value"]) if "value" in one else None,
            one["by"],
            one["at"],
            one["etag"],
        )
        for one in found
    ]
    emit(found, output=output, text=lambda: grid(("Version", "Did", "Value", "By", "At", "Tag"), rows))
