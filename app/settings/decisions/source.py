"""The attribute source of the decision point: the registry."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from app.access.authzen.source import Reference
from app.domain.access import Reach
from app.domain.scope import Level, Scope
from app.kit.database import Database
from app.settings.decisions import store
from app.settings.decisions.ground import CURRENT, StoredGround
from app.settings.decisions.names import place_at, scope_at


class StoredAttributes:
    """Attributes as they are in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ground(
        self, *, scopes: Collection[Scope], references: Collection[Reference], reach: Reach
    ) -> StoredGround:
        """What is stored of these scopes and these things of ours. Cost: one moment, three statements at the most."""
        named = [place for reference in references for place in _places(reference)]
        tenants = {scope.tenant for scope, _ in named if scope is not None and scope.tenant is not None}
        tenants |= {reference.id for reference in references if reference.type == "tenant"}
        async with self._database.moment(reach) as connection:
            return StoredGround(
                entries=await store.entries(connection, {*scopes, *(scope for scope, _ in named if scope is not None)}),
                sensitivities=await store.sensitivities(connection, {key for _, key in named if key is not None}),
                tenants=frozenset(await store.tenants(connection, tenants)),
            )

    async def scope_ids(self, level: Level, *, tenant: str, after: str, limit: int, reach: Reach) -> list[str]:
        """Ids of a tenant's directory entries of a level that come after one, in order."""
        path = Scope(level, tenant, after).path if after else ""
        async with self._database.moment(reach) as connection:
            found = await store.scopes(connection, tenant=tenant, after=path, level=level, limit=limit)
        return [scope.scope_id for scope in found]

    async def ids(self, type_: str, *, tenant: str, after: str, limit: int, reach: Reach) -> list[str]:
        """Ids of things of ours in a tenant that come after one, in order; none of a type that cannot be listed."""
        async with self._database.moment(reach) as connection:
            match type_:
                case "scope":
                    found = await store.scopes(connection, tenant=tenant, after=after, level=None, limit=limit)
                    return [scope.path for scope in found]
                case "setting":
                    path, _, key = after.rpartition("/")
                    places = await store.places(connection, tenant=tenant, after_path=path, after_key=key, limit=limit)
                    return [f"{path}/{key}" for path, key in places]
                case "definition":
                    return await store.keys(connection, after=after, limit=limit)
                case "tenant":
                    return await store.tenant_ids(connection, after=after, limit=limit)
                case "audit" | "operations" | "decision-point":
                    return [tenant] if after == "" else []
                case "policy":
                    return [CURRENT] if after == "" else []
                case _:
                    return []


def _places(reference: Reference) -> Iterator[tuple[Scope | None, str | None]]:
    """The scope and the key that a reference names."""
    match reference.type:
        case "setting":
            place = place_at(reference.id)
            if place is not None:
                yield place.scope, place.key
        case "scope":
            yield scope_at(reference.id), None
        case "definition":
            yield None, reference.id
