"""An answer that is not the one that was asked for, as sentences and an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Self

from app.cli.credential import HOW_TO_SIGN_IN
from app.cli.errors import CONFLICT, REFUSED, UNREACHABLE, CommandFailed
from app.cli.text import printable

_CONFLICTS = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.PRECONDITION_REQUIRED)


class Refusal(CommandFailed):
    """
    A node answered with a problem (RFC 9457).

    `lines` says what is wrong, one line for each member at fault; `problem` is the same as it was sent.
    """

    def __init__(self, lines: list[str], *, code: int, status: int, problem: dict[str, Any]) -> None:
        super().__init__("\n".join(lines), code=code)
        self.lines = lines
        self.status = status
        self.problem = problem

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: Any, *, url: str) -> Self:
        """What an answer with a status of 300 and above says."""
        problem: dict[str, Any] = (
            body if isinstance(body, dict) and "title" in body else {"title": f"{url} answered {status}."}
        )
        lines = [_sentence(problem), *(_line(error) for error in problem.get("errors", ()))]
        if status == HTTPStatus.UNAUTHORIZED:
            lines.append(HOW_TO_SIGN_IN)
        if status == HTTPStatus.PRECONDITION_FAILED and "etag" in headers:
            lines.append(f"  It has the tag {printable(headers['etag'])} now.")
        if status < HTTPStatus.BAD_REQUEST:
            lines.append(f"  It points to {printable(headers.get('location', 'nowhere'))}; set SETPOINT_URL to that.")
        return cls(lines, code=exit_code_of(status), status=status, problem=problem)


def exit_code_of(status: int) -> int:
    """5 when someone else was first, 4 for every other no, 3 when the node cannot answer."""
    if status in _CONFLICTS:
        return CONFLICT
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return REFUSED
    return UNREACHABLE


def _sentence(problem: dict[str, Any]) -> str:
    title, detail = str(problem["title"]), str(problem.get("detail", ""))
    return printable(title if detail in ("", title) else f"{title} {detail}")


def _line(error: dict[str, Any]) -> str:
    where = " ".join(str(error[name]) for name in ("scope", "pointer") if error.get(name))
    return printable(f"  {where}: {error.get('detail', error.get('code', ''))}")
