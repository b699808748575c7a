"""`setpoint revoke`."""

from __future__ import annotations

import click

from app.cli.client import Client
from app.cli.options import node_options, output_option, tenant_option
from app.cli.output import emit, members, say

_REVOCATIONS = "/api/security/revocations"


@click.command()
@click.option("--jti", metavar="ID", help="The one token with this id.")
@click.option("--subject", metavar="ID", help="All that were issued to them.")
@click.option("--issuer", metavar="NAME", help="All that it issued.")
@click.option("--issued-before", metavar="MOMENT", help="Before then, as in 2026-03-04T12:00:00Z.  [now]")
@click.option("--expires-at", metavar="MOMENT", help="When the last of them expires.  [never: lift it yourself]")
@click.option("--reason", metavar="TEXT", help="Why, for the audit.")
@tenant_option
@output_option
@node_options
def revoke(
    *,
    jti: str | None,
    subject: str | None,
    issuer: str | None,
    issued_before: str | None,
    expires_at: str | None,
    reason: str | None,
    tenant: str | None,
    output: str,
    client: Client,
) -> None:
    """
    Have credentials believed no longer, everywhere within a second.

    Without a tenant of your own or --tenant: those of all tenants. `setpoint api-keys revoke` is for one API key.
    """
    if jti is subject is issuer is issued_before is None:
        raise click.UsageError("Say which: --jti, --subject, --issuer or --issued-before.")
    body = {
        "jti": jti,
        "subject": subject,
        "issuer": issuer,
        "issuedBefore": issued_before,
        "expiresAt": expires_at,
        "reason": reason,
        "tenantId": tenant,
    }
    done = client.send(
        "POST", _REVOCATIONS, body={member: text for member, text in body.items() if text is not None}
    ).body
    say(f"Revoked; lift it with DELETE {_REVOCATIONS}/{done['id']}.")
    emit(done, output=output, text=lambda: members(done))
