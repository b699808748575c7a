"""The file of issuers: read strictly, and what is wrong with it said in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.access.claims import ClaimNames
from app.access.issuers import IssuerEntry, issuer_entries
from app.config import Config, ConfigError

ENTRY: dict[str, Any] = {"issuer": "https://a.test", "audience": "setpoint", "jwks": "https://a.test/jwks"}


def read(tmp_path: Path, content: Any, *, name: str = "issuers.json", **config: Any) -> tuple[IssuerEntry, ...]:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return issuer_entries(Config(issuers=str(path), **config))


def refusal(tmp_path: Path, content: Any, **more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, content, **more)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert sentence.startswith("SETPOINT_ISSUERS")
    return sentence


def test_an_issuer_says_little_or_much(tmp_path: Path) -> None:
    full = ENTRY | {
        "issuer": "https://b.test",
        "algorithms": ["Ed25519", "RS256"],
        "typ": "at+jwt",
        "claims": {"tenant": "org_id", "roles": "/realm_access/roles"},
        "tenants": ["acme"],
        "roles": ["admin", "user"],
    }

    little, much = read(tmp_path, [ENTRY, full])

    assert (little.tenants, little.roles, little.typ, little.claims) == (None, None, None, ClaimNames())
    assert much.claims == ClaimNames(tenant="org_id", roles="/realm_access/roles")
    assert (much.tenants, much.roles, much.typ) == (("acme",), ("admin", "user"), "at+jwt")


def test_the_file_may_be_yaml_and_stands_beside_the_short_form(tmp_path: Path) -> None:
    text = "- issuer: https://a.test\n  audience: setpoint\n  jwks: keys.json\n"

    found = read(
        tmp_path, text, name="issuers.yaml", jwt_issuer="https://b.test", jwt_audience="x", jwks="https://b.test/jwks"
    )

    assert [one.issuer for one in found] == ["https://b.test", "https://a.test"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ({}, "array"),
        ([], "length >= 1"),
        ([{"issuer": "x"}], "$[0]"),
        ([ENTRY | {"tenant": ["acme"]}], "tenant"),
        ([ENTRY | {"claims": {"sub": "email"}}], "$[0].claims"),
        ([ENTRY | {"algorithms": ["HS256"]}], "$[0].algorithms"),
        ([ENTRY | {"algorithms": []}], "$[0].algorithms"),
        ([ENTRY | {"tenants": []}], "$[0].tenants"),
        ([ENTRY | {"tenants": ["a/b"]}], "$[0].tenants"),
        ([ENTRY | {"tenants": "acme"}], "$[0].tenants"),
        ([ENTRY | {"audience": ""}], "$[0].audience"),
        ([ENTRY, ENTRY], "named twice"),
        ([ENTRY | {"issuer": "setpoint-local"}], "named twice"),
        ([ENTRY | {"jwks": "http://a.test/jwks"}], "$[0].jwks"),
        ([ENTRY, ENTRY | {"issuer": "b", "jwks": "https:///jwks"}], "$[1].jwks"),
        ([ENTRY | {"tenants": ["acme"], "roles": ["platform_admin"]}], "$[0].roles"),
        ('[{"issuer": "a", "issuer": "b", "audience": "c", "jwks": "d"}]', "twice"),
        ("[" * 100_000, "deep"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, content: Any, said: str) -> None:
    sentence = refusal(tmp_path, content)

    assert said in sentence
    assert "issuers.json" in sentence or said == "named twice"


@pytest.mark.parametrize(
    "text",
    [
        "- issuer: a\n  issuer: b\n  audience: c\n  jwks: d\n",
        "- !!python/object/apply:os.system [true]\n",
        "- issuer: [\n",
        "- issuer: 2026-01-01\n  audience: c\n  jwks: d\n",
        "x: *nobody\n",
        "? [a, b]\n: c\n",
    ],
)
def test_yaml_is_read_as_strictly(tmp_path: Path, text: str) -> None:
    assert "issuers.yaml" in refusal(tmp_path, text, name="issuers.yaml")


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigError, match=r"SETPOINT_ISSUERS \(.*nowhere\.json\) cannot be used: .*No such file"):
        issuer_entries(Config(issuers="nowhere.json"))


def test_the_short_form_takes_no_keys_over_plain_http() -> None:
    with pytest.raises(ConfigError, match="SETPOINT_JWKS cannot be used"):
        issuer_entries(Config(jwt_issuer="a", jwt_audience="b", jwks="http://a.test/jwks"))
    for source in ("http://127.0.0.1:1/jwks", "http://localhost/jwks", "http://[::1]:9/jwks", "keys.json"):
        assert issuer_entries(Config(jwt_issuer="a", jwt_audience="b", jwks=source))[0].jwks == source
