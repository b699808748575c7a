"""`setpoint token` prints one JWT that says what was asked for, or says what is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jwt
import pytest

from app.cli.commands.token import ROLES
from app.cli.main import main
from tests.cli.conftest import ROOT

REPLIES = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def data_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SETPOINT_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def claims(capsys: REPLIES, *arguments: str) -> dict[str, Any]:
    assert main(["token", *arguments]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return jwt.decode(out.strip(), options={"verify_signature": False})


def test_the_roles_are_those_of_the_policy() -> None:
    policy = "".join(path.read_text("utf-8") for path in (ROOT / "policies").glob("*.polar"))
    named = set(re.findall(r'"(\w+)" in p\.roles', policy))
    for listed in re.findall(r"role in \[([^]]*)\]", policy):
        named |= set(re.findall(r'"(\w+)"', listed))

    assert set(ROLES) == named


def test_an_admin_of_a_tenant_is_trusted_with_everything_for_an_hour(capsys: REPLIES) -> None:
    found = claims(capsys, "--role", "admin", "--tenant", "acme")

    assert (found["sub"], found["tenant"], found["roles"]) == ("admin", "acme", ["admin"])
    assert (found["clearance"], found["kind"]) == ("secret", "user")
    assert found["exp"] - found["iat"] == 3600


def test_a_token_may_be_good_for_some_scopes_only(capsys: REPLIES) -> None:
    for_some = claims(capsys, "--role", "service", "--tenant", "acme", "--scope", "pdp:read,pdp:assert")
    for_all = claims(capsys, "--role", "service", "--tenant", "acme")

    assert for_some["scope"] == "pdp:assert pdp:read"
    assert "scope" not in for_all


def test_every_option_stands_in_the_token(capsys: REPLIES) -> None:
    found = claims(
        capsys,
        *("--role", "user,manager", "--tenant", "acme", "--territory", "DE,CH", "--account", "a,b"),
        *("--sub", "alice", "--clearance", "confidential", "--kind", "service", "--ttl", "5m"),
    )

    assert found["roles"] == ["manager", "user"]
    assert (found["territories"], found["accounts"]) == (["CH", "DE"], ["a", "b"])
    assert (found["sub"], found["clearance"], found["kind"]) == ("alice", "confidential", "service")
    assert found["exp"] - found["iat"] == 300


def test_a_service_is_a_service_and_trusted_with_what_is_internal(capsys: REPLIES) -> None:
    found = claims(capsys, "--role", "service", "--tenant", "acme")

    assert (found["kind"], found["clearance"]) == ("service", "internal")


def test_a_platform_admin_needs_no_tenant(capsys: REPLIES) -> None:
    found = claims(capsys, "--role", "platform_admin")

    assert "tenant" not in found
    assert found["clearance"] == "secret"


def test_the_key_is_made_once_and_that_is_said_once(data_path: Path, capsys: REPLIES) -> None:
    assert main(["token", "--role", "platform_admin"]) == 0
    assert str(data_path) in capsys.readouterr().err

    assert main(["token", "--role", "platform_admin"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--role", "boss"],
            "There is no role boss; there are platform_admin, admin, manager, user, auditor, service.",
        ),
        (["--role", "admin"], "name it with --tenant"),
        (["--role", "platform_admin,user"], "name it with --tenant"),
        (["--role", "admin", "--tenant", "a/b"], "A tenantId"),
        (["--role", "admin", "--tenant", "acme", "--sub", " x"], "printable characters"),
        (["--role", "admin", "--tenant", "acme", "--ttl", "4000d"], "--ttl is at most 3650d"),
        ([], "Missing option '--role'"),
    ],
)
def test_a_token_that_no_node_would_believe_is_a_usage_error(
    arguments: list[str], sentence: str, capsys: REPLIES
) -> None:
    assert main(["token", *arguments]) == 2

    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""


def test_a_key_that_is_none_is_said_in_one_sentence(data_path: Path, capsys: REPLIES) -> None:
    data_path.mkdir()
    (data_path / "development-key.pem").write_text("nothing")

    assert main(["token", "--role", "platform_admin"]) == 2
    assert "cannot be used" in capsys.readouterr().err
