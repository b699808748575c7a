"""What one record says, and how it is linked to the one before it."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from app.access.audit.ring import Noted
from app.domain.access import Principal
from app.domain.canonical import CanonicalJson, canonical
from app.domain.definition import Sensitivity
from app.domain.position import Position

CHANGED = "changed"  # the outcome of a change; those of accesses are said by `Access`
PLATFORM = ""  # the chain of what belongs to no tenant
GENESIS = b""  # what the first record of a chain is linked to
MAX_TEXT_CHARACTERS = 1_000  # of what a caller of an access chose; a path may be 16 KiB
MASK = CanonicalJson(b'{"masked":true}')  # nothing of the value: a digest of a short one would be guessed


class AuditedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change: what was done to which thing, and how it was before and after, as far as it may be written down."""

    tenant: str | None
    action: str
    resource: str
    version: int
    position: Position
    before: CanonicalJson | None = None
    after: CanonicalJson | None = None


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """Who did it, when, in which request, and by which rules it was allowed."""

    principal: Principal
    at: datetime
    request_id: str
    policy_version: str
    override_reason: str | None = None  # the caller's words for reaching into another territory


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a chain, and the hash of the record there: what the next one is linked to."""

    sequence: int
    hash: bytes


BEGINNING = Link(sequence=0, hash=GENESIS)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it is stored: `body` is the canonical JSON that the hash is over."""

    tenant: str
    sequence: int
    body: str
    hash: bytes


def masked(value: CanonicalJson | None, sensitivity: Sensitivity) -> CanonicalJson | None:
    """The value if an auditor may see it whatever their clearance, else that there was one."""
    if value is None or sensitivity.rank < Sensitivity.CONFIDENTIAL.rank:
        return value
    return MASK


def body_of(change: AuditedChange, signature: Signature) -> str:
    """The record's canonical JSON."""
    members: dict[str, Any] = {
        "action": change.action,
        "actor": _actor(signature.principal),
        "at": signature.at.isoformat(),
        "outcome": CHANGED,
        "policyVersion": signature.policy_version,
        "position": change.position,
        "requestId": signature.request_id,
        "resource": change.resource,
        "version": change.version,
    }
    if signature.override_reason is not None:
        members["reason"] = signature.override_reason
    for name, value in (("before", change.before), ("after", change.after)):
        if value is not None:
            members[name] = msgspec.Raw(value)
    return _escaped(canonical(members))


def body_of_access(noted: Noted) -> str:
    """
    The canonical JSON of the record of an access: `changed` nothing, so there is no version, position, before or after.

    What the caller chose (a path, a reason) is shortened, and holds no character that a reader's terminal would obey.
    """
    access = noted.access
    members: dict[str, Any] = {
        "action": access.action,
        "actor": _actor(noted.principal),
        "at": noted.at.isoformat(),
        "client": noted.client,
        "count": noted.count,
        "outcome": access.outcome,
        "policyVersion": noted.policy_version,
        "reason": None if access.reason is None else _shortened(access.reason),
        "requestId": noted.request_id,
        "resource": _shortened(access.resource),
    }
    return _escaped(canonical({name: value for name, value in members.items() if value is not None}))


def _actor(principal: Principal) -> dict[str, Any]:
    return {"id": principal.id, "kind": principal.kind, "roles": principal.roles, "tenantId": principal.tenant}


def _shortened(text: str) -> str:
    """The text as far as it says something; what PostgreSQL cannot hold stands there as it would be written."""
    text = text if len(text) <= MAX_TEXT_CHARACTERS else text[:MAX_TEXT_CHARACTERS] + "…"
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def _escaped(json: CanonicalJson) -> str:
    """
    The same JSON, with every character that is not printed as itself as an escape.

    JSON itself escapes only the ASCII ones of them, and a terminal obeys others too.
    """
    text = json.decode()
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))


def link(previous: bytes, *, tenant: str, sequence: int, body: str) -> bytes:
    """The hash that links a record to the one before it; the same as audit_append computes in the database."""
    return hashlib.sha256(previous + f"{tenant}\n{sequence}\n{body}".encode()).digest()
