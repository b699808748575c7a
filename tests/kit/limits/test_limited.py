"""What counts as a read, what as a write, and who is counted at all."""

from __future__ import annotations

from typing import Any

import pytest

from app.config import Config
from app.domain.access import Principal
from app.kit import asgi
from app.kit.edge import edge
from app.kit.limits.limited import limited
from app.kit.limits.limits import Limits
from app.kit.problems import RateLimited
from tests.world import SteppableClock

pytestmark = pytest.mark.anyio

ANNA = Principal(id="anna", tenant="acme")
CONFIG = Config(read_burst=2, reads_per_second=0.1, write_burst=2, writes_per_second=0.1)


@pytest.fixture
def limits() -> Limits:
    return Limits(CONFIG, ticks=SteppableClock().ticks)


class Asked:
    """An application that counts how often it is asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.count, self._error = 0, error

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        self.count += 1
        if self._error is not None:
            raise self._error
        await asgi.send_answer(send, 200, [], b"")


async def receive() -> asgi.Message:
    return {"type": "http.request"}


async def ask(app: asgi.App, method: str, path: str = "/x", **more: Any) -> dict[str, str]:
    """The headers of the answer, through the edge."""
    sent: list[asgi.Message] = []

    async def send(message: asgi.Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "user": ANNA, **more}
    await edge(app)(scope, receive, send)
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]} | {"status": str(sent[0]["status"])}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_what_changes_nothing_is_a_read(limits: Limits, method: str) -> None:
    app = limited(Asked(), limits=limits)

    assert [(await ask(app, method))["status"] for _ in range(3)] == ["200", "200", "429"]
    assert limits.refused == {"reads": 1}
    assert (await ask(app, "POST"))["ratelimit"] == '"writes";r=1;t=10'


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "ANYTHING", "get"])
async def test_all_else_is_a_write(limits: Limits, method: str) -> None:
    asked = Asked()
    app = limited(asked, limits=limits)

    answers = [await ask(app, method) for _ in range(3)]

    assert [answer["status"] for answer in answers] == ["200", "200", "429"]
    assert [answer["ratelimit"] for answer in answers] == [
        '"writes";r=1;t=10',
        '"writes";r=0;t=20',
        '"writes";r=0;t=10',
    ]
    assert {answer["ratelimit-policy"] for answer in answers} == {'"writes";q=2;w=20'}
    assert answers[2]["retry-after"] == "10"
    assert asked.count == 2
    assert limits.refused == {"writes": 1}


async def test_a_post_that_changes_nothing_is_a_read(limits: Limits) -> None:
    app = limited(Asked(), limits=limits, reading=frozenset({"/evaluate"}))

    assert [(await ask(app, "POST", "/evaluate"))["status"] for _ in range(3)] == ["200", "200", "429"]
    assert "ratelimit" in await ask(app, "POST", "/evaluate/x")
    assert limits.refused == {"reads": 1}


async def test_a_failure_tells_what_is_left_as_well(limits: Limits, capsys: pytest.CaptureFixture[str]) -> None:
    answer = await ask(limited(Asked(RuntimeError()), limits=limits), "PUT")

    assert (answer["status"], answer["ratelimit"]) == ("500", '"writes";r=1;t=10')
    capsys.readouterr()  # the log


async def test_who_is_nobody_is_not_counted(limits: Limits) -> None:
    app = limited(Asked(), limits=limits)

    for _ in range(5):
        answer = await ask(app, "POST", user=None)
        assert answer["status"] == "200"
        assert "ratelimit" not in answer


async def test_what_is_no_request_passes(limits: Limits) -> None:
    asked = Asked()

    async def send(message: asgi.Message) -> None:
        del message

    await limited(asked, limits=limits)({"type": "lifespan"}, receive, send)

    assert asked.count == 1


def test_beginning_anew_forgets_everybody(limits: Limits) -> None:
    limits.read(ANNA), limits.read(ANNA)
    with pytest.raises(RateLimited):
        limits.read(ANNA)

    limits.begin(None)

    limits.read(ANNA)
