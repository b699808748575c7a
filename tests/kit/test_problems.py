"""Every error is one problem, with one status and one code."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

import app
from app.domain.errors import (
    AlreadyExists,
    Forbidden,
    IdempotencyKeyReused,
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
from app.kit.problems import (
    STATUS_OF,
    InternalError,
    MethodNotAllowed,
    NotAcceptable,
    RateLimited,
    RequestTimeout,
    TooLarge,
    UnsupportedMediaType,
    problem_of,
    status_of,
)

# What docs/http.md lists.
CODES = {
    "malformed": 400,
    "host-not-allowed": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "not-acceptable": 406,
    "request-timeout": 408,
    "already-exists": 409,
    "in-use": 409,
    "position-not-reached": 412,
    "precondition-failed": 412,
    "too-large": 413,
    "unsupported-media-type": 415,
    "idempotency-key-reused": 422,
    "refused": 422,
    "search-too-wide": 422,
    "precondition-required": 428,
    "rate-limited": 429,
    "internal-error": 500,
    "database-unavailable": 503,
    "unavailable": 503,
    "audit-unavailable": 503,
}
ORDINARY = {"content-type": "application/problem+json", "cache-control": "no-store", "content-language": "en"}


def all_errors() -> list[type[SetpointError]]:
    """Every class of the tree, wherever in app it is declared."""
    names = "|".join(kind.__name__ for kind in [SetpointError, *below(SetpointError)])
    declares = re.compile(rf"^class \w+\((?:{names})\)", re.MULTILINE)
    root = Path(app.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if declares.search(path.read_text("utf-8")):
            importlib.import_module(".".join(["app", *path.relative_to(root).with_suffix("").parts]))
    return sorted(below(SetpointError), key=lambda kind: (status_of_class(kind), kind.code))


def below(kind: type[SetpointError]) -> set[type[SetpointError]]:
    ours = {child for child in kind.__subclasses__() if child.__module__.startswith("app.")}
    return ours.union(*(below(child) for child in ours))


def status_of_class(kind: type[SetpointError]) -> int:
    return status_of(kind.__new__(kind))


def title_of(kind: type[SetpointError]) -> str:
    return kind.__new__(kind).title


def test_every_error_has_one_status_and_a_code_of_its_own() -> None:
    errors = all_errors()
    for kind in errors:
        print(f"| {status_of_class(kind)} | `{kind.code}` | {title_of(kind)} |")  # the table of docs/http.md

    codes = [kind.code for kind in errors]
    assert len(set(codes)) == len(codes)
    assert {kind.code: status_of_class(kind) for kind in errors} == CODES


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.code)
def test_codes_are_kebab_case_and_titles_are_sentences(kind: type[SetpointError]) -> None:
    assert "code" in vars(kind)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)
    assert re.fullmatch(r"[A-Z][^\n]*\.", title_of(kind))


def test_an_error_takes_the_status_of_its_nearest_ancestor() -> None:
    assert status_of(IdempotencyKeyReused()) == STATUS_OF[Refused]
    assert status_of(PositionNotReached()) == STATUS_OF[PreconditionFailed]


def test_a_problem_says_what_rfc_9457_asks_for() -> None:
    fault = Violation(pointer="#/value", code="type", detail="Not a string.")

    response = problem_of(Refused("The value is refused.", errors=[fault]), path="/api/settings")

    assert response.status == 422
    assert response.headers == ORDINARY
    assert json.loads(response.body) == {
        "type": "urn:setpoint:problem:refused",
        "title": "A schema or rule refuses this.",
        "status": 422,
        "detail": "The value is refused.",
        "instance": "/api/settings",
        "code": "refused",
        "errors": [{"pointer": "#/value", "code": "type", "detail": "Not a string."}],
    }


def test_a_violation_says_which_of_many_and_where() -> None:
    fault = Violation(pointer="#/value", code="type", detail="No.", index=0, scope="TENANT/acme")

    body = json.loads(problem_of(Refused(errors=[fault]), path="/").body)

    assert body["errors"] == [
        {"pointer": "#/value", "code": "type", "detail": "No.", "index": 0, "scope": "TENANT/acme"}
    ]


def test_what_is_absent_and_what_is_hidden_have_the_same_bytes() -> None:
    absent = problem_of(NotFound(), path="/api/settings/1")
    hidden = problem_of(NotFound(), path="/api/settings/1")

    assert (absent.body, absent.headers) == (hidden.body, hidden.headers)
    assert "errors" not in json.loads(absent.body)


def test_in_use_counts() -> None:
    assert json.loads(problem_of(InUse("Used.", count=0), path="/").body)["count"] == 0
    assert "count" not in json.loads(problem_of(Malformed(), path="/").body)


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (Malformed(), {}),
        (Unauthenticated(), {"www-authenticate": 'Bearer realm="setpoint"'}),
        (Forbidden(), {}),
        (NotFound(), {}),
        (MethodNotAllowed("GET, HEAD"), {"allow": "GET, HEAD"}),
        (NotAcceptable(), {}),
        (AlreadyExists(), {}),
        (PreconditionFailed(current='"v1"'), {"etag": '"v1"'}),
        (PreconditionFailed(), {}),
        (PositionNotReached(), {"retry-after": "1"}),
        (TooLarge(), {}),
        (UnsupportedMediaType("No.", accepted="application/json"), {"accept": "application/json"}),
        (PreconditionRequired(), {}),
        (RequestTimeout(), {"connection": "close"}),
        (
            RateLimited(retry_after_seconds=2, fields={"ratelimit": '"writes";r=0;t=2'}),
            {"retry-after": "2", "ratelimit": '"writes";r=0;t=2'},
        ),
        (InternalError(), {}),
        (Unavailable(), {"retry-after": "1"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_headers_that_go_with_an_error(error: SetpointError, headers: dict[str, str]) -> None:
    assert problem_of(error, path="/").headers == ORDINARY | headers
