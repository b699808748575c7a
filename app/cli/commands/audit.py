"""`setpoint audit`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import click

from app.cli.client import Client
from app.cli.errors import FINDINGS, REFUSED, UNREACHABLE, CommandFailed
from app.cli.options import node_options, output_option, tenant_option
from app.cli.output import emit, grid, say
from app.cli.text import printable

_AUDIT = "/api/security/audit"
_OUTCOMES = ("changed", "denied", "read", "overridden")
_PLATFORM = "(platform)"  # how the chain of what belongs to no tenant is shown; no tenant has such an id


@click.group()
def audit() -> None:
    """Who did what, and whether the record of it is whole. For auditors and admins."""


@audit.command("list")
@tenant_option
@click.option("--actor", metavar="ID", help="What this one did.")
@click.option("--outcome", type=click.Choice(_OUTCOMES), help="What came of it.")
@click.option("--resource", metavar="PREFIX", help="What it was done to: setting/TENANT/acme, definition/ui. …")
@click.option("--since", metavar="TIME", help="From this moment on: 2026-03-04T12:00:00Z.")
@click.option("--until", metavar="TIME", help="Before this moment.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The newest so many.")
@output_option
@node_options
def list_records(*, tenant: str | None, limit: int, output: str, client: Client, **wanted: str | None) -> None:
    """List the records of a tenant, newest first."""
    found = list(islice(client.items(_AUDIT, {"tenantId": tenant, **wanted}), limit))
    emit(found, output=output, text=lambda: grid(_COLUMNS, [_row(one) for one in found]))


_COLUMNS = ("Sequence", "At", "Actor", "Outcome", "Action", "Resource", "Count", "Reason")


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    named = ("outcome", "action", "resource", "count", "reason")
    return record["sequence"], record["at"], record["actor"]["id"], *(record.get(name) for name in named)


@audit.command("verify")
@tenant_option
@click.option("--all", "every", is_flag=True, help="Every tenant and the platform; for a platform_admin.")
@click.option("--database-url", metavar="URL", help="Ask PostgreSQL itself, as a member of setpoint_auditor.")
@output_option
@node_options
def verify(*, tenant: str | None, every: bool, database_url: str | None, output: str, client: Client) -> int:
    """
    Verify the chain of a tenant, or of all: exit code 1 when a record is not as it was written.

    Asked of a node, --all knows the tenants that there are. Asked of PostgreSQL, it knows the chains of removed ones
    too, and needs to trust no node.
    """
    if tenant is not None and every:
        raise click.UsageError("Name --tenant or --all, not both.")
    if database_url is not None:
        verdicts = _of_database(database_url, tenant, timeout=click.get_current_context().params["timeout"])
    else:
        verdicts = list(_of_node(client, tenant, every=every))
    emit(verdicts, output=output, text=lambda: grid(_VERDICT, [_verdict_row(one) for one in verdicts]))
    broken = [one for one in verdicts if not one["valid"]]
    for one in broken:
        say(printable(f"{_chain(one)} is broken at record {one['brokenAt']}: {one['reason']}"))
    return FINDINGS if broken else 0


_VERDICT = ("Chain", "State", "Records", "Broken at", "Reason", "Last hash")


def _verdict_row(one: dict[str, Any]) -> tuple[object, ...]:
    state = "pass" if one["valid"] else "fail"
    return _chain(one), state, one["records"], one["brokenAt"], one["reason"], one["hash"] or None


def _chain(one: dict[str, Any]) -> str:
    return one["tenantId"] or _PLATFORM


def _of_node(client: Client, tenant: str | None, *, every: bool) -> Iterator[dict[str, Any]]:
    seen: set[str | None] = set()
    tenants = [tenant, *(one["tenantId"] for one in client.items("/api/tenants"))] if every else [tenant]
    for one in tenants:
        verdict = _walked(client, one)
        if verdict["tenantId"] not in seen:  # the first is one's own, which may be named again
            seen.add(verdict["tenantId"])
            yield verdict


def _walked(client: Client, tenant: str | None) -> dict[str, Any]:
    """The verdict on a whole chain, of which the node walks a part in one request."""
    cursor: str | None = None
    while True:
        step = client.get(f"{_AUDIT}/verify", {"tenantId": tenant, "cursor": cursor}).body
        cursor = step.pop("next")
        if cursor is None:
            verdict: dict[str, Any] = step
            return verdict


def _of_database(url: str, tenant: str | None, *, timeout: float) -> list[dict[str, Any]]:
    with _told():
        return asyncio.run(_verdicts(url, tenant, timeout=timeout))


async def _verdicts(url: str, tenant: str | None, *, timeout: float) -> list[dict[str, Any]]:  # noqa: ASYNC109 (asyncpg's own)
    import asyncpg

    from app.access.audit import store
    from app.access.audit.verify import verify as verify_chain

    connection: Any = await asyncpg.connect(url, timeout=timeout, command_timeout=timeout)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if not await store.sees_everything(connection):
                message = "This role does not see every record: connect as a member of setpoint_auditor."
                raise CommandFailed(message, code=REFUSED)
            chains = await store.chains(connection) if tenant is None else [tenant]
            verdicts = [await verify_chain(connection, chain) for chain in chains]
    finally:
        await connection.close(timeout=timeout)
    return [
        {
            "tenantId": one.tenant or None,
            "records": one.records,
            "valid": one.broken_at is None,
            "brokenAt": one.broken_at,
            "reason": one.reason,
            "hash": one.reached.hash.hex(),
        }
        for one in verdicts
    ]


@contextmanager
def _told() -> Iterator[None]:
    import asyncpg

    try:
        yield
    except (OSError, ValueError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        message = f"PostgreSQL cannot be asked: {printable(str(error) or type(error).__name__)}"
        raise CommandFailed(message, code=UNREACHABLE) from error
