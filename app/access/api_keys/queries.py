"""Reading API keys. What is given never holds a secret, and no digest leaves this part."""

from __future__ import annotations

from app.access.api_keys import store
from app.access.api_keys.commands import resource_of
from app.access.api_keys.store import ApiKey
from app.access.caller import Caller
from app.access.credentials import Credentials
from app.domain.access import Action, ApiKeyResource
from app.domain.errors import NotFound
from app.domain.position import Position
from app.kit.paging import Page, after_cursor, page_of

FETCH_ROWS = 1_000  # rows looked at a time while filling a page with what may be seen


async def api_key(key_id: str, *, caller: Caller, credentials: Credentials) -> tuple[Position, ApiKey]:
    """One key. Raises NotFound when there is none, or none to be seen."""
    async with credentials.database.moment(caller.reach) as connection:
        position, found = await store.key(connection, key_id)
    if not found:
        raise NotFound
    credentials.gate.require(caller, Action.READ, resource_of(found[0]))
    return position, found[0]


async def api_keys(
    *, tenant: str | None, cursor: str | None, limit: int, caller: Caller, credentials: Credentials
) -> tuple[Position, Page[ApiKey]]:
    """The keys of a tenant that the caller may see, in order of their ids."""
    credentials.gate.require(caller, Action.READ, ApiKeyResource(tenant=tenant or "", owner=caller.principal.id))
    question = f"api-keys/{tenant}"
    after = after_cursor(cursor, question=question) or ""
    seen: list[ApiKey] = []
    async with credentials.database.moment(caller.reach) as connection:
        while True:
            position, found = await store.page(connection, tenant=tenant, after=after, limit=FETCH_ROWS)
            seen += [one for one in found if credentials.gate.allows(caller, Action.READ, resource_of(one))]
            if len(seen) > limit or len(found) < FETCH_ROWS:
                break
            after = found[-1].id
    return position, page_of(seen, limit=limit, question=question, after=[one.id for one in seen])
