"""
The certification scenario of AuthZEN 1.0, assertion by assertion.

Written from `certification/authorization-api-1_0-scenario.md` of openid/authzen. Numbers in names and ids are those of
its sections; section 1 is the fixture, which conftest.py sets up by means of policies/examples/authzen-certification.
"""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from tests.access.authzen.conftest import PUBLIC_URL
from tests.world import Api

pytestmark = pytest.mark.anyio

EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
SUBJECTS = "/access/v1/search/subject"
RESOURCES = "/access/v1/search/resource"
ACTIONS = "/access/v1/search/action"
METADATA = "/.well-known/authzen-configuration"
JSON = {"Content-Type": "application/json"}
CONTEXT = {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}


def subject(name: str, **properties: Any) -> dict[str, Any]:
    return {"type": "user", "id": name} | ({"properties": properties} if properties else {})


def action(name: str, **properties: Any) -> dict[str, Any]:
    return {"name": name} | ({"properties": properties} if properties else {})


def record(number: int, **properties: Any) -> dict[str, Any]:
    return {"type": "record", "id": f"record-{number}"} | ({"properties": properties} if properties else {})


ALICE, BOB = subject("alice"), subject("bob")
READ, WRITE = action("read"), action("write")
QUESTION = {"subject": ALICE, "action": READ, "resource": record(1)}


def body_of(response: httpx.Response) -> dict[str, Any]:
    """5.2: the body of a success, which is 200 and JSON."""
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"
    body: dict[str, Any] = response.json()
    return body


def decision_of(answer: dict[str, Any]) -> bool:
    """2.3: there is a decision, it is a boolean, and if there is a context, it is an object."""
    assert type(answer["decision"]) is bool
    assert isinstance(answer.get("context", {}), dict)
    return bool(answer["decision"])


def decisions_of(response: httpx.Response) -> list[bool]:
    """3.3: every element has a decision; none stands beside them."""
    body = body_of(response)
    assert "decision" not in body
    return [decision_of(one) for one in body["evaluations"]]


# ---- 2: Basic ----

BASIC = {
    "2.2.1 permit": (QUESTION, True),
    "2.2.2 deny": ({"subject": BOB, "action": WRITE, "resource": record(1)}, False),
    "1.4 rule 2": ({"subject": ALICE, "action": WRITE, "resource": record(1)}, True),
    "1.4 rule 3": ({"subject": BOB, "action": READ, "resource": record(1)}, True),
    "2.2.3 context": ({**QUESTION, "context": CONTEXT}, True),
    "2.2.4 resource properties": (
        {"subject": ALICE, "action": WRITE, "resource": record(2, status="archived")},
        False,
    ),
    "2.2.5 subject properties": (
        {"subject": subject("bob", role="admin"), "action": WRITE, "resource": record(2, status="archived")},
        True,
    ),
    "2.2.6 action properties, permit": (
        {"subject": ALICE, "action": action("delete", soft=True), "resource": record(1)},
        True,
    ),
    "2.2.7 action properties, deny": (
        {"subject": ALICE, "action": action("delete", soft=False), "resource": record(1)},
        False,
    ),
    "2.2.8 additional properties": (
        {
            "subject": subject("alice", department="Sales", role="manager"),
            "action": action("read", method="GET"),
            "resource": record(1, status="active", owner="bob"),
        },
        True,
    ),
    "2.2.9 unknown fields": ({**QUESTION, "foo": "bar", "futureField": {"nested": True}}, True),
}


@pytest.mark.parametrize("name", list(BASIC))
async def test_basic_decisions(pep: httpx.AsyncClient, name: str) -> None:
    question, expected = BASIC[name]

    assert decision_of(body_of(await pep.post(EVALUATION, json=question))) is expected


def without(member: str, part: str | None = None) -> dict[str, Any]:
    if part is None:
        return {name: value for name, value in QUESTION.items() if name != member}
    return {**QUESTION, member: {name: value for name, value in QUESTION[member].items() if name != part}}


WRONG = {
    "2.4.1 subject missing": without("subject"),
    "2.4.1 action missing": without("action"),
    "2.4.1 resource missing": without("resource"),
    "2.4.2 subject without type": without("subject", "type"),
    "2.4.2 subject without id": without("subject", "id"),
    "2.4.2 action without name": without("action", "name"),
    "2.4.2 resource without type": without("resource", "type"),
    "2.4.2 resource without id": without("resource", "id"),
    "2.4.6 subject is a string": {**QUESTION, "subject": "alice"},
    "2.4.6 action name is a number": {**QUESTION, "action": {"name": 123}},
}


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS])
@pytest.mark.parametrize("name", list(WRONG))
async def test_a_request_that_lacks_something_is_400(pep: httpx.AsyncClient, path: str, name: str) -> None:
    response = await pep.post(path, json=WRONG[name])

    assert response.status_code == 400
    assert response.json()["detail"]


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS, SUBJECTS, RESOURCES, ACTIONS])
@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"Content-Type": "text/plain"}, msgspec.json.encode(QUESTION)),
        ({"Content-Type": "application/x-www-form-urlencoded"}, msgspec.json.encode(QUESTION)),
        ({}, msgspec.json.encode(QUESTION)),
        (JSON, b'{"subject": '),
        (JSON, b"not json"),
        (JSON, b""),
    ],
    ids=["2.4.3 text", "2.4.3 form", "2.4.3 none", "2.4.4 cut off", "2.4.4 no JSON", "2.4.5 empty"],
)
async def test_a_body_that_is_no_json_is_400(
    pep: httpx.AsyncClient, path: str, headers: dict[str, str], content: bytes
) -> None:
    assert (await pep.post(path, headers=headers, content=content)).status_code == 400


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS])
async def test_2_5_1_the_request_id_is_echoed(pep: httpx.AsyncClient, path: str) -> None:
    given = {"X-Request-ID": "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"}

    assert (await pep.post(path, json=QUESTION, headers=given)).headers["X-Request-ID"] == given["X-Request-ID"]


async def test_2_5_2_without_a_request_id_nothing_fails(pep: httpx.AsyncClient) -> None:
    assert decision_of(body_of(await pep.post(EVALUATION, json=QUESTION)))


@pytest.mark.parametrize("name", ["2.2.1 permit", "2.2.2 deny"])
async def test_2_6_the_same_question_gets_the_same_decision(pep: httpx.AsyncClient, name: str) -> None:
    question, expected = BASIC[name]

    assert {decision_of(body_of(await pep.post(EVALUATION, json=question))) for _ in range(5)} == {expected}


# ---- 3: Batch ----

ARCHIVED = record(2, status="archived")
BATCH: dict[str, tuple[dict[str, Any], list[bool | None]]] = {
    "3.2.1 evaluations": (
        {"subject": ALICE, "action": READ, "evaluations": [{"resource": record(1)}, {"resource": record(2)}]},
        [None, None],
    ),
    "3.2.2 in order": (
        {"subject": BOB, "resource": record(1), "evaluations": [{"action": READ}, {"action": WRITE}]},
        [True, False],
    ),
    "3.2.3 resource properties": (
        {
            "subject": ALICE,
            "action": WRITE,
            "evaluations": [{"resource": record(1, status="active")}, {"resource": ARCHIVED}],
        },
        [True, False],
    ),
    "3.2.4 subject properties": (
        {
            "action": WRITE,
            "resource": ARCHIVED,
            "evaluations": [{"subject": ALICE}, {"subject": subject("bob", role="admin")}],
        },
        [False, True],
    ),
    "3.2.5 no defaults": (
        {"evaluations": [QUESTION, {"subject": BOB, "action": WRITE, "resource": record(1)}]},
        [True, False],
    ),
    "3.2.6 context": (
        {
            "subject": ALICE,
            "action": READ,
            "context": CONTEXT,
            "evaluations": [{"resource": record(1)}, {"resource": record(2), "context": {"source": "batch-override"}}],
        },
        [None, None],
    ),
    "3.2.7 defaults are replaced whole": (
        {
            "subject": ALICE,
            "action": WRITE,
            "resource": {"type": "record"},
            "evaluations": [
                {"resource": {"id": "record-1", "properties": {"status": "active"}}},
                {"resource": ARCHIVED},
            ],
        },
        [True, False],
    ),
    "3.4.1 one lacks its resource": (
        {"subject": ALICE, "action": READ, "evaluations": [{"resource": record(1)}, {}]},
        [True, False],
    ),
}


@pytest.mark.parametrize("name", list(BATCH))
async def test_batches_are_answered_in_order_and_number(pep: httpx.AsyncClient, name: str) -> None:
    request, expected = BATCH[name]

    decisions = decisions_of(await pep.post(EVALUATIONS, json=request))

    assert len(decisions) == len(expected)
    assert [wanted for wanted in expected if wanted is not None] == [
        one for one, wanted in zip(decisions, expected, strict=True) if wanted is not None
    ]


@pytest.mark.parametrize("more", [{}, {"evaluations": []}], ids=["3.4.2 missing", "3.4.3 empty"])
async def test_without_evaluations_it_is_one_evaluation(pep: httpx.AsyncClient, more: dict[str, Any]) -> None:
    body = body_of(await pep.post(EVALUATIONS, json={**QUESTION, **more}))

    assert decision_of(body) is True
    assert "evaluations" not in body


# ---- 4: Search ----

USERS, RECORDS = {"type": "user"}, {"type": "record"}
WHO = {"subject": USERS, "action": READ, "resource": record(1)}
WHAT = {"subject": ALICE, "action": READ, "resource": RECORDS}
HOW = {"subject": ALICE, "resource": record(1)}
ADMIN = subject("bob", role="admin")
SEARCHES: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "4.2.1 subjects": (SUBJECTS, WHO, {"alice", "bob"}),
    "4.2.2 subjects, with context": (SUBJECTS, {**WHO, "context": CONTEXT}, {"alice", "bob"}),
    "4.2.4 subjects, by resource properties": (
        SUBJECTS,
        {"subject": USERS, "action": WRITE, "resource": ARCHIVED},
        {"bob"},
    ),
    "4.3.1 resources": (RESOURCES, WHAT, {"record-1"}),
    "4.3.3 resources, by subject properties": (
        RESOURCES,
        {"subject": ADMIN, "action": WRITE, "resource": RECORDS},
        {"record-2"},
    ),
    "4.4.1 actions": (ACTIONS, HOW, {"read", "write"}),
    "4.4.2 actions, with context": (ACTIONS, {**HOW, "context": CONTEXT}, {"read", "write"}),
    "4.4.3 actions, by properties": (ACTIONS, {"subject": ADMIN, "resource": ARCHIVED}, {"write"}),
}


@pytest.mark.parametrize("name", list(SEARCHES))
async def test_searches_find_what_they_must(pep: httpx.AsyncClient, name: str) -> None:
    path, request, expected = SEARCHES[name]

    results = body_of(await pep.post(path, json=request))["results"]

    assert isinstance(results, list)
    if path == ACTIONS:
        assert expected <= {one["name"] for one in results}
    else:
        wanted = "user" if path == SUBJECTS else "record"
        assert {one["type"] for one in results} == {wanted}
        assert expected <= {one["id"] for one in results}


@pytest.mark.parametrize("member", ["subject", "resource"])
async def test_4_2_3_and_4_3_2_an_id_of_what_is_looked_for_is_not_looked_at(
    pep: httpx.AsyncClient, member: str
) -> None:
    path, request = (SUBJECTS, WHO) if member == "subject" else (RESOURCES, WHAT)
    named = {**request, member: {**request[member], "id": "nobody-and-nothing"}}

    assert body_of(await pep.post(path, json=named)) == body_of(await pep.post(path, json=request))


async def test_4_5_pages_are_well_formed_and_lead_to_the_end(pep: httpx.AsyncClient) -> None:
    body = body_of(await pep.post(SUBJECTS, json={**WHO, "page": {"limit": 1}}))
    found = list(body["results"])
    while body["page"]["next_token"]:
        assert isinstance(body["page"]["next_token"], str)
        assert body["page"]["count"] == len(body["results"])
        body = body_of(await pep.post(SUBJECTS, json={**WHO, "page": {"token": body["page"]["next_token"]}}))
        found += body["results"]

    assert body["page"]["next_token"] == ""
    assert [one["id"] for one in found] == ["alice", "bob"]


UNKNOWN = {
    "4.6.1 subject of an action search": (ACTIONS, {"subject": subject("nonexistent-user"), "resource": record(1)}),
    "4.6.1 subject of a resource search": (RESOURCES, {**WHAT, "subject": subject("nonexistent-user")}),
    "4.6.1 resource of a subject search": (SUBJECTS, {**WHO, "resource": record(9)}),
    "4.6.2 subject type": (SUBJECTS, {**WHO, "subject": {"type": "spaceship"}}),
    "4.6.2 resource type": (RESOURCES, {**WHAT, "resource": {"type": "spaceship"}}),
    "4.6.2 resource type of an action search": (ACTIONS, {**HOW, "resource": {"type": "spaceship", "id": "1"}}),
}


@pytest.mark.parametrize("name", list(UNKNOWN))
async def test_what_nobody_knows_finds_nothing(pep: httpx.AsyncClient, name: str) -> None:
    path, request = UNKNOWN[name]

    assert body_of(await pep.post(path, json=request))["results"] == []


INCOMPLETE = {
    "4.7.1 subjects without action": (SUBJECTS, {"subject": USERS, "resource": record(1)}),
    "4.7.1 resources without subject": (RESOURCES, {"action": READ, "resource": RECORDS}),
    "4.7.1 actions without resource": (ACTIONS, {"subject": ALICE}),
    "4.7.2 subjects, resource without id": (SUBJECTS, {**WHO, "resource": RECORDS}),
    "4.7.2 resources, subject without id": (RESOURCES, {**WHAT, "subject": USERS}),
}


@pytest.mark.parametrize("name", list(INCOMPLETE))
async def test_a_search_that_lacks_something_is_400(pep: httpx.AsyncClient, name: str) -> None:
    path, request = INCOMPLETE[name]

    assert (await pep.post(path, json=request)).status_code == 400


# ---- 6: Discovery ----


async def test_6_the_metadata_names_the_decision_point_and_its_endpoints(pdp: Api) -> None:
    metadata = body_of(await pdp.anonymous.get(METADATA))

    assert metadata["policy_decision_point"] == PUBLIC_URL
    assert metadata["access_evaluation_endpoint"] == PUBLIC_URL + EVALUATION
    assert metadata["access_evaluations_endpoint"] == PUBLIC_URL + EVALUATIONS
    assert metadata["search_subject_endpoint"] == PUBLIC_URL + SUBJECTS
    assert metadata["search_resource_endpoint"] == PUBLIC_URL + RESOURCES
    assert metadata["search_action_endpoint"] == PUBLIC_URL + ACTIONS
    assert all(url.startswith("https://") for url in metadata.values())


async def test_6_the_endpoints_that_are_named_answer(pdp: Api, pep: httpx.AsyncClient) -> None:
    metadata = body_of(await pdp.anonymous.get(METADATA))
    requests = dict.fromkeys(["access_evaluation_endpoint", "access_evaluations_endpoint"], QUESTION)
    requests |= {"search_subject_endpoint": WHO, "search_resource_endpoint": WHAT, "search_action_endpoint": HOW}

    assert {name for name in metadata if name.endswith("_endpoint")} == set(requests)
    for name, request in requests.items():
        body_of(await pep.post(metadata[name].removeprefix(PUBLIC_URL), json=request))
