"""The OpenAPI document itself: valid, complete, the same every time, and true about errors and limits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from app.config import Config
from app.kit.http import reading_posts
from app.kit.openapi import document
from app.main import HANDLERS
from tests.world import Api

CONFIG = Config(database_url="postgresql:///none")
DOCUMENT = msgspec.json.decode(msgspec.json.encode(document(HANDLERS, config=CONFIG)))
OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
MAKE = (
    "import sys, msgspec; from app.kit.openapi import document; from app.main import HANDLERS; from app.config import "
    "Config; sys.stdout.buffer.write(msgspec.json.encode(document(HANDLERS, config=Config(database_url='postgresql:///none'))))"
)


def every(part: Any, name: str) -> list[Any]:
    """All members of this name, anywhere."""
    if isinstance(part, dict):
        found = [part[name]] if name in part else []
        return found + [one for member in part.values() for one in every(member, name)]
    return [one for member in part for one in every(member, name)] if isinstance(part, list) else []


def test_the_document_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [error.message for error in jsonschema_rs.validator_for(OPENAPI_31).iter_errors(DOCUMENT)] == []


def test_every_schema_in_it_is_a_valid_json_schema() -> None:
    for schema in [*DOCUMENT["components"]["schemas"].values(), *every(DOCUMENT["paths"], "schema")]:
        jsonschema_rs.meta.validate(schema)


def test_every_reference_leads_somewhere() -> None:
    for reference in every(DOCUMENT, "$ref"):
        part = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]


def test_every_handler_is_in_it_once() -> None:
    handled = {
        (str(method).lower(), re.sub(r"\{(\w+):\w+\}", r"{\1}", path))
        for one in HANDLERS
        for method in one.http_methods
        for path in one.paths
    }

    assert {(method, path) for method, path, _ in OPERATIONS.values()} == handled
    assert len(OPERATIONS) == len(handled), "operation ids are unique"


def test_every_operation_says_what_it_is_and_names_its_path_parameters() -> None:
    for _, path, operation in OPERATIONS.values():
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path))


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_every_operation_documents_its_errors_as_problems(name: str) -> None:
    method, path, operation = OPERATIONS[name]
    statuses = {int(status) for status in operation["responses"]}

    assert {400, 406, 413} <= statuses
    if operation.get("security") != []:
        assert {401, 429, 503} <= statuses
    if "requestBody" in operation:
        assert 408 in statuses
        assert (415 in statuses) is not name.startswith("authzen")  # which wants 400
    if any(one["name"] == "If-Match" for one in operation["parameters"]):
        assert {412, 428} <= statuses
    if any(one["name"] == "Setpoint-Min-Position" for one in operation["parameters"]):
        assert 412 in statuses
    if "{" in path:
        assert 404 in statuses or method == "put"
    for status in statuses:
        if status >= 400:
            reference = operation["responses"][str(status)]["$ref"]
            response = DOCUMENT["components"]["responses"][reference.rpartition("/")[2]]
            assert list(response["content"]) == ["application/problem+json"]


def test_who_is_told_to_wait_is_told_how_long_and_writes_tell_what_is_left() -> None:
    responses = DOCUMENT["components"]["responses"]
    assert set(responses["429"]["headers"]) == {"Retry-After", "RateLimit", "RateLimit-Policy"}
    assert set(responses["503"]["headers"]) == {"Retry-After"}
    for name, (method, path, operation) in OPERATIONS.items():
        told = {"RateLimit", "RateLimit-Policy"} & set(every(operation["responses"], "headers")[0])
        assert (len(told) == 2) is (method != "get" and path not in reading_posts(HANDLERS)), name


def test_every_read_of_the_registry_takes_a_position_and_a_tag() -> None:
    for name, (method, path, operation) in OPERATIONS.items():
        if path == "/api/settings/stats/cache":
            continue  # about this node, not of the registry
        if method == "get" and path.startswith(("/api/settings", "/api/definitions", "/api/scopes", "/api/tenants")):
            headers = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
            assert {"Setpoint-Min-Position", "If-None-Match"} <= headers, name
            assert "304" in operation["responses"]
            assert {"ETag", "Setpoint-Position"} <= set(operation["responses"]["200"]["headers"])


def test_request_bodies_take_no_unknown_members() -> None:
    for name, (_, _, operation) in OPERATIONS.items():
        for schema in every(operation.get("requestBody", {}), "schema"):
            body = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            # AuthZEN wants members that nobody knows to be let pass.
            assert body.get("additionalProperties", True) is name.startswith("authzen"), name


def test_limits_are_those_of_the_configuration() -> None:
    limits = {"max_batch_operations": 7, "max_bulk_keys": 9, "max_evaluations": 8}
    made = document(HANDLERS, config=Config(database_url="postgresql:///none", **limits))

    assert made["components"]["schemas"]["EvaluationsRequest"]["properties"]["evaluations"]["maxItems"] == 8
    assert made["components"]["schemas"]["BatchBody"]["properties"]["operations"]["maxItems"] == 7
    [keys] = [
        one["schema"] for one in made["paths"]["/api/settings/effective"]["get"]["parameters"] if one["name"] == "keys"
    ]
    assert keys["maxItems"] == 9


def test_links_lead_to_operations_and_name_their_parameters() -> None:
    links = [link for one in every(DOCUMENT["paths"], "links") for link in one.values()]
    assert len(links) > 15
    for link in links:
        _, _, target = OPERATIONS[link["operationId"]]
        names = {one["name"] for one in target["parameters"]}
        assert {name.removeprefix("header.") for name in link["parameters"]} <= names


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_document_is_the_same_in_every_process(seed: str) -> None:
    """Whatever the order of sets: two workers must not serve two documents."""
    environment = {**os.environ, "PYTHONHASHSEED": seed}

    made = subprocess.run([sys.executable, "-c", MAKE], env=environment, capture_output=True, check=True).stdout

    assert made == msgspec.json.encode(document(HANDLERS, config=CONFIG))


@pytest.mark.anyio
async def test_the_document_is_served_to_everybody_as_it_is(api: Api, openapi: dict[str, Any]) -> None:
    response = await api.anonymous.get("/schema/openapi.json")

    assert response.headers["Content-Type"] == "application/json"
    assert openapi == DOCUMENT
    assert (await api.anonymous.head("/schema/openapi.json")).headers["Content-Length"] == str(len(response.content))
