"""`setpoint policy`: what a security officer does with rules before they decide."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli.main import main

SHIPPED = str(Path(__file__).parents[2] / "policies")
MONA = '{"id": "mona", "tenant": "acme", "roles": ["manager"], "territories": ["DE"]}'
IN_CH = '{"tenant": "acme", "level": "ACCOUNT", "scope_id": "a-1", "territory": "CH", "sensitivity": "internal"}'
REPLIES = pytest.CaptureFixture[str]


def asked(capsys: REPLIES, *arguments: str) -> tuple[int, str, str]:
    code = main(["policy", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_shipped_policy_can_be_used(capsys: REPLIES) -> None:
    code, out, _ = asked(capsys, "check", "-o", "json")

    found = json.loads(out)
    assert code == 0
    assert found["usable"] is True
    assert found["selfTestCases"] == 30 * found["rules"]


def test_what_cannot_be_used_is_told_with_file_line_and_reason(capsys: REPLIES, tmp_path: Path) -> None:
    (tmp_path / "mine.polar").write_text(
        'allow(p: Principal, "read", _s: Setting) if "x" in p.roles;\n'
        "# A comment; with a semicolon.\n"
        'allow(p: Principal, "read", s: Setting) if\n    p.tenantt = s.tenant;\n'
    )

    code, out, err = asked(capsys, "check", str(tmp_path))

    assert (code, out) == (1, "")
    assert "mine.polar:3: read on Setting: " in err
    assert "p.tenantt: there is no such attribute" in err
    code, out, _ = asked(capsys, "check", str(tmp_path), "-o", "json")
    assert (code, json.loads(out)["usable"]) == (1, False)


def test_a_refusal_is_explained_by_what_it_lacks(capsys: REPLIES) -> None:
    question = ("explain", "write", "Setting", SHIPPED, "--principal", MONA, "--resource", IN_CH)

    code, out, err = asked(capsys, *question, "-o", "json")
    assert code == 4
    assert json.loads(out)["decision"] is False
    assert "Not allowed: it lacks p.id == r.owner" in err

    code, out, err = asked(capsys, *question, "--reason", "the office burns")
    assert code == 0
    assert "c.override_reason != nil" in err
    assert out.startswith("Rule")


def test_scopes_of_a_credential_count(capsys: REPLIES) -> None:
    admin = '{"id": "ada", "tenant": "acme", "roles": ["admin"], "scopes": ["settings:read"]}'

    code, _, err = asked(capsys, "explain", "write", "Setting", "--principal", admin, "--resource", IN_CH)

    assert code == 4
    assert "Forbidden: 'settings:write' not in p.scopes" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("write", "Nothing", "--principal", MONA), "Nothing is none of Setting, "),
        (("erase", "Setting", "--principal", MONA), "Setting knows resolve, read, write"),
        (("write", "Setting", "--principal", "{"), "--principal: "),
        (("write", "Setting", "--principal", "[]"), "a JSON object is wanted"),
        (("write", "Setting", "--principal", '{"idd": "x"}'), "there is no idd"),
        (("write", "Setting", "--principal", MONA, "--resource", '{"sensitivity": "odd"}'), "--resource: "),
        (("write", "Setting", "--principal", MONA, "--resource", IN_CH, "--at", "noon"), "--at: "),
    ],
)
def test_a_question_that_is_none_is_told_what_is_wrong(capsys: REPLIES, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = asked(capsys, "explain", *arguments)

    assert code == 2
    assert said in err
