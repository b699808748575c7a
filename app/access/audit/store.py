"""SQL of the audit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import cast

import msgspec

from app.access.audit.record import CHANGED, Link, Record
from app.kit.database import Connection, Row

MOST_WALKED = 10_000  # records that one request looks at; about 50 ms

# A function of the database: it links the records in one round trip, with the chain's head locked to the commit.
_APPEND = "SELECT audit_append($1, $2::text[])"
# Index: audit_record_pkey.
_PAGE = """
SELECT tenant, sequence, body, hash FROM audit_record WHERE tenant = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"""
# Index: audit_record_by_actor, audit_record_by_outcome or audit_record_pkey, each in the order of the chain.
_WALK = """
SELECT tenant, sequence, body, hash FROM audit_record WHERE tenant = $1 AND sequence < $2{in_index}
ORDER BY sequence DESC"""
# What stands in no column is looked for along the way, and no further than a request may take.
_WANTED = f"""
SELECT tenant, sequence, body, hash FROM ({_WALK} LIMIT {{most}}) walked WHERE {{elsewhere}} LIMIT {{limit}}"""
_WALKED_TO = f"SELECT sequence FROM ({_WALK} OFFSET {{most}} - 1 LIMIT 1) walked"
# A head alone, or records alone, are a chain too: a broken one.
_CHAINS = "SELECT tenant FROM audit_head UNION SELECT tenant FROM audit_record ORDER BY tenant"
_SEES_EVERYTHING = """
SELECT rolsuper OR rolbypassrls OR pg_has_role('setpoint_auditor', 'USAGE') FROM pg_roles
WHERE rolname = current_user"""
_HEAD = "SELECT sequence, hash FROM audit_head WHERE tenant = $1"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which records are asked for. `resource` is a prefix; times are in UTC, `until` is the first that is too late."""

    actor: str | None = None
    outcome: str | None = None
    resource: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def append(tx: Connection, tenant: str, bodies: Sequence[str]) -> None:
    """Add records to the end of a chain."""
    await tx.execute(_APPEND, tenant, list(bodies))


async def page(connection: Connection, tenant: str, *, after: int, limit: int) -> list[Record]:
    """Records of a chain in order."""
    return _records(await connection.fetch(_PAGE, tenant, after, limit))


async def newest(
    connection: Connection, tenant: str, wanted: Wanted, *, before: int, limit: int
) -> tuple[list[Record], int | None]:
    """
    Records of a chain before a place, newest first: up to `limit` that are wanted, among the next MOST_WALKED.

    With the place to go on from when there are fewer because the walk ended there.
    """
    arguments: list[object] = [tenant, before]

    def bound(argument: object) -> str:
        arguments.append(argument)
        return f"${len(arguments)}"

    in_index = "".join(f" AND {one}" for one in _in_index(wanted, bound))
    most = bound(MOST_WALKED)
    to_walk = len(arguments)
    elsewhere = " AND ".join(_elsewhere(wanted, bound)) or "true"
    statement = _WANTED.format(in_index=in_index, most=most, elsewhere=elsewhere, limit=bound(limit))
    found = _records(await connection.fetch(statement, *arguments))
    if len(found) == limit:
        return found, None
    last = await connection.fetchval(_WALKED_TO.format(in_index=in_index, most=most), *arguments[:to_walk])
    return found, cast(int | None, last)


def _in_index(wanted: Wanted, bound: Callable[[object], str]) -> Iterator[str]:
    if wanted.actor is not None:
        yield f"actor = {bound(wanted.actor)}"
    if wanted.outcome is not None:
        yield f"outcome = {bound(wanted.outcome)}"
        if wanted.outcome != CHANGED:
            yield "outcome <> 'changed'"  # as the index says that it holds no others


def _elsewhere(wanted: Wanted, bound: Callable[[object], str]) -> Iterator[str]:
    if wanted.resource is not None:
        yield f"starts_with(body::json ->> 'resource', {bound(wanted.resource)})"
    # Times are written in UTC and in one form, whose order as text is their order.
    if wanted.since is not None:
        yield f"(body::json ->> 'at') COLLATE \"C\" >= {bound(wanted.since.isoformat())}"
    if wanted.until is not None:
        yield f"(body::json ->> 'at') COLLATE \"C\" < {bound(wanted.until.isoformat())}"


async def sees_everything(connection: Connection) -> bool:
    """Whether row-level security shows every chain to this role; to others, a hidden chain would look like none."""
    return bool(await connection.fetchval(_SEES_EVERYTHING))


async def chains(connection: Connection) -> list[str]:
    """Every chain there is, those of removed tenants too."""
    return [row["tenant"] for row in await connection.fetch(_CHAINS)]


async def head(connection: Connection, tenant: str) -> Link | None:
    """The end of a chain; None when nothing was ever written to it."""
    row = await connection.fetchrow(_HEAD, tenant)
    return None if row is None else Link(sequence=row["sequence"], hash=row["hash"])


def _records(rows: Sequence[Row]) -> list[Record]:
    return [Record(tenant=row["tenant"], sequence=row["sequence"], body=row["body"], hash=row["hash"]) for row in rows]
