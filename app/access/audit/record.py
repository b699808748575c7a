"""What one record says, and how it is linked to the one before it."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from app.domain.access import Principal
from app.domain.canonical import CanonicalJson, canonical
from app.domain.definition import Sensitivity
from app.domain.position import Position

PLATFORM = ""  # the chain of what belongs to no tenant
GENESIS = b""  # what the first record of a chain is linked to
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
    principal = signature.principal
    members: dict[str, Any] = {
        "action": change.action,
        "actor": {
            "id": principal.id,
            "kind": principal.kind,
            "roles": principal.roles,
            "tenantId": principal.tenant,
        },
        "at": signature.at.isoformat(),
        "outcome": "changed",
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
    return canonical(members).decode()


def link(previous: bytes, *, tenant: str, sequence: int, body: str) -> bytes:
    """The hash that links a record to the one before it; the same as audit_append computes in the database."""
    return hashlib.sha256(previous + f"{tenant}\n{sequence}\n{body}".encode()).digest()
