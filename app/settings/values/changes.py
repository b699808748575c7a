"""
Setting and unsetting values: one way for one value and for a thousand.

Theory of operation. All that a change depends on is locked in one order: tenants, definitions, directory entries,
values, each sorted, and the feed's counter row last (inside `append`). Between the locks and the append everything is
decided, in memory: gate, then preconditions, then schema. After it nothing can fail but the creation of a value that
another writer created meanwhile; the whole transaction is then tried once more, and sees it. Value, history and event
are written in one transaction, or none of them is (guarantees G4, G5 and G6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NoReturn
from uuid import UUID

import msgspec

from app.access.audit.append import write_down
from app.access.audit.record import AuditedChange, masked
from app.access.caller import Caller
from app.domain.access import UNKNOWN, Action, ScopeFacts, facts_of, setting_at
from app.domain.canonical import CanonicalJson, canonical
from app.domain.definition import Sensitivity, SettingDefinition, check_value
from app.domain.errors import (
    AlreadyExists,
    NotFound,
    PreconditionFailed,
    Refused,
    SetpointError,
    Violation,
    counted,
)
from app.domain.event import Feed, ValueSet, ValueUnset
from app.domain.position import Position
from app.domain.precondition import check_operation, require_match
from app.domain.scope import Scope
from app.domain.tag import change_tag
from app.domain.value import SettingValue, patched, size_violations
from app.kit.clock import new_id
from app.kit.database import Connection, creating
from app.log.append import Author, append
from app.settings.definitions import store as definitions
from app.settings.directory import store as directory
from app.settings.registry import Registry
from app.settings.values import store
from app.settings.values.store import Version


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller wants done at one place. `if_match` is the condition, in the form that `how` asks for."""

    how: Literal["create", "replace", "patch", "unset", "batch-set", "batch-unset"]
    scope: Scope
    key: str
    value: Any = None
    metadata: dict[str, Any] | None = None  # None keeps what is there, an empty object for a new value
    if_match: str | None = None
    setting_id: UUID | None = None  # the value it is about, when it was named by id

    @property
    def unsets(self) -> bool:
        """Whether it removes a value."""
        return self.how in ("unset", "batch-unset")


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a change did: the value as it is now, or as it last was."""

    change: Change
    value: SettingValue
    position: Position


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """All that changes are judged by, locked."""

    tenants: set[str]
    definitions: dict[str, SettingDefinition]
    facts: dict[str, ScopeFacts]
    current: dict[tuple[Scope, str], SettingValue]


async def apply(tx: Connection, changes: Sequence[Change], *, caller: Caller, registry: Registry) -> list[Done]:
    """
    Carry out all changes in the caller's transaction, or raise for the first that cannot be.

    In a batch every violation carries the index of its operation.
    """
    author = caller.author(registry.clock)
    ground = await _lock(tx, changes)
    _judge_access(changes, ground, caller=caller, registry=registry)
    planned = _judge_content(changes, ground, author=author, max_value_bytes=registry.config.max_value_bytes)
    done = await _write(tx, planned, author=author)
    audited = [_audited(one, ground) for one in done]
    await write_down(tx, audited, signature=registry.signature(caller, at=author.at))
    return done


async def judge_access(tx: Connection, changes: Sequence[Change], *, caller: Caller, registry: Registry) -> None:
    """Refuse what may not be done, as `apply` would, without doing anything."""
    _judge_access(changes, await _lock(tx, changes), caller=caller, registry=registry)


async def apply_alone(change: Change, *, caller: Caller, registry: Registry) -> Done:
    """Carry out one change in a transaction of its own."""

    async def work() -> Done:
        async with registry.change(caller) as tx:
            [done] = await apply(tx, [change], caller=caller, registry=registry)
        return done

    return await creating(work)


async def _lock(tx: Connection, changes: Sequence[Change]) -> Ground:
    scopes = {change.scope for change in changes}
    tenants = sorted({scope.tenant for scope in scopes if scope.tenant is not None})
    places = sorted(((change.scope, change.key) for change in changes), key=lambda place: (place[0].path, place[1]))
    return Ground(
        tenants=await directory.lock_tenants(tx, tenants),
        definitions=await definitions.lock_shared(tx, sorted({change.key for change in changes})),
        facts=await directory.lock_facts(tx, sorted(scopes, key=lambda scope: scope.path)),
        current=await store.lock(tx, places),
    )


def _judge_access(changes: Sequence[Change], ground: Ground, *, caller: Caller, registry: Registry) -> None:
    """
    Refuse what may not be done before anything else is said about it.

    A scope that may not be seen, or a tenant that is not there, is absent. So is a definition above the caller's
    clearance, which therefore reads as undefined.
    """
    gate = registry.gate
    for index, change in enumerate(changes):
        facts = facts_of(change.scope, ground.facts.get(change.scope.path, UNKNOWN))
        if change.scope.tenant is not None and change.scope.tenant not in ground.tenants:
            raise NotFound
        gate.require(caller, Action.WRITE, setting_at(change.scope, facts, Sensitivity.PUBLIC))
        definition = ground.definitions.get(change.key)
        if definition is None:
            _raise_undefined(change, index, many=len(changes) > 1)
        resource = setting_at(change.scope, facts, definition.sensitivity)
        if not gate.allows(caller, Action.READ, resource):
            _raise_undefined(change, index, many=len(changes) > 1)
        gate.require(caller, Action.WRITE, resource)


def _raise_undefined(change: Change, index: int, *, many: bool) -> NoReturn:
    if change.setting_id is not None:
        raise NotFound
    violation = Violation(pointer="#/key", code="undefined-key", detail="No setting of this key is defined.")
    raise Refused(
        f"The key {change.key} is not defined.",
        errors=[_at_index(violation, index) if many or change.how.startswith("batch") else violation],
    )


def _judge_content(
    changes: Sequence[Change], ground: Ground, *, author: Author, max_value_bytes: int
) -> list[tuple[Change, SettingValue]]:
    planned: list[tuple[Change, SettingValue]] = []
    wrong: list[tuple[int, SetpointError]] = []
    for index, change in enumerate(changes):
        try:
            planned.append((change, _plan(change, ground, author=author, max_value_bytes=max_value_bytes)))
        except SetpointError as error:
            if not change.how.startswith("batch"):
                raise
            wrong.append((index, error))
    if wrong:
        _raise_together(wrong)
    return planned


def _plan(change: Change, ground: Ground, *, author: Author, max_value_bytes: int) -> SettingValue:
    """The value as the change leaves it; for an unset, as it last was. Its position is still to come."""
    current = ground.current.get((change.scope, change.key))
    _require_condition(change, current)
    if change.unsets:
        assert current is not None  # noqa: S101 - an unset of nothing has failed its condition
        return msgspec.structs.replace(current, version=current.version + 1, updated_at=author.at, updated_by=author.id)
    value, metadata = _wanted(change, current)
    _require_fitting(ground.definitions[change.key], change, value, metadata, max_value_bytes)
    if current is None:
        return SettingValue(
            id=new_id(),
            scope=change.scope,
            key=change.key,
            value=canonical(value),
            metadata=metadata,
            version=1,
            position=Position(0),
            created_at=author.at,
            created_by=author.id,
            updated_at=author.at,
            updated_by=author.id,
        )
    return msgspec.structs.replace(
        current,
        value=canonical(value),
        metadata=metadata,
        version=current.version + 1,
        updated_at=author.at,
        updated_by=author.id,
    )


def _require_condition(change: Change, current: SettingValue | None) -> None:
    tag = None if current is None else change_tag(current.position)
    if change.how == "create":
        if current is not None:
            raise AlreadyExists("A value is set there already; change it with PUT or PATCH and its entity tag.")
    elif change.how.startswith("batch"):
        check_operation(change.if_match, current=tag, unset=change.unsets)
    elif current is None or current.id != change.setting_id or tag is None:
        raise NotFound
    else:
        require_match(change.if_match, tag)


def _wanted(change: Change, current: SettingValue | None) -> tuple[Any, CanonicalJson]:
    if change.how == "patch" and current is not None:
        after = patched(current, change.value)
        return after.value, canonical(after.metadata)
    if change.metadata is not None:
        return change.value, canonical(change.metadata)
    return change.value, current.metadata if current is not None else canonical({})


def _require_fitting(
    definition: SettingDefinition, change: Change, value: Any, metadata: CanonicalJson, max_bytes: int
) -> None:
    errors = size_violations(canonical(value), max_bytes=max_bytes)
    errors += size_violations(metadata, max_bytes=max_bytes, at="metadata")
    if not metadata.startswith(b"{"):
        errors.append(Violation(pointer="#/metadata", code="type", detail="Metadata is an object."))
    errors += check_value(definition, value, level=change.scope.level)
    if errors:
        raise Refused(f"The value does not fit the definition of {definition.key}.", errors=errors)


def _raise_together(wrong: list[tuple[int, SetpointError]]) -> NoReturn:
    """One error of the kind of the first, with what is wrong with every operation."""
    first = wrong[0][1]
    errors = [_at_index(violation, index) for index, error in wrong for violation in _violations(error)]
    detail = f"{counted(len(wrong), 'operation', 'operations')} cannot be carried out, so none was."
    if isinstance(first, PreconditionFailed):
        raise PreconditionFailed(detail, errors=errors)
    raise type(first)(detail, errors=errors)


def _violations(error: SetpointError) -> Sequence[Violation]:
    return error.errors or (Violation(pointer="#", code=error.code, detail=error.detail),)


def _at_index(violation: Violation, index: int) -> Violation:
    pointer = f"#/operations/{index}{violation.pointer.removeprefix('#')}"
    return msgspec.structs.replace(violation, index=index, pointer=pointer)


async def _write(tx: Connection, planned: Sequence[tuple[Change, SettingValue]], *, author: Author) -> list[Done]:
    facts = [_fact(change, value) for change, value in planned]
    positions = await append(tx, Feed.SETTINGS, facts, author=author)
    done = [
        Done(change=change, value=msgspec.structs.replace(value, position=position), position=position)
        for (change, value), position in zip(planned, positions, strict=True)
    ]
    await store.delete(tx, [one.value.id for one in done if one.change.unsets])
    await store.put(tx, [one.value for one in done if not one.change.unsets])
    await store.add_history(tx, [_version(one) for one in done])
    return done


def _fact(change: Change, value: SettingValue) -> ValueSet | ValueUnset:
    kind = ValueUnset if change.unsets else ValueSet
    return kind(setting_id=value.id, scope=value.scope, key=value.key, version=value.version)


def _audited(done: Done, ground: Ground) -> AuditedChange:
    change = done.change
    sensitivity = ground.definitions[change.key].sensitivity
    before = ground.current.get((change.scope, change.key))
    return AuditedChange(
        tenant=change.scope.tenant,
        action="setting.unset" if change.unsets else "setting.set",
        resource=f"setting/{change.scope.path}/{change.key}",
        version=done.value.version,
        position=done.position,
        before=None if before is None else masked(before.value, sensitivity),
        after=None if change.unsets else masked(done.value.value, sensitivity),
    )


def _version(done: Done) -> Version:
    value = done.value
    return Version(
        setting_id=value.id,
        operation="unset" if done.change.unsets else "set",
        scope=value.scope,
        key=value.key,
        value=None if done.change.unsets else value.value,
        metadata=None if done.change.unsets else value.metadata,
        version=value.version,
        position=done.position,
        at=value.updated_at,
        by=value.updated_by,
    )
