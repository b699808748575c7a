"""
Everything that can be wrong with what a caller asks.

    SetpointError
    ├── Malformed               the request cannot be understood
    ├── Unauthenticated         nobody known is asking
    ├── NotFound                absent, or not to be seen; the two are never told apart
    ├── Forbidden               may be seen, may not be done
    ├── AlreadyExists           a thing of that name is there
    ├── InUse                   others still depend on it
    ├── Refused                 understood, but a schema or rule says no
    │   └── IdempotencyKeyReused
    ├── PreconditionFailed      the thing changed since the caller looked
    │   └── PositionNotReached
    ├── PreconditionRequired    a change must say what it was based on
    └── Unavailable             a part we need does not answer

The class docstring is the sentence shown to callers, `code` the stable name they may test for, and the fields are
the facts to act on. None of them knows HTTP: `app/kit/problems.py` maps each class to a status.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec


class Violation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One member that is wrong.

    `pointer` is a JSON Pointer fragment into the body (`#/value/port`), or `/query/limit`, `/header/If-Match` for what
    is not in the body. `scope` and `index` say where, when many things were judged at once.
    """

    pointer: str
    code: str
    detail: str
    index: int | None = None
    scope: str | None = None


class SetpointError(Exception):
    """The request could not be carried out."""

    code: ClassVar[str] = "error"

    def __init__(self, detail: str | None = None, *, errors: Sequence[Violation] = ()) -> None:
        self.detail = detail if detail is not None else self.title
        self.errors = tuple(errors)
        super().__init__(self.detail)

    @property
    def title(self) -> str:
        """The sentence that is the same for every error of this class."""
        return (type(self).__doc__ or "").strip()


class Malformed(SetpointError):
    """The request is malformed."""

    code = "malformed"


class Unauthenticated(SetpointError):
    """A valid credential is required."""

    code = "unauthenticated"


class NotFound(SetpointError):
    """There is no such thing here, or you may not see it."""

    code = "not-found"

    def __init__(self) -> None:
        # No detail on purpose: whatever it said could tell the hidden from the absent.
        super().__init__()


class Forbidden(SetpointError):
    """You may see this, but not do that."""

    code = "forbidden"


class AlreadyExists(SetpointError):
    """It exists already."""

    code = "already-exists"


class InUse(SetpointError):
    """It is still in use."""

    code = "in-use"

    def __init__(self, detail: str, *, count: int) -> None:
        super().__init__(detail)
        self.count = count


class Refused(SetpointError):
    """A schema or rule refuses this."""

    code = "refused"


class IdempotencyKeyReused(Refused):
    """This Idempotency-Key was used with another request."""

    code = "idempotency-key-reused"


class PreconditionFailed(SetpointError):
    """It has changed since you looked."""

    code = "precondition-failed"

    def __init__(
        self, detail: str | None = None, *, current: str | None = None, errors: Sequence[Violation] = ()
    ) -> None:
        super().__init__(detail, errors=errors)
        self.current = current


class PositionNotReached(PreconditionFailed):
    """The registry has not reached the position you named."""

    code = "position-not-reached"


class PreconditionRequired(SetpointError):
    """A change must say what it was based on: send If-Match with the entity tag you read."""

    code = "precondition-required"


class Unavailable(SetpointError):
    """A part this needs does not answer; try again."""

    code = "unavailable"
    retry_after_seconds: ClassVar[int] = 1


def counted(count: int, one: str, many: str) -> str:
    """A count with its noun, and the verb that goes with it: `1 value is`, `2 values are`."""
    return f"{count} {one if count == 1 else many}"
