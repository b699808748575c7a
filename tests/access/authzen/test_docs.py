"""docs/authzen.md, run line by line: every curl line of it is sent, and answered as it says there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from app.domain.access import Principal
from tests.access.authzen.conftest import PEP, PUBLIC_URL
from tests.world import CREATE, PRINCIPALS, Api

pytestmark = pytest.mark.anyio

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "authzen.md").read_text("utf-8")
# As the token lines at its beginning make them.
CREDENTIALS: dict[str, Principal] = {
    "$ALICE": Principal(id="alice", tenant="acme", roles=("user",), territories=("DE",)),
    "$ADMIN": PRINCIPALS["admin"],
    "$PEP": PEP,
}
HERE = "http://127.0.0.1:8080"
# What differs from run to run, in its form.
OF_THE_MOMENT = re.compile(r'(?<="decisionId":")[0-9a-f-]{36}(?=")|(?<="policyVersion":")[0-9a-f]{16}(?=")')


class Line(NamedTuple):
    """One curl line and what stands below it."""

    words: list[str]
    answer: str


def lines() -> list[Line]:
    blocks = re.findall(r"^```\n(\$ curl .*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return [line_of(one) for block in blocks for one in re.split(r"^\$ ", block, flags=re.MULTILINE) if one]


def line_of(text: str) -> Line:
    """The command, which ends where its quotes are closed and no backslash leads on; and the rest."""
    rows = text.splitlines()
    for end in range(1, len(rows) + 1):
        command = "\n".join(rows[:end])
        if command.endswith("\\"):
            continue
        try:
            return Line(shlex.split(command), "".join(row.strip() for row in rows[end:]))
        except ValueError:
            continue
    raise AssertionError(text)


def option(words: list[str], name: str) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == name]


async def sent(pdp: Api, line: Line) -> tuple[int, str]:
    [url] = [word for word in line.words if word.startswith("$API")]
    headers = option(line.words, "-H")
    [who] = [one for one in headers if one in CREDENTIALS] or [None]
    client = pdp.anonymous if who is None else pdp.of(CREDENTIALS[who])
    body = option(line.words, "-d")
    more = {"Content-Type": "application/json"} if "$JSON" in headers else {}
    more |= dict(one.split(": ", 1) for one in headers if not one.startswith("$"))
    method = (option(line.words, "-X") or ["POST" if body else "GET"])[0]
    response = await client.request(
        method, url.removeprefix("$API"), headers=more, content=body[0].encode() if body else None
    )
    return response.status_code, response.text


def plain(text: str) -> Any:
    return msgspec.json.decode(OF_THE_MOMENT.sub("", text).replace(PUBLIC_URL, HERE))


async def test_every_line_is_answered_as_it_says(pdp: Api) -> None:
    account = {"territory": "DE", "owner": "alice"}
    await pdp.admin.put("/api/scopes/ACCOUNT/hotel-adler", json=account, headers=CREATE)
    for path in ("ACCOUNT/record-1", "ACCOUNT/record-2"):  # the document makes them itself
        await pdp.admin.delete(f"/api/scopes/{path}", headers={"If-Match": "*"})

    found = lines()

    assert len(found) >= 14
    for line in found:
        status, text = await sent(pdp, line)
        if "%{http_code}\\n" in line.words:
            assert str(status) == line.answer, line
        else:
            assert status == 200, (line, text)
            assert plain(text) == plain(line.answer), line
