"""`setpoint token`: one JWT, signed with the local development key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from app.cli.arguments import DurationType, NamesType
from app.cli.environment import configuration
from app.cli.errors import USAGE, CommandFailed
from app.cli.output import say, write

if TYPE_CHECKING:
    from app.config import Config
    from app.domain.access import Principal

# The roles that the policies speak of; tests/cli/test_token.py holds the two together.
ROLES = ("platform_admin", "admin", "manager", "user", "auditor", "service")
CLEARANCES = ("public", "internal", "confidential", "secret")
MAX_TTL = timedelta(days=3650)  # a development key is not for longer

_TRUSTED = {"platform_admin", "admin"}


@click.command()
@click.option("--role", "roles", type=NamesType(), required=True, metavar="A,B", help=f"Of {', '.join(ROLES)}.")
@click.option("--tenant", metavar="ID", help="Its tenant; all but platform_admin need one.")
@click.option("--territory", "territories", type=NamesType(), default=(), metavar="A,B", help="Its territories.")
@click.option("--account", "accounts", type=NamesType(), default=(), metavar="A,B", help="Its accounts.")
@click.option("--sub", metavar="ID", help="Who it is; the first role, if left out.")
@click.option(
    "--clearance",
    type=click.Choice(CLEARANCES),
    help="What it is trusted with.  [secret for platform_admin and admin, else internal]",
)
@click.option("--scope", "scopes", type=NamesType(), metavar="A,B", help="Good for these scopes only, as pdp:assert.")
@click.option("--kind", type=click.Choice(("user", "service")), help="What it is.  [service for service, else user]")
@click.option("--ttl", type=DurationType(), default="1h", show_default=True, metavar="SPAN", help="How long it lives.")
def token(
    *,
    roles: tuple[str, ...],
    tenant: str | None,
    territories: tuple[str, ...],
    accounts: tuple[str, ...],
    sub: str | None,
    clearance: str | None,
    scopes: tuple[str, ...] | None,
    kind: str | None,
    ttl: timedelta,
) -> None:
    """
    Print one JWT and nothing else.

    It is signed with the development key in SETPOINT_DATA_DIR, which is made if it is not there. A node believes it
    if it has the same data folder and SETPOINT_LOCAL_ISSUER is not off.
    """
    _check(roles, tenant, ttl)
    config = configuration()
    from app.domain.access import Principal
    from app.domain.definition import Sensitivity

    trusted = bool(_TRUSTED.intersection(roles))
    principal = Principal(
        id=sub if sub is not None else roles[0],
        kind="service" if kind == "service" or (kind is None and "service" in roles) else "user",
        tenant=tenant,
        roles=tuple(sorted(set(roles))),
        territories=tuple(sorted(set(territories))),
        accounts=tuple(sorted(set(accounts))),
        clearance=Sensitivity(clearance or ("secret" if trusted else "internal")).rank,
        scopes=tuple(sorted(set(scopes or ()))),
        scoped=scopes is not None,
    )
    _check_ids(principal)
    write(_signed(principal, config=config, ttl=ttl))


def _check(roles: Sequence[str], tenant: str | None, ttl: timedelta) -> None:
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise click.UsageError(f"There is no role {', '.join(unknown)}; there are {', '.join(ROLES)}.")
    if tenant is None and set(roles) != {"platform_admin"}:
        raise click.UsageError(f"The role {roles[0]} holds within a tenant: name it with --tenant.")
    if ttl > MAX_TTL:
        raise click.UsageError(f"--ttl is at most {MAX_TTL.days}d.")


def _check_ids(principal: Principal) -> None:
    """Refuse here what a node would answer with a 401 that does not say why."""
    from app.domain.errors import Malformed
    from app.domain.scope import Level, require_tenant_id, scope_of

    try:
        if principal.tenant is not None:
            require_tenant_id(principal.tenant)
        for name in (principal.id, *principal.territories, *principal.accounts):
            scope_of(Level.USER, tenant="any", scope_id=name)
    except Malformed as error:
        raise click.UsageError(error.detail) from error


def _signed(principal: Principal, *, config: Config, ttl: timedelta) -> str:
    from app.access.local_key import FILE, LocalKeyError, ensure_local_key, sign
    from app.kit.clock import utc_now

    path = config.data_path / FILE
    if not path.exists():
        say(f"Made the development key {path}; only nodes with this data folder believe it.")
    if config.local_issuer == "off":
        say("SETPOINT_LOCAL_ISSUER is off: a node with this configuration does not believe the token.")
    try:
        return sign(ensure_local_key(config.data_path), principal, now=utc_now(), ttl=ttl)
    except LocalKeyError as error:
        raise CommandFailed(str(error), code=USAGE) from error
