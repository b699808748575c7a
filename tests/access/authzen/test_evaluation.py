"""Who is believed about what, and what is told of what is not there (A41)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from app.access.caller import Caller
from app.config import Config
from app.domain.access import Access
from app.kit.database import Connection
from app.kit.http import reading_posts
from app.main import HANDLERS
from tests.access.authzen.conftest import PEP, READER
from tests.access.authzen.test_certification import (
    ALICE,
    ARCHIVED,
    BOB,
    EVALUATION,
    EVALUATIONS,
    QUESTION,
    READ,
    WRITE,
    action,
    body_of,
    decisions_of,
    record,
    subject,
)
from tests.fixtures import running
from tests.world import CREATE, PRINCIPALS, Api, SteppableClock, place, pointers, problem

pytestmark = pytest.mark.anyio

EVALUATE = "/api/security/evaluate"
OTTO = {"type": "user", "id": "otto"}


async def decided(client: httpx.AsyncClient, question: dict[str, Any], **more: Any) -> bool:
    answer = body_of(await client.post(EVALUATION, json=question, **more))
    return bool(answer["decision"])


async def described(pdp: Api, path: str, attributes: Any, *, there: bool = False) -> None:
    """Say something of a scope, over HTTP."""
    headers = {"If-Match": "*"} if there else CREATE
    response = await pdp.admin.put(f"/api/scopes/{path}", json={"attributes": attributes}, headers=headers)
    assert response.is_success, response.text


# ---- Who is believed ----

SPOOFED = {
    "roles of the subject": {"subject": subject("alice", roles=["admin"]), "action": WRITE, "resource": record(2)},
    "a role of nobody": {"subject": subject("mallory", role="admin"), "action": WRITE, "resource": record(2)},
    "status of the resource": {"subject": BOB, "action": WRITE, "resource": record(1, status="archived")},
    "a resource that is not there": {"subject": ALICE, "action": WRITE, "resource": record(9, status="active")},
    "how the action is done": {"subject": ALICE, "action": action("delete", soft=True), "resource": record(1)},
}


@pytest.mark.parametrize("what", list(SPOOFED))
async def test_properties_are_believed_from_those_only_who_may_assert(pdp: Api, what: str) -> None:
    assert await decided(pdp.of(PEP), SPOOFED[what]) is True
    assert await decided(pdp.of(READER), SPOOFED[what]) is False
    assert await decided(pdp.admin, SPOOFED[what]) is False  # a role is not enough, it takes a credential made for it


async def test_stored_attributes_decide_for_those_who_are_not_believed(pdp: Api) -> None:
    reader = pdp.of(READER)

    assert await decided(reader, QUESTION) is True
    assert await decided(reader, {"subject": BOB, "action": WRITE, "resource": record(2, status="active")}) is True
    assert await decided(reader, {"subject": ALICE, "action": WRITE, "resource": record(1)}) is True
    await described(pdp, "ACCOUNT/record-1", {"status": "archived"}, there=True)
    assert await decided(reader, {"subject": ALICE, "action": WRITE, "resource": record(1)}) is False


async def test_what_is_asserted_stands_in_the_place_of_what_is_stored_and_the_rest_stays(pdp: Api, pep: Any) -> None:
    await described(pdp, "USER/alice", {"roles": ["manager"], "territories": ["DE"]}, there=True)
    in_germany = {"type": "setting", "id": "CONTACT/acme/kern/ui.theme"}
    question = {"action": WRITE, "resource": in_germany}

    assert await decided(pep, {**question, "subject": ALICE}) is True
    assert await decided(pep, {**question, "subject": subject("alice", territories=["CH"])}) is False
    assert await decided(pep, {**question, "subject": subject("alice", clearance="public")}) is False
    assert await decided(pep, {**question, "subject": subject("alice", department="Sales")}) is True


async def test_things_of_ours_are_as_they_are_stored_whoever_says_else(pep: httpx.AsyncClient) -> None:
    swiss = {"type": "setting", "id": "ACCOUNT/acme/bern/ui.theme", "properties": {"territory": "DE", "owner": "alice"}}
    manager = subject("maria", roles=["manager"], territories=["DE"])

    assert await decided(pep, {"subject": manager, "action": WRITE, "resource": swiss}) is False


@pytest.mark.parametrize("who", ["alice", "service"])
async def test_who_asks_about_itself_is_who_its_credential_says(pdp: Api, who: str) -> None:
    own = PRINCIPALS[who]
    client = pdp.of(msgspec.structs.replace(own, scopes=("pdp:assert", "settings:write"), scoped=True))
    itself = {"type": own.kind, "id": own.id, "properties": {"roles": ["admin"]}}
    question = {"subject": itself, "action": WRITE, "resource": {"type": "setting", "id": "TENANT/acme/ui.theme"}}

    assert await decided(client, question) is False


@pytest.mark.parametrize("kind", ["user", "service"])
async def test_a_name_of_another_kind_is_somebody_else(pdp: Api, kind: str) -> None:
    await described(pdp, "USER/robot", {"kind": kind, "roles": ["editor"]})
    question = {**QUESTION, "subject": {"type": "service", "id": "robot"}}

    assert await decided(pdp.of(READER), question) is (kind == "service")


async def test_somebody_unknown_is_granted_nothing_not_even_what_everybody_is(
    tmp_path: Path, db: Connection, app_url: str
) -> None:
    del db
    (tmp_path / "all.polar").write_text("allow(_p: Principal, _action: String, _d: DecisionPoint) if true;")
    config = Config(data_dir=str(tmp_path), database_url=app_url, policies_dir=str(tmp_path))
    about = {"action": READ, "resource": {"type": "decision-point", "id": "acme"}}

    async with running(config, clock=SteppableClock()) as api:
        known, unknown, asserted = [
            await decided(api.admin, {**about, "subject": one})
            for one in (ALICE, subject("mallory"), subject("mallory", accounts=[]))
        ]

    assert (known, unknown, asserted) == (True, False, True)


# ---- Nobody becomes the admin of all tenants ----

EVERYWHERE = {"action": WRITE, "resource": {"type": "definition", "id": "ui.theme"}}


async def test_no_directory_entry_makes_a_platform_admin(pdp: Api, pep: httpx.AsyncClient) -> None:
    await described(pdp, "USER/eve", {"roles": ["platform_admin", "admin"], "clearance": "secret"})
    eve = {"type": "user", "id": "eve"}

    for client in (pep, pdp.of(READER), pdp.root):
        assert await decided(client, {**EVERYWHERE, "subject": eve}) is False
    assert await decided(pep, {"subject": eve, "action": WRITE, "resource": {"type": "scope", "id": "USER/acme/eve"}})


@pytest.mark.parametrize("property_", [{"roles": ["platform_admin"]}, {"role": "platform_admin"}])
async def test_who_speaks_for_one_tenant_makes_no_platform_admin(pdp: Api, property_: dict[str, Any]) -> None:
    eve = subject("eve", **property_, clearance="secret")
    scopes = {"scopes": ("pdp:assert",), "scoped": True}

    for one in (PEP, msgspec.structs.replace(PRINCIPALS["admin"], **scopes)):
        assert await decided(pdp.of(one), {**EVERYWHERE, "subject": eve}) is False
    for one in (PRINCIPALS["root"], PRINCIPALS["platform"]):
        assert await decided(pdp.of(msgspec.structs.replace(one, **scopes)), {**EVERYWHERE, "subject": eve}) is True
        assert await decided(pdp.of(one), {**EVERYWHERE, "subject": eve}) is False


# ---- Who may ask ----


@pytest.mark.parametrize("who", ["alice", "manager", "nobody"])
async def test_people_ask_about_themselves_only(pdp: Api, who: str) -> None:
    own = {"type": "user", "id": PRINCIPALS[who].id}
    client = getattr(pdp, who)

    problem(await client.post(EVALUATION, json={**QUESTION, "subject": OTTO}), 403, "forbidden")
    assert "decision" in body_of(await client.post(EVALUATION, json={**QUESTION, "subject": own}))
    both = {**QUESTION, "evaluations": [{"subject": own}, {"subject": OTTO}]}
    [first, second] = body_of(await client.post(EVALUATIONS, json=both))["evaluations"]
    assert "error" not in first["context"]
    assert second["context"]["error"]["status"] == 403
    problem(await client.post("/access/v1/search/subject", json={**QUESTION, "subject": {"type": "user"}}), 403)
    problem(await client.post("/access/v1/search/action", json={"subject": OTTO, "resource": record(1)}), 403)


async def test_a_credential_for_something_else_is_not_one_for_asking(pdp: Api) -> None:
    other = msgspec.structs.replace(PEP, scopes=("settings:read",))

    problem(await pdp.of(other).post(EVALUATION, json=QUESTION), 403)


async def test_another_tenant_is_asked_about_by_platform_admins_only(pdp: Api) -> None:
    believed = msgspec.structs.replace(PRINCIPALS["platform"], scopes=("pdp:assert",), scoped=True)
    question = {
        "subject": subject("greta", roles=["admin"]),
        "action": WRITE,
        "resource": {"type": "setting", "id": "ACCOUNT/globex/initech/ui.theme"},
    }
    globex, acme = {"tenantId": "globex"}, {"tenantId": "acme"}

    assert await decided(pdp.of(believed), question, params=globex) is True
    assert await decided(pdp.of(believed), question, params=acme) is False
    assert await decided(pdp.of(believed), question) is False
    assert await decided(pdp.of(PEP), question) is False
    problem(await pdp.of(PEP).post(EVALUATION, json=question, params=globex), 404, "not-found")


async def test_a_refusal_to_ask_is_audited_and_a_denial_is_not(pdp: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[tuple[str, Access]] = []
    monkeypatch.setattr(Caller, "note", lambda caller, access: noted.append((caller.principal.id, access)))

    body_of(await pdp.alice.post(EVALUATE, json={"resource": {"type": "scope", "id": "x"}, "action": "read"}))
    assert noted == []
    problem(await pdp.alice.post(EVALUATION, json=QUESTION | {"subject": OTTO}), 403)
    [(who, access)] = noted
    assert (who, access.outcome, access.resource) == ("alice", "denied", "decision-point/acme")


def test_questions_count_as_reads() -> None:
    assert {EVALUATE, EVALUATION, EVALUATIONS} <= reading_posts(HANDLERS)
    assert {f"/access/v1/search/{what}" for what in ("subject", "resource", "action")} <= reading_posts(HANDLERS)


# ---- What is not there is denied like what may not be seen ----

_DECISION = re.compile(rb'"decisionId":"[^"]+"')


def bytes_of(response: httpx.Response) -> bytes:
    assert response.status_code == 200, response.text
    return _DECISION.sub(b"", response.content)


HIDDEN = {
    "another territory's": {"type": "setting", **place("ACCOUNT", "bern"), "key": "ui.theme"},
    "another tenant's": {"type": "setting", **place("ACCOUNT", "initech", tenant="globex"), "key": "ui.theme"},
    "above the clearance": {"type": "setting", **place("ACCOUNT", "adler"), "key": "limit.secret"},
    "an entry": {"type": "scope", **place("ACCOUNT", "bern")},
    "a record that is not of one's own": {"type": "record", "id": "record-2"},
}
ABSENT = {
    "key": {"type": "setting", **place("ACCOUNT", "adler"), "key": "no.such"},
    "tenant": {"type": "setting", **place("TENANT", tenant="nobodys"), "key": "ui.theme"},
    "entry": {"type": "scope", **place("ACCOUNT", "nowhere")},
    "id that is none": {"type": "setting", "id": "ACCOUNT"},
    "type": {"type": "spaceship", "id": "1"},
    "a record": {"type": "record", "id": "record-9"},
    "one of what is not asked about": {"type": "event", "id": "1"},
}


@pytest.mark.parametrize("verb", ["read", "write"])
async def test_hidden_and_absent_are_denied_with_the_same_bytes(pdp: Api, verb: str) -> None:
    answers = {
        name: bytes_of(await pdp.alice.post(EVALUATE, json={"resource": resource, "action": verb}))
        for name, resource in {**HIDDEN, **ABSENT}.items()
    }

    assert len(set(answers.values())) == 1, answers
    assert b'"decision":false' in answers["key"]
    assert b'"reason":"not-found"' in answers["key"]


async def test_who_may_see_a_thing_hears_that_it_may_not_do_that(pdp: Api) -> None:
    resource = {"type": "setting", "key": "ui.theme", **place("ACCOUNT", "adler")}
    asked = {"resource": resource, "action": "write"}

    bob = (await pdp.bob.post(EVALUATE, json=asked)).json()
    alice = (await pdp.alice.post(EVALUATE, json=asked)).json()
    auditor = (await pdp.auditor.post(EVALUATE, json={**asked, "action": "fly"})).json()

    assert (bob["decision"], bob["reason"]) == (False, "forbidden")
    assert (alice["decision"], "reason" in alice) == (True, False)
    assert (auditor["decision"], auditor["reason"]) == (False, "forbidden")


async def test_every_decision_has_an_id_and_the_version_of_the_policy(pdp: Api) -> None:
    asked = {"resource": {"type": "policy", "id": "current"}, "action": "read"}

    answers = [(await pdp.admin.post(EVALUATE, json=asked)).json() for _ in range(2)]

    assert [one["decision"] for one in answers] == [True, True]
    assert len({one["decisionId"] for one in answers}) == 2
    policy = (await pdp.admin.get("/api/security/policy")).json()
    assert {one["policyVersion"] for one in answers} == {policy["version"]}
    assert "records.types.yaml" in policy["files"]
    assert "record" in {one["type"] for one in policy["rules"]}


async def test_a_thing_has_one_name_or_another(pdp: Api) -> None:
    by_id = {"type": "setting", "id": "ACCOUNT/acme/adler/ui.theme"}

    for resource in (by_id, {"type": "setting", "key": "ui.theme", **place("ACCOUNT", "adler")}):
        answer = await pdp.alice.post(EVALUATE, json={"resource": resource, "action": {"name": "write"}})
        assert answer.json()["decision"] is True
    for resource in ({**by_id, "key": "ui.theme"}, {"type": "setting"}, {"type": "scope", "key": "ui.theme"}):
        response = await pdp.alice.post(EVALUATE, json={"resource": resource, "action": "read"})
        assert pointers(response, 400) == ["#/resource"]


async def test_our_own_question_is_read_strictly(pdp: Api) -> None:
    asked = {"resource": {"type": "policy", "id": "current"}, "action": "read"}

    assert pointers(await pdp.alice.post(EVALUATE, json={**asked, "subject": {"id": "anna"}}), 400) == ["#"]
    reason = await pdp.alice.post(EVALUATE, json={**asked, "context": {"overrideReason": "\n"}})
    assert pointers(reason, 400) == ["#/context/overrideReason"]
    assert (await pdp.alice.post(EVALUATE, content=b"{}", headers={"Content-Type": "text/plain"})).status_code == 415


# ---- Circumstances ----


async def test_a_time_in_the_context_is_not_looked_at(tmp_path: Path, db: Connection, app_url: str) -> None:
    del db
    rule = 'allow(_p: Principal, "read", _s: Setting, c: Circumstances) if c.hour >= 8 and c.hour < 18;'
    (tmp_path / "hours.polar").write_text(rule)
    config = Config(data_dir=str(tmp_path), database_url=app_url, policies_dir=str(tmp_path))
    clock = SteppableClock()
    setting = {"type": "setting", "key": "ui.theme", **place("TENANT")}
    asked = {"resource": setting, "action": "read", "context": {"time": "2026-03-04T23:00:00Z", "hour": 23}}

    async with running(config, clock=clock) as api:
        at_noon = (await api.alice.post(EVALUATE, json=asked)).json()["decision"]
        clock.step(8 * 3600)
        at_eight = (await api.alice.post(EVALUATE, json={**asked, "context": {"hour": 12}})).json()["decision"]

    assert (at_noon, at_eight) == (True, False)


async def test_a_reason_to_override_is_that_of_the_subject(pdp: Api) -> None:
    pep = pdp.of(PEP)
    maria = subject("maria", roles=["manager"], territories=["DE"])
    question = {"subject": maria, "action": READ, "resource": {"type": "setting", "id": "ACCOUNT/acme/bern/ui.theme"}}

    assert await decided(pep, question) is False
    assert await decided(pep, {**question, "context": {"overrideReason": "covering"}}) is True
    assert await decided(pep, question, headers={"Setpoint-Override-Reason": "covering"}) is False
    wrong = body_of(await pep.post(EVALUATION, json={**question, "context": {"overrideReason": 1}}))
    assert wrong["decision"] is False
    assert wrong["context"]["error"]["status"] == 400


# ---- What cannot be decided is denied ----

UNUSABLE = {
    "asserted roles of a wrong type": (
        PEP,
        {**QUESTION, "subject": subject("alice", roles="editor")},
        "properties of the subject",
    ),
    "an asserted status of a wrong type": (PEP, {**QUESTION, "resource": record(1, status=7)}, "status"),
    "an asserted status of nobody knows what": (PEP, {**QUESTION, "resource": record(1, status=None)}, "status"),
    "no status": (READER, {**QUESTION, "resource": {"type": "record", "id": "adler"}}, "status"),
    "no property of the action": (
        PEP,
        {"subject": ALICE, "action": action("delete"), "resource": record(1)},
        "property soft",
    ),
    "a property of a wrong type": (
        PEP,
        {"subject": ALICE, "action": action("delete", soft="yes"), "resource": record(1)},
        "action_soft",
    ),
}


@pytest.mark.parametrize("what", list(UNUSABLE))
async def test_what_cannot_be_decided_is_denied_and_said(pdp: Api, what: str) -> None:
    principal, question, named = UNUSABLE[what]

    answer = body_of(await pdp.of(principal).post(EVALUATION, json=question))

    assert answer["decision"] is False
    assert answer["context"]["error"]["status"] == 400
    assert named in answer["context"]["error"]["message"]


@pytest.mark.parametrize("attributes", [{"roles": "editor"}, {"roles": [1]}, {"clearance": "cosmic"}, {"kind": "bot"}])
async def test_stored_attributes_of_a_wrong_type_make_nobody(pdp: Api, attributes: dict[str, Any]) -> None:
    await described(pdp, "USER/alice", {"roles": ["editor"], **attributes}, there=True)

    answer = body_of(await pdp.of(READER).post(EVALUATION, json=QUESTION))

    assert answer["decision"] is False
    assert answer["context"]["error"]["message"].startswith("The stored attributes of the subject cannot be used")


async def test_who_asks_about_itself_is_not_told_what_a_stored_thing_lacks(pdp: Api) -> None:
    itself = {"type": "user", "id": "alice"}
    answers = [
        bytes_of(await pdp.alice.post(path, json={"subject": itself, "action": action(verb), "resource": resource}))
        for resource in ({"type": "record", "id": "adler"}, {"type": "record", "id": "record-9"})
        for path, verb in ((EVALUATION, "read"), (EVALUATION, "delete"))
    ]

    assert answers[:2] == answers[2:]


# ---- Many at once ----

SEMANTICS = {
    "execute_all": [True, False, True, False],
    "deny_on_first_deny": [True, False],
    "permit_on_first_permit": [True],
}


@pytest.mark.parametrize("semantic", list(SEMANTICS))
async def test_a_semantic_says_how_far_it_goes(pep: httpx.AsyncClient, semantic: str) -> None:
    items = [{"resource": record(1)}, {"resource": ARCHIVED}, {"resource": record(1)}, {}]
    request = {"subject": ALICE, "action": WRITE, "evaluations": items, "options": {"evaluations_semantic": semantic}}

    assert decisions_of(await pep.post(EVALUATIONS, json=request)) == SEMANTICS[semantic]
    request["evaluations"] = [{}, {"resource": ARCHIVED}, {"resource": record(1)}, {}]
    assert (
        decisions_of(await pep.post(EVALUATIONS, json=request))
        == {
            "execute_all": [False, False, True, False],
            "deny_on_first_deny": [False],  # an error is a denial
            "permit_on_first_permit": [False, False, True],
        }[semantic]
    )


async def test_there_is_no_other_semantic(pep: httpx.AsyncClient) -> None:
    request = {**QUESTION, "evaluations": [{}], "options": {"evaluations_semantic": "guess", "another": 1}}

    assert pointers(await pep.post(EVALUATIONS, json=request), 400) == ["#/options/evaluations_semantic"]


@pytest.mark.parametrize("item", [None, 1, "x", [], {"subject": "alice"}, {"action": {"name": 1}}, {"context": []}])
async def test_an_evaluation_of_a_wrong_form_is_denied_alone(pep: httpx.AsyncClient, item: Any) -> None:
    body = body_of(await pep.post(EVALUATIONS, json={**QUESTION, "evaluations": [item, {}]}))

    [wrong, right] = body["evaluations"]
    assert (wrong["decision"], right["decision"]) == (False, True)
    assert wrong["context"]["error"]["status"] == 400


async def test_properties_of_a_default_are_not_mixed_with_those_of_an_evaluation(pep: httpx.AsyncClient) -> None:
    request = {
        "subject": subject("carol", roles=["admin"]),
        "action": WRITE,
        "resource": ARCHIVED,
        "evaluations": [{}, {"subject": {"id": "dave"}}, {"resource": {"type": "record"}}],
    }

    body = body_of(await pep.post(EVALUATIONS, json=request))

    assert [one["decision"] for one in body["evaluations"]] == [True, False, True]  # record-2 is archived as stored


async def test_a_request_holds_so_many_evaluations_and_no_more(pdp: Api, pep: httpx.AsyncClient) -> None:
    most = pdp.config.max_evaluations
    many = {**QUESTION, "evaluations": [{}] * most}

    assert decisions_of(await pep.post(EVALUATIONS, json=many)) == [True] * most
    for count in (most + 1, 10_000):
        response = await pep.post(EVALUATIONS, json={**QUESTION, "evaluations": [{}] * count})
        assert pointers(response, 400) == ["#/evaluations"]
    response = await pep.post(EVALUATIONS, json={"evaluations": [{**QUESTION, "context": CONTEXT_OF_200}] * 10_000})
    problem(response, 413, "too-large")


CONTEXT_OF_200 = {"x": "y" * 200}


# ---- Strict JSON ----


@pytest.mark.parametrize(
    "content",
    [
        b'{"subject":{"type":"user","id":"alice"},"subject":{"type":"user","id":"bob"}}',
        b'{"subject":{"type":"user","id":"\\ud800"}}',
        b'{"subject":{"type":"user","id":"\\u0000"}}',
        b'{"foo":' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"foo":1e400}',
        b"\xef\xbb\xbf{}",
        b'{"foo":"\xff"}',
    ],
)
async def test_what_is_no_i_json_is_refused_even_in_members_that_nobody_knows(
    pep: httpx.AsyncClient, content: bytes
) -> None:
    members = msgspec.json.encode(QUESTION)[1:-1]
    body = content[:-1] + b"," + members + b"}" if content.startswith(b'{"foo"') else content

    response = await pep.post(EVALUATION, content=body, headers={"Content-Type": "application/json"})

    problem(response, 400, "malformed")


# ---- Where it is found ----


@pytest.fixture
async def plain(db: object, config: Config, app_url: str, clock: SteppableClock) -> AsyncIterator[Api]:
    """A node that was not told where its clients reach it."""
    del db
    config = msgspec.structs.replace(config, database_url=app_url, port=9999)
    async with running(config, clock=clock) as api:
        yield api


async def test_without_a_public_url_the_metadata_names_the_listening_address(plain: Api) -> None:
    response = await plain.anonymous.get("/.well-known/authzen-configuration", headers={"Host": "evil.example"})

    assert response.json()["policy_decision_point"] == "http://127.0.0.1:9999"
    assert "max-age" in response.headers["Cache-Control"]


async def test_only_the_metadata_is_open(pdp: Api) -> None:
    for path in ("/.well-known/authzen-configuration/x", "/.well-known/other", "/x/.well-known/authzen-configuration"):
        assert (await pdp.anonymous.get(path)).status_code == 401
    for path in (EVALUATION, EVALUATIONS, EVALUATE):
        response = await pdp.anonymous.post(path, json=QUESTION)
        assert response.status_code == 401
        assert "WWW-Authenticate" in response.headers
