"""
The OpenAPI document, made of what the handlers themselves are: their Structs, paths and `Operation`s.

Litestar can generate one, but not the one we need: it leaves out `additionalProperties: false`, problem bodies, HEAD
and conditional answers, and turns unions into ambiguous `oneOf`s (docs/decisions/0005-our-own-openapi-document.md).
msgspec knows the JSON Schema of its Structs, so what is left to do here is little. Links between operations are
written by hand (openapi_links.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast, get_type_hints

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from app.config import Config
from app.domain.definition import KEY_PATTERN, MAX_KEY_CHARACTERS
from app.domain.scope import MAX_ID_CHARACTERS, SCOPE_ID_PATTERN, TENANT_ID_PATTERN, Level
from app.kit.http import JSON, Operation
from app.kit.openapi_links import links_of
from app.kit.problems import MEDIA_TYPE, STATUS_OF, Problem

PATH = "/schema/openapi.json"

_CREATED = 201
_REF = "#/components/schemas/{name}"

_PATH_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "setting_id": ("The id of a value.", {"type": "string", "format": "uuid"}),
    "key": (
        "The key of a setting.",
        {"type": "string", "pattern": KEY_PATTERN, "minLength": 1, "maxLength": MAX_KEY_CHARACTERS},
    ),
    "level": ("A level below GLOBAL.", {"type": "string", "enum": [level.value for level in list(Level)[1:]]}),
    "scope_id": (
        "Whose scope.",
        {"type": "string", "pattern": SCOPE_ID_PATTERN, "minLength": 1, "maxLength": MAX_ID_CHARACTERS},
    ),
    "key_id": ("The id of an API key.", {"type": "string", "pattern": "^[0-9A-Za-z]{10}$"}),
    "revocation_id": ("The id of a revocation.", {"type": "string", "format": "uuid"}),
    "tenant_id": (
        "The id of a tenant.",
        {"type": "string", "pattern": TENANT_ID_PATTERN, "minLength": 1, "maxLength": MAX_ID_CHARACTERS},
    ),
}
_TEXT = {"type": "string"}
# Parts of our patterns that only Python needs: its `$` lets a line feed pass, and its texts may hold surrogates.
_PYTHON_ONLY = (r"(?!\n)", r"\ud800-\udfff")
_TAG = r'(W/)?"[!#-~]*"'
# What the header means on a GET; on a PUT it is in the table below.
_IF_NONE_MATCH = ("Entity tags that the caller has; 304 when one of them is current.", _TEXT)
_HEADERS_IN: dict[str, tuple[str, dict[str, Any]]] = {
    "If-Match": (
        'The entity tag that a change is based on, in quotes, or "*".',
        {"type": "string", "pattern": rf"^(\*|{_TAG}( *, *{_TAG})*)$", "examples": ['"v42"', "*"]},
    ),
    "If-None-Match": ("`*`, to create what is not there.", {"type": "string", "const": "*"}),
    "Idempotency-Key": (
        "Makes a retry answer as the first time.",
        {"type": "string", "minLength": 1, "maxLength": 255},
    ),
    "Setpoint-Override-Reason": (
        "Why you reach into another territory, if your role may; the audit keeps it.",
        {"type": "string", "minLength": 1, "maxLength": 500, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"},
    ),
    "Setpoint-Server-Timing": ("1 tells operators, in Server-Timing, which tier answered.", _TEXT),
    "Setpoint-Min-Position": (
        "Answer from this position or a later one, or not at all.",
        {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    ),
}
_HEADERS_OUT: dict[str, tuple[str, dict[str, Any]]] = {
    "ETag": ("The entity tag of this answer.", _TEXT),
    "Setpoint-Position": ("Where the registry stood.", {"type": "string", "pattern": "^[0-9]+$"}),
    "Location": ("Where the new thing is.", _TEXT),
    "Link": ("The next page, if there is one (RFC 8288).", _TEXT),
    "Idempotency-Replayed": ("Present and `true` when this is the answer of an earlier request.", _TEXT),
    "Retry-After": ("How many seconds to wait.", {"type": "string", "pattern": "^[0-9]+$"}),
    "RateLimit-Policy": ("How many requests you may have at once, and in how many seconds they come again.", _TEXT),
    "RateLimit": ("How many of them are left, and in how many seconds all are there again.", _TEXT),
}
_LIMITS = ("RateLimit-Policy", "RateLimit")
_PROBLEM_HEADERS = {429: ("Retry-After", *_LIMITS), 503: ("Retry-After",)}

_OVERRIDABLE = ("Settings", "Effective values")  # what managers may reach in other territories, with a reason


def handler(handlers: Iterable[HTTPRouteHandler], *, config: Config) -> HTTPRouteHandler:
    """The route that serves the document of these handlers."""
    body = msgspec.json.encode(document(handlers, config=config))

    @get(PATH, sync_to_thread=False)
    def openapi() -> Response[bytes]:
        return Response(body, media_type=JSON, headers={"cache-control": "public, max-age=60"})

    return openapi


def document(handlers: Iterable[HTTPRouteHandler], *, config: Config) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these handlers, with the limits of this configuration."""
    documented = [(one, cast(Operation, one.opt["operation"])) for one in handlers]
    types: list[Any] = [Problem]
    types += [operation.answer for _, operation in documented if operation.answer is not None]
    types += [body for one, _ in documented if (body := _body_type(one)) is not None]
    _, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for one, operation in documented:
        method = next(iter(one.http_methods)).lower()
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", next(iter(one.paths)))
        paths.setdefault(path, {})[method] = _operation(one, operation, path, config=config)
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "Setpoint",
            "version": "0.1.0",
            "description": "A hierarchical, multi-tenant settings registry. Every error is an RFC 9457 problem.",
        },
        "paths": paths,
        "components": {
            "schemas": _with_limits(schemas, config),
            "responses": _problem_responses(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        "security": [{"bearer": []}],
    }
    return cast(dict[str, Any], _with_standard_patterns(described))


def _operation(one: HTTPRouteHandler, operation: Operation, path: str, *, config: Config) -> dict[str, Any]:
    body = _body_type(one)
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": _description(one),
        "tags": [operation.tag],
        "parameters": [
            *_path_parameters(path),
            *_query_parameters(operation.query, config),
            *_header_parameters(operation),
        ],
        "responses": _responses(operation, has_body=body is not None, writes=_writes(one, operation)),
    }
    if body is not None:
        described["requestBody"] = {"required": True, "content": {operation.media_type: {"schema": _schema(body)}}}
    return described | ({"security": []} if operation.open else {})


def _writes(one: HTTPRouteHandler, operation: Operation) -> bool:
    return not (one.http_methods <= {"GET", "HEAD", "OPTIONS"} or operation.reads)


def _responses(operation: Operation, *, has_body: bool, writes: bool) -> dict[str, Any]:
    success: dict[str, Any] = {"description": operation.summary + ".", "headers": _answer_headers(operation)}
    if writes:
        success["headers"] |= {name: _header(name) for name in _LIMITS}
    if operation.answer is not None:
        success["content"] = {JSON: {"schema": _schema(operation.answer)}}
    links = links_of(operation.id)
    if links:
        success["links"] = links
    responses = {str(operation.status): success}
    if operation.id.startswith("put"):
        responses["201"] = {**success, "headers": {**success["headers"], "Location": _header("Location")}}
    if operation.conditional:
        responses["304"] = {"description": "The caller has it already.", "headers": _answer_headers(operation)}
    for status in sorted({*operation.errors, *_common_errors(operation, has_body=has_body)}):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return responses


def _common_errors(operation: Operation, *, has_body: bool) -> set[int]:
    errors = {400, 406, 413}  # a wrong query or header, too much of it, or an answer in another type, on any call
    if has_body:
        errors |= {408, 415} if operation.tells_media_type else {408}
    if not operation.open:
        errors |= {401, 429, 503}
    return errors


def _answer_headers(operation: Operation) -> dict[str, Any]:
    names = list(operation.answer_headers)
    if operation.tag not in ("Operations", "Security"):
        names.append("Setpoint-Position")
    if operation.conditional or operation.id.startswith(("put", "create", "replace", "patch")):
        names.append("ETag")
    if operation.id.startswith("list") or operation.id.endswith("History"):
        names.append("Link")
    if operation.status == _CREATED:
        names.append("Location")
    return {name: _header(name) for name in names}


def _header(name: str) -> dict[str, Any]:
    description, schema = _HEADERS_OUT[name]
    required = name in ("Setpoint-Position", "Retry-After")  # a dry run has no ETag, and a limit may be off
    return {"description": description, "schema": schema, "required": required}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    parameters = []
    for name in re.findall(r"\{(\w+)\}", path):
        description, schema = _PATH_PARAMETERS[name]
        parameters.append({"name": name, "in": "path", "required": True, "description": description, "schema": schema})
    return parameters


def _query_parameters(query: type[msgspec.Struct] | None, config: Config) -> list[dict[str, Any]]:
    if query is None:
        return []
    (_,), schemas = msgspec.json.schema_components([query], ref_template=_REF)
    schema = schemas[query.__name__]
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": _inlined(_without_null(member), schemas) | _limits(name, config),
            **({"style": "form", "explode": False} if "items" in _without_null(member) else {}),
        }
        for name, member in schema["properties"].items()
    ]


def _header_parameters(operation: Operation) -> list[dict[str, Any]]:
    headers = {name: _HEADERS_IN[name] for name in operation.headers}
    if operation.tag in _OVERRIDABLE:
        headers["Setpoint-Override-Reason"] = _HEADERS_IN["Setpoint-Override-Reason"]
    if operation.conditional:
        headers["If-None-Match"] = _IF_NONE_MATCH
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": description,
            "schema": schema,
        }
        for name, (description, schema) in headers.items()
    ]


def _problem_responses() -> dict[str, Any]:
    titles: dict[int, str] = {}
    for error, status in STATUS_OF.items():
        titles.setdefault(status, (error.__doc__ or "").strip())
    schema = {"$ref": _REF.format(name="Problem")}
    return {
        str(status): {
            "description": title,
            "content": {MEDIA_TYPE: {"schema": schema}},
            **_problem_headers(status),
        }
        for status, title in titles.items()
    }


def _problem_headers(status: int) -> dict[str, Any]:
    names = _PROBLEM_HEADERS.get(status, ())
    return {"headers": {name: _header(name) for name in names}} if names else {}


def _body_type(one: HTTPRouteHandler) -> Any:
    return get_type_hints(one.fn).get("data")  # without the mark that app.kit.http.api puts on it


def _description(one: HTTPRouteHandler) -> str:
    return " ".join((one.fn.__doc__ or "").split())


def _schema(type_: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([type_], ref_template=_REF)
    return dict(schema)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter that is given: absence is said by leaving it out, not by null."""
    options = schema.get("anyOf")
    if options is None:
        return {name: value for name, value in schema.items() if name != "default" or value is not None}
    return next(option for option in options if option != {"type": "null"})


def _inlined(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    return dict(schemas[reference.rpartition("/")[2]])


def _with_standard_patterns(part: Any) -> Any:
    """Patterns as JSON Schema reads them; tools that do not understand one leave it out silently."""
    if isinstance(part, dict):
        return {
            name: _standard(member)
            if name == "pattern" and isinstance(member, str)
            else _with_standard_patterns(member)
            for name, member in part.items()
        }
    if isinstance(part, list | tuple):
        return [_with_standard_patterns(member) for member in part]
    return part


def _standard(pattern: Any) -> Any:
    if not isinstance(pattern, str):  # the schema of a member that happens to be called so
        return _with_standard_patterns(pattern)
    for piece in _PYTHON_ONLY:
        pattern = pattern.replace(piece, "")
    return pattern


def _limits(parameter: str, config: Config) -> dict[str, Any]:
    return {"maxItems": config.max_bulk_keys} if parameter == "keys" else {}


def _with_limits(schemas: dict[str, Any], config: Config) -> dict[str, Any]:
    schemas["BatchBody"]["properties"]["operations"]["maxItems"] = config.max_batch_operations
    schemas["EvaluationsRequest"]["properties"]["evaluations"]["maxItems"] = config.max_evaluations
    return schemas
