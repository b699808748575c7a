"""
What the OpenAPI document says, held against what is answered, by schemathesis: call by call, and in chains of links.

Random calls seldom meet anything that is there, so some are steered to a few known things: then they are answered with
2xx, and conflicts come about. Wrong calls, which schemathesis makes too, are left as they are.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import asyncpg
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.generation.stateful.state_machine import StepInput, StepOutput
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

from app.config import Config
from app.kit.openapi import document
from app.main import HANDLERS, create_app
from app.settings.values import changes
from tests.contract.elsewhere import Elsewhere
from tests.fixtures import KEEP_WORLD, Databases, in_a_loop_of_its_own, running
from tests.world import DEFINITIONS, LEVELS, PRINCIPALS, Api, SteppableClock, make

EXAMPLES = 25  # per operation and kind of call
CHAINS = 60
STEPS = (8, 10, 12, 14)  # of a chain; the next length is tried while some answer has not been met
WANTED = {200, 201, 204, 304, 404, 409, 412, 422}
QUIET = {
    "deadline": None,
    "derandomize": True,  # the same calls on every run: the seed is the test itself
    "database": None,
    "phases": [Phase.explicit, Phase.generate],  # a failure is small enough to be read unshrunk
    "suppress_health_check": list(HealthCheck),
}
CONFIG = {
    # What was answered before, and what stands in our source, is not used: the same calls are to be made on every run.
    "phases": {"fuzzing": {"extra-data-sources": {"responses": False}}},
    "analysis": {"constants": {"enabled": False}},
    "generation": {
        "deterministic": True,
        "allow-x00": False,  # no JSON Schema can say that any string anywhere is free of NUL; A27 tests it
    },
    "checks": {
        "positive_data_acceptance": {
            # What fits the document may still not fit the state: another version (412), no base (428), a definition
            # whose schema says no (422), a position that is yet to come (412).
            "expected-statuses": ["2xx", "3xx", "401", "403", "404", "409", "412", "422", "428"]
        },
        "negative_data_rejection": {
            # The same order of judging: a wrong member is only told to who may write there, on what it is based.
            "expected-statuses": ["400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "428"]
        },
    },
}

application = Elsewhere()


def contract_of(mode: str) -> schemathesis.BaseSchema:
    """The document, for calls of this kind: right ones (`positive`), or `all`."""
    config = CONFIG | {"generation": CONFIG["generation"] | {"mode": mode}}
    described = document(HANDLERS, config=Config(database_url="postgresql:///none"))
    schema = schemathesis.openapi.from_dict(described, config=SchemathesisConfig.from_dict(config))
    schema.app = application
    for hook in (map_case, filter_query, filter_failure):
        schema.hook(hook)
    return schema


def map_case(context: Any, case: schemathesis.Case) -> schemathesis.Case:
    """Steer two of three valid calls to things that are there, or soon will be."""
    del context
    if case.meta is None or case.meta.generation.mode.is_negative:
        return case
    if case.operation.label == "POST /api/security/revocations" and isinstance(case.body, dict):
        case.body = {name: text for name, text in case.body.items() if name != "jti"} | {"subject": "nobody"}
        return case  # never one that would end these calls
    parts = (case.path_parameters, case.query, case.body)
    chance = zlib.crc32(repr([part for part in parts if isinstance(part, dict)]).encode())
    chance, steer = divmod(chance, 3)
    if not steer:
        return case
    key = list(DEFINITIONS)[chance % len(DEFINITIONS)]
    (case.headers or {}).pop("Setpoint-Min-Position", None)
    if "key" in (case.path_parameters or {}):
        case.path_parameters["key"] = key
    if "key" in (case.query or {}):
        case.query |= {"key": key, "scope": "USER", "scopeId": f"u{chance % 3}"}
        case.query.pop("tenantId", None)
    if case.operation.label == "POST /api/settings":
        value = DEFINITIONS[key]["default"] if chance % 4 else "wrong for most"
        case.body = {"scope": "USER", "scopeId": f"u{chance % 3}", "key": key, "value": value}
    if case.operation.label == "POST /api/settings/batch":
        operation = {"op": "set", "scope": "USER", "scopeId": f"u{chance % 3}", "key": "any.thing", "value": chance}
        case.body = {"operations": [operation], "dryRun": chance % 2 == 0}
    if case.operation.label == "PUT /api/definitions/{key}":
        case.path_parameters["key"] = f"new.k{chance % 5}"
        case.body = {"schema": True, "default": None, "levels": LEVELS, "tags": [str(chance)]}
    return case


def filter_query(context: Any, query: dict[str, Any] | None) -> bool:
    """No line feed at the end: Python's `$`, by which values are made, lets one pass, and JSON Schema's does not."""
    del context
    return not any(str(value).endswith("\n") for value in (query or {}).values())


MENDED = {("query", "additionalProperties", ""), ("header", "required", " (was Authorization)")}


def was_mended(failure: Any, case: schemathesis.Case, response: Any) -> bool:
    """
    Whether what was wrong with a call never got here: an unknown parameter that holds nothing is not sent, and the
    credential that was left out is put there by the test.
    """
    wrong = set(re.findall(r"- (\w+): violates `(\w+)`(.*)", failure.message))
    sent = {name for name, _ in parse_qsl(urlsplit(response.request.url).query, keep_blank_values=True)}
    known = {parameter.name for parameter in case.operation.query}
    return bool(wrong) and wrong <= MENDED and sent <= known


def filter_failure(context: Any, failure: Any, case: schemathesis.Case, response: Any) -> bool:
    """Whether a failure is one. Some rules are about several parameters at once, which OpenAPI has no words for."""
    del context
    if isinstance(failure, UseAfterFree):
        return not case.operation.path.endswith("/history")  # the history of what is gone stays, its removal included
    if isinstance(failure, AcceptedNegativeData):
        return not was_mended(failure, case, response)
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
        return True
    if str((case.headers or {}).get("If-Match")) == "0":
        return False  # the coverage phase of schemathesis 4.32 takes this for right, whatever the pattern says
    told = {(error["pointer"].rpartition("/")[2], error["code"]) for error in response.json().get("errors", [])}
    return not told or not told <= {
        ("cursor", "cursor"),  # an opaque text
        ("keys", "keys"),  # keys or a prefix, not both
        ("scopeId", "scope-id"),  # none for GLOBAL, the tenant's own for TENANT, needed elsewhere
        ("value", "value"),  # a set needs one, an unset takes none
        ("operations", "too-many"),
        ("token", "cursor"),  # an opaque text
        ("resource", "resource"),  # an id, or a scope and key, not both
        ("subject", "incomplete"),  # needed of who sends no evaluations
        ("action", "incomplete"),
        ("resource", "incomplete"),
    }


contract = contract_of("all")


@pytest.fixture(scope="module")
def url(databases: Databases, template: str, worker_name: str) -> str:
    """A database of its own."""
    return databases.create(f"contract_{worker_name}", template=template)


@pytest.fixture(scope="module")
def counted_ids() -> Iterator[CountedIds]:
    """Ids that are the same whenever the same things happen."""
    ids = CountedIds()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changes, "new_id", ids)
        yield ids


@pytest.fixture(scope="module")
def credential(url: str, databases: Databases, config: Config, clock: SteppableClock) -> Iterator[dict[str, str]]:
    """The application, and a credential that may do everything in acme."""
    config = msgspec.structs.replace(config, database_url=databases.serving(url), min_position_wait_seconds=0.001)
    in_a_loop_of_its_own(lambda: inhabit(config, clock, url))
    built = create_app(config, clock=clock)
    with application.serving(built):
        yield {"Authorization": f"Bearer {Api(built, config=config, clock=clock).token(PRINCIPALS['root'])}"}


class CountedIds:
    """UUIDs that look as ours do."""

    def __init__(self) -> None:
        self.last = 0

    def __call__(self) -> UUID:
        self.last += 1
        return UUID(f"01a20000-0000-7000-8000-{self.last:012}")


async def inhabit(config: Config, clock: SteppableClock, url: str) -> None:
    """Set some values where calls are steered to, so that conflicts come about, and make them part of the world."""
    async with running(config, clock=clock) as api:
        for key, definition in DEFINITIONS.items():
            if "levels" not in definition:
                await make(api.root, key, definition["default"], "USER", "u0")
    connection = await asyncpg.connect(url)
    await connection.execute("DROP SCHEMA world CASCADE")
    await connection.execute(KEEP_WORLD)
    await connection.close()


def reset(url: str) -> None:
    """Bring back the world."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("SELECT world.reset()")
        await connection.close()

    in_a_loop_of_its_own(run)


@contract.parametrize()
@settings(max_examples=EXAMPLES, **QUIET)
def test_every_call_is_answered_as_documented(case: schemathesis.Case, credential: dict[str, str]) -> None:
    case.call_and_validate(headers=credential)


def test_chains_of_calls_follow_the_links_and_are_answered_as_documented(
    url: str, credential: dict[str, str], counted_ids: CountedIds
) -> None:
    statuses: Counter[int] = Counter()
    followed: Counter[str] = Counter()

    class Chains(contract_of("positive").as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            """Each chain begins in the same world: Hypothesis wants to see the same thing happen twice."""
            reset(url)
            counted_ids.last = 1_000

        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {"headers": credential}

        def step(self, input: StepInput) -> StepOutput:  # noqa: A002 - the name is schemathesis's
            if input.transition is not None and input.is_applied:
                followed[input.transition.id] += 1
            output = super().step(input)
            statuses[output.response.status_code] += 1
            return output

    for steps in STEPS:
        Chains.run(settings=settings(max_examples=CHAINS, stateful_step_count=steps, **QUIET))
        if set(statuses) >= WANTED and len(followed) > 10:
            break

    print(dict(statuses), dict(followed))
    assert followed.total() > 50
    assert len(followed) > 10
    assert set(statuses) >= WANTED
