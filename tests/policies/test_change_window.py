"""
A44: a rule about time is decided once for each request, by the server's clock, when the request comes in.

The minutes at which the window opens and closes stand in tests/policies/cases/examples/change-window.yaml.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import msgspec
import pytest

from app.config import Config
from app.kit import asgi
from app.main import create_app
from tests.fixtures import started
from tests.policies.tables import ROOT
from tests.world import Api, SteppableClock, make, match, problem

pytestmark = pytest.mark.anyio

INSIDE = datetime(2026, 3, 4, 17, 59, 59, 999_999, tzinfo=UTC)
OUTSIDE = datetime(2026, 3, 4, 18, 0, tzinfo=UTC)
REASON = {"Setpoint-Override-Reason": "the shop is down"}


@pytest.fixture(scope="module")
def windowed_application(config: Config, app_url: str, clock: SteppableClock) -> asgi.App:
    """The application with the change window, not started."""
    window = ROOT / "policies" / "examples" / "change-window"
    policies = f"shipped,{window}"
    return create_app(msgspec.structs.replace(config, database_url=app_url, policies_dir=policies), clock=clock)


@pytest.fixture
async def windowed(
    db: object, windowed_application: asgi.App, config: Config, clock: SteppableClock
) -> AsyncIterator[Api]:
    """The same, running, with the world in its database."""
    del db
    async with started(windowed_application):
        yield Api(windowed_application, config=config, clock=clock)


async def put(api: Api, made: dict[str, object], value: str, **headers: str) -> httpx.Response:
    path = f"/api/settings/{made['id']}"
    current = await api.admin.get(path)
    return await api.admin.put(path, json={"value": value}, headers={**match(current), **headers})


async def test_a44_the_window_closes_and_opens_with_the_servers_clock(windowed: Api) -> None:
    made = await make(windowed.admin, "ui.theme", "dark")

    windowed.clock.now = INSIDE
    assert (await put(windowed, made, "light")).status_code == 200
    windowed.clock.now = OUTSIDE
    problem(await put(windowed, made, "dark"), 403)
    windowed.clock.now = INSIDE  # set back: by the clock as it is, not by the latest it has been
    assert (await put(windowed, made, "dark")).status_code == 200


async def test_a44_no_header_of_the_caller_moves_the_clock(windowed: Api) -> None:
    made = await make(windowed.admin, "ui.theme", "dark")
    windowed.clock.now = OUTSIDE

    answer = await put(windowed, made, "light", Date="Wed, 04 Mar 2026 12:00:00 GMT")

    problem(answer, 403)


@pytest.mark.parametrize(
    ("began", "ended", "status"), [(INSIDE, OUTSIDE, 200), (OUTSIDE, INSIDE, 403)], ids=["inside", "outside"]
)
async def test_a44_a_request_is_decided_by_when_it_began_however_long_its_body_takes(
    windowed: Api, began: datetime, ended: datetime, status: int
) -> None:
    made = await make(windowed.admin, "ui.theme", "dark")

    async def body() -> AsyncIterator[bytes]:
        yield b'{"value":'
        windowed.clock.now = ended
        yield b'"light"}'

    windowed.clock.now = began
    headers = {**match(made), "Content-Type": "application/json"}
    answer = await windowed.admin.put(f"/api/settings/{made['id']}", content=body(), headers=headers)

    assert answer.status_code == status, answer.text
    assert windowed.clock.now == ended


async def test_a_reason_opens_the_window_and_stands_in_the_record(windowed: Api) -> None:
    made = await make(windowed.admin, "ui.theme", "dark")
    windowed.clock.now = OUTSIDE

    answer = await put(windowed, made, "light", **REASON)

    assert answer.status_code == 200
    [record] = (await windowed.auditor.get("/api/security/audit", params={"limit": 1})).json()["items"]
    assert (record["action"], record["reason"]) == ("setting.set", "the shop is down")


async def test_what_does_not_hold_for_all_is_changed_at_any_time(windowed: Api) -> None:
    windowed.clock.now = OUTSIDE

    assert (await make(windowed.admin, "ui.theme", "dark", "TERRITORY", "DE"))["value"] == "dark"
    problem(await windowed.admin.post("/api/settings", json={"key": "ui.theme", "value": 1, "scope": "TENANT"}), 403)
