"""Setting, changing and unsetting values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from app.access.caller import Caller
from app.domain.errors import NotFound, Refused, Violation
from app.domain.position import Position
from app.domain.scope import Scope
from app.kit.database import Connection, creating
from app.settings.registry import Registry
from app.settings.values import idempotency, store
from app.settings.values.changes import Change, Done, apply, apply_alone, judge_access

BATCH_ROUTE = "POST /api/settings/batch"


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Changes that are made together or not at all."""

    changes: tuple[Change, ...]
    dry_run: bool = False
    idempotency_key: str | None = None
    fingerprint: bytes = b""  # what the request was, for telling a retry from a reuse


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a batch, and where the registry stands after it."""

    answer: bytes
    position: Position
    replayed: bool = False


class _DryRun(Exception):
    """Carries the result of a dry run out of the transaction that it rolls back."""

    def __init__(self, done: list[Done]) -> None:
        super().__init__()
        self.done = done


async def create_value(
    scope: Scope, key: str, value: Any, *, metadata: dict[str, Any], caller: Caller, registry: Registry
) -> Done:
    """Set a value where none is. Raises AlreadyExists, Refused."""
    change = Change(how="create", scope=scope, key=key, value=value, metadata=metadata)
    return await apply_alone(change, caller=caller, registry=registry)


async def replace_value(
    setting_id: UUID,
    value: Any,
    *,
    metadata: dict[str, Any] | None,
    if_match: str | None,
    caller: Caller,
    registry: Registry,
) -> Done:
    """Put another value in the place of one."""
    change = await _change_of(
        setting_id, registry, caller=caller, how="replace", value=value, metadata=metadata, if_match=if_match
    )
    return await apply_alone(change, caller=caller, registry=registry)


async def patch_value(
    setting_id: UUID, patch: dict[str, Any], *, if_match: str | None, caller: Caller, registry: Registry
) -> Done:
    """Change a value by a JSON merge patch on `{value, metadata}`."""
    change = await _change_of(setting_id, registry, caller=caller, how="patch", value=patch, if_match=if_match)
    return await apply_alone(change, caller=caller, registry=registry)


async def unset_value(setting_id: UUID, *, if_match: str | None, caller: Caller, registry: Registry) -> Done:
    """Remove a value, so that a more general one holds."""
    change = await _change_of(setting_id, registry, caller=caller, how="unset", if_match=if_match)
    return await apply_alone(change, caller=caller, registry=registry)


async def apply_batch(
    batch: Batch, *, render: Callable[[Sequence[Done]], bytes], caller: Caller, registry: Registry
) -> Outcome:
    """
    Make all changes of a batch or none.

    A batch that came before with the same idempotency key is answered as it was then, after its rights were looked at
    anew.
    """
    _require_distinct(batch.changes)

    async def work() -> Outcome:
        async with registry.change(caller) as tx:
            return await _apply_batch(tx, batch, render=render, caller=caller, registry=registry)

    try:
        return await creating(work)
    except _DryRun as run:
        return Outcome(answer=render(run.done), position=Position(run.done[0].position - 1))


def fingerprint_of(body: object) -> bytes:
    """What tells one request from another, whatever its spelling."""
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).digest()


async def _apply_batch(
    tx: Connection, batch: Batch, *, render: Callable[[Sequence[Done]], bytes], caller: Caller, registry: Registry
) -> Outcome:
    claimed = None
    if batch.idempotency_key is not None and not batch.dry_run:
        claimed = idempotency.claim_of(caller.principal, route=BATCH_ROUTE, key=batch.idempotency_key)
        answer = await idempotency.claim(
            tx,
            claimed,
            fingerprint=batch.fingerprint,
            at=registry.clock(),
            ttl_seconds=registry.config.idempotency_ttl_seconds,
        )
        if answer is not None:
            await judge_access(tx, batch.changes, caller=caller, registry=registry)
            kept = msgspec.json.decode(answer, type=_Kept)
            return Outcome(answer=bytes(kept.answer), position=Position(kept.position), replayed=True)
    done = await apply(tx, batch.changes, caller=caller, registry=registry)
    if batch.dry_run:
        raise _DryRun(done)
    outcome = Outcome(answer=render(done), position=done[-1].position)
    if claimed is not None:
        kept = _Kept(position=outcome.position, answer=msgspec.Raw(outcome.answer))
        await idempotency.keep(tx, claimed, msgspec.json.encode(kept))
    return outcome


class _Kept(msgspec.Struct, frozen=True):
    position: int
    answer: msgspec.Raw


def _require_distinct(changes: Sequence[Change]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for index, change in enumerate(changes):
        first = seen.setdefault((change.scope.path, change.key), index)
        if first != index:
            detail = f"Operation {first} is about the same key and scope; say it once."
            pointer = f"#/operations/{index}"
            raise Refused(detail, errors=[Violation(pointer=pointer, code="duplicate", detail=detail, index=index)])


async def _change_of(setting_id: UUID, registry: Registry, *, caller: Caller, **members: Any) -> Change:
    """The change of a value that was named by its id. Raises NotFound when nothing has it."""
    async with registry.database.connection() as connection:
        found = await store.by_id(connection, setting_id, reach=caller.reach)
    if found is None:
        raise NotFound
    return Change(scope=found.value.scope, key=found.value.key, setting_id=setting_id, **members)
