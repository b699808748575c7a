"""What the fast lane does beside giving the same answers: it counts once, lets nobody in, and can be turned off."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from app.access.audit.access_log import AccessLog
from app.fast_lane.lane import FastLane
from app.fast_lane.prepared import Prepared
from tests.fast_lane.lanes import Asked, answer_of
from tests.fixtures import running
from tests.guarantees.workers import until
from tests.world import PRINCIPALS, Api, make, problem

pytestmark = pytest.mark.anyio

RESOLVE, EFFECTIVE = "/api/settings/resolve/ui.theme", "/api/settings/effective"
DE = {"territory": "DE"}


def lane_of(api: Api) -> FastLane:
    return cast(FastLane, api.app)


def answered(api: Api) -> int:
    return api.registry.hot.counters.lane


async def warm(api: Api, path: str = RESOLVE, who: str = "alice") -> Any:
    """Ask until the lane answers, and give the answer."""
    for _ in range(3):
        before = answered(api)
        response = await getattr(api, who).get(path, params=DE)
        assert response.status_code == 200, response.text
        if answered(api) > before:
            return response
    raise AssertionError(f"the lane has not answered: {lane_of(api).handed_on}")


@pytest.mark.parametrize("path", [RESOLVE, EFFECTIVE])
async def test_the_second_read_is_answered_by_the_lane_and_the_first_after_a_change_is_not(api: Api, path: str) -> None:
    await warm(api, path)
    before = answered(api)
    await make(api.admin, "ui.theme", "dark")

    first = await api.alice.get(path, params=DE)
    assert answered(api) == before
    assert lane_of(api).handed_on.get("not-held") is None
    second = await api.alice.get(path, params=DE)

    assert answered(api) == before + 1
    assert "dark" in first.text
    assert (first.content, first.headers["ETag"]) == (second.content, second.headers["ETag"])


async def test_a_change_elsewhere_moves_the_position_and_leaves_the_answer_in_the_lane(api: Api) -> None:
    first = await warm(api)
    await make(api.globex, "ui.theme", "dark")

    before = answered(api)
    second = await api.alice.get(RESOLVE, params=DE, headers={"If-None-Match": first.headers["ETag"]})

    assert answered(api) == before + 1
    assert second.status_code == 304
    assert int(second.headers["Setpoint-Position"]) == int(first.headers["Setpoint-Position"]) + 1


async def test_a_read_is_counted_once_whichever_lane_answers(api: Api) -> None:
    config = msgspec.structs.replace(api.config, reads_per_second=1.0, read_burst=20)
    async with running(config, clock=api.clock) as one:
        statuses = [(await one.alice.get(RESOLVE, params=DE)).status_code for _ in range(23)]
        refused = await one.alice.get(RESOLVE, params=DE)
        limits = lane_of(one)._limits

        assert statuses == [200] * 20 + [429] * 3
        assert problem(refused, 429)["code"] == "rate-limited"
        assert limits.refused["reads"] == 4
        assert answered(one) > 15
        assert lane_of(one).handed_on["limit"] == 4


async def test_the_lane_tells_how_much_may_still_be_read(api: Api) -> None:
    config = msgspec.structs.replace(api.config, reads_per_second=1.0, read_burst=20)
    async with running(config, clock=api.clock) as one:
        fields = [(await one.alice.get(RESOLVE, params=DE)).headers.get("RateLimit") for _ in range(20)]

        assert fields[-2:] == ['"reads";r=1;t=19', '"reads";r=0;t=20']
        assert answered(one) > 15


async def test_a_revoked_credential_is_counted_once(api: Api) -> None:
    await warm(api)
    authenticator = lane_of(api)._authenticator
    revoked = authenticator.revoked
    api.clock.step(5)  # a revocation holds for what was issued before it
    body = {"tenantId": "acme", "subject": "alice"}
    assert (await api.root.post("/api/security/revocations", json=body)).status_code == 201

    refused = await api.alice.get(RESOLVE, params=DE)

    problem(refused, 401)
    assert authenticator.revoked == revoked + 1


async def test_a_refusal_is_noted_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Any] = []
    note = AccessLog.note

    def noting(self: AccessLog, accesses: Any, **more: Any) -> Any:
        noted.extend(accesses)
        return note(self, accesses, **more)

    await warm(api)
    assert (await api.carl.get("/api/auth/verify")).status_code == 200  # known from now on
    monkeypatch.setattr(AccessLog, "note", noting)

    problem(await api.carl.get(RESOLVE, params=DE), 404)

    assert [one.outcome for one in noted] == ["denied"]
    assert lane_of(api).handed_on["refused"] == 1


async def test_a_secret_is_shown_by_the_application_which_notes_it(api: Api) -> None:
    for _ in range(3):
        before = answered(api)
        assert (await api.admin.get("/api/settings/resolve/limit.secret", params=DE)).status_code == 200
        assert (await api.admin.get(EFFECTIVE, params=DE)).status_code == 200
        assert answered(api) == before


async def test_what_goes_wrong_in_the_lane_is_counted_and_the_application_answers(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = await warm(api)

    def fail(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(Prepared, "holds", fail)
    response = await api.alice.get(RESOLVE, params=DE)

    assert (response.status_code, response.content) == (200, good.content)
    assert lane_of(api).handed_on["error"] == 1


async def test_it_can_be_turned_off(api: Api) -> None:
    expected = await warm(api)
    async with running(msgspec.structs.replace(api.config, fast_lane="off"), clock=api.clock) as one:
        responses = [await one.alice.get(RESOLVE, params=DE) for _ in range(3)]

        assert {response.content for response in responses} == {expected.content}
        assert answered(one) == 0


async def test_a_worker_that_keeps_nothing_answers_by_the_lane_from_redis(api: Api) -> None:
    expected = await warm(api)
    async with running(msgspec.structs.replace(api.config, l1_bytes=0), clock=api.clock) as one:
        counters = one.registry.hot.counters
        assert (await one.alice.get("/api/auth/verify")).status_code == 200
        response = await until(lambda: one.alice.get(RESOLVE, params=DE), lambda _: counters.answered_l2 > 0)

        assert response.content == expected.content
        assert lane_of(one).handed_on == {}
        assert counters.reads == counters.answered_l2 + counters.answered_postgresql
        assert counters.lane == 0


async def test_it_answers_only_while_the_application_runs(api: Api) -> None:
    await warm(api)
    lane = lane_of(api)
    token = api.token(PRINCIPALS["alice"]).encode()
    asked = Asked("GET", RESOLVE, b"territory=DE", ((b"host", b"x"), (b"authorization", b"Bearer " + token)))
    lane.close()
    try:
        before = answered(api)
        assert (await answer_of(lane, asked)).status == 200
        assert answered(api) == before
    finally:
        lane.open(api.registry)
