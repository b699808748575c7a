"""
Every error as one RFC 9457 problem: the only place where errors become statuses.

A problem never depends on what a caller may not see: `instance` is the path asked for and nothing else varies, so
what is absent and what is hidden answer with the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from app.domain.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    Malformed,
    NotFound,
    PositionNotReached,
    PreconditionFailed,
    PreconditionRequired,
    Refused,
    SetpointError,
    Unauthenticated,
    Unavailable,
    Violation,
)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:setpoint:problem:"


class NotAcceptable(SetpointError):
    """This answers in application/json only."""

    code = "not-acceptable"


class HostNotAllowed(Malformed):
    """The Host of this request is none of ours."""

    code = "host-not-allowed"


class MethodNotAllowed(SetpointError):
    """This method is not allowed here."""

    code = "method-not-allowed"

    def __init__(self, allow: str) -> None:
        super().__init__(f"Allowed are {allow}.")
        self.allow = allow


class TooLarge(SetpointError):
    """The request is too large."""

    code = "too-large"


class RequestTimeout(SetpointError):
    """The body did not arrive in time."""

    code = "request-timeout"


class RateLimited(SetpointError):
    """You ask too much; wait as long as Retry-After says."""

    code = "rate-limited"

    def __init__(self, *, retry_after_seconds: int, fields: Mapping[str, str]) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds
        self.fields = fields


class UnsupportedMediaType(SetpointError):
    """The body is of a type that is not understood here."""

    code = "unsupported-media-type"

    def __init__(self, detail: str, *, accepted: str) -> None:
        super().__init__(detail)
        self.accepted = accepted


class InternalError(SetpointError):
    """Something went wrong on our side; it is logged under the request id."""

    code = "internal-error"


# The most specific class of an error's ancestry that stands here decides.
STATUS_OF: dict[type[SetpointError], int] = {
    Malformed: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    NotAcceptable: 406,
    RequestTimeout: 408,
    AlreadyExists: 409,
    InUse: 409,
    PreconditionFailed: 412,
    TooLarge: 413,
    UnsupportedMediaType: 415,
    Refused: 422,
    PreconditionRequired: 428,
    RateLimited: 429,
    InternalError: 500,
    Unavailable: 503,
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong (RFC 9457). `code` is stable and may be tested for; `errors` names the members at fault."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: tuple[Violation, ...] = ()
    count: int | None = None


class ProblemResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A problem with the status and headers it is sent with."""

    problem: Problem
    headers: dict[str, str]

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def body(self) -> bytes:
        """The bytes to send."""
        return msgspec.json.encode(self.problem)


def problem_of(error: SetpointError, *, path: str) -> ProblemResponse:
    """The problem that an error is, for a request on this path."""
    status = status_of(error)
    problem = Problem(
        type=TYPE_PREFIX + error.code,
        title=error.title,
        status=status,
        detail=error.detail,
        instance=path,
        code=error.code,
        errors=error.errors,
        count=error.count if isinstance(error, InUse) else None,
    )
    return ProblemResponse(problem=problem, headers=_headers(error))


def status_of(error: SetpointError) -> int:
    """The HTTP status of an error."""
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def _headers(error: SetpointError) -> dict[str, str]:
    # An answer that says "not here" must not outlive the moment in some cache.
    headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store", "content-language": "en"}
    headers.update(_special_headers(error))
    return headers


def _special_headers(error: SetpointError) -> Mapping[str, Any]:
    match error:
        case Unauthenticated():
            return {"www-authenticate": 'Bearer realm="setpoint"'}
        case PositionNotReached():
            return {"retry-after": "1"}
        case PreconditionFailed(current=str(tag)):
            return {"etag": tag}
        case MethodNotAllowed(allow=allow):
            return {"allow": allow}
        case RequestTimeout():
            return {"connection": "close"}  # what is still to come of the body must not be taken for a request
        case RateLimited(retry_after_seconds=seconds, fields=fields):
            return {"retry-after": str(seconds), **fields}
        case UnsupportedMediaType(accepted=accepted):
            return {"accept": accepted}
        case Unavailable():
            return {"retry-after": str(error.retry_after_seconds)}
        case _:
            return {}
