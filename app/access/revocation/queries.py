"""Reading revocations."""

from __future__ import annotations

from uuid import UUID

from app.access.caller import Caller
from app.access.credentials import Credentials
from app.access.revocation import store
from app.access.revocation.commands import resource_of
from app.access.revocation.standing import Revocation
from app.domain.access import Action
from app.domain.position import Position
from app.kit.paging import Page, after_cursor, bad_cursor, page_of


async def revocations(
    *, tenant: str | None, cursor: str | None, limit: int, caller: Caller, credentials: Credentials
) -> tuple[Position, Page[Revocation]]:
    """The revocations of a tenant that hold, newest first; without a tenant, those for all of them."""
    credentials.gate.require(caller, Action.READ, resource_of(tenant))
    question = f"revocations/{tenant}"
    after = after_cursor(cursor, question=question)
    async with credentials.database.moment(caller.reach) as connection:
        position, found = await store.page(
            connection,
            tenant=tenant,
            now=credentials.clock(),
            before=None if after is None else _id_in(after),
            limit=limit + 1,
        )
    return position, page_of(found, limit=limit, question=question, after=[str(one.id) for one in found])


def _id_in(after: str) -> UUID:
    try:
        return UUID(after)
    except ValueError as error:
        raise bad_cursor() from error
