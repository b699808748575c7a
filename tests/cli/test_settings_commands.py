"""Settings through the command line and a real node: what is set is read, and every no has its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Setpoint

ACME = ("--tenant", "acme")


def token(setpoint: Setpoint, *arguments: str) -> str:
    return setpoint("token", *arguments).out.strip()


def test_the_value_that_holds_is_printed_bare(setpoint: Setpoint) -> None:
    assert setpoint("get", "currency", *ACME, "--territory", "CH").out == '"CHF"\n'
    assert setpoint("get", "currency", *ACME).out == '"EUR"\n'


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_the_whole_answer_is_printed_for_programs(setpoint: Setpoint, output: str, read: Any) -> None:
    found = read(setpoint("get", "currency", *ACME, "--territory", "CH", "-o", output).out)

    assert (found["value"], found["scope"], found["scopeId"]) == ("CHF", "TERRITORY", "CH")


def test_every_part_of_a_context_has_its_option(setpoint: Setpoint) -> None:
    explained = setpoint(
        *("explain", "notifications.channels", *ACME, "--territory", "DE", "--account", "hotel-adler"),
        *("--contact-role", "BUYER", "--contact", "frau-kern", "--user", "alice", "-o", "json"),
    ).json

    assert [f"{link['scope']}/{link['scopeId']}" for link in explained["chain"][2:]] == [
        "TENANT/acme",
        "TERRITORY/DE",
        "ACCOUNT/hotel-adler",
        "CONTACT_ROLE/BUYER",
        "CONTACT/frau-kern",
        "USER/alice",
    ]


def test_an_explanation_shows_the_chain(setpoint: Setpoint) -> None:
    lines = setpoint("explain", "currency", *ACME, "--territory", "CH").out.splitlines()

    assert lines[0] == 'currency = "CHF"'
    assert [line.split()[:3] for line in lines[2:]] == [
        ["Scope", "State", "Value"],
        ["DEFAULT", "skipped", '"EUR"'],
        ["GLOBAL", "unset"],
        ["TENANT/acme", "unset"],
        ["TERRITORY/CH", "won", '"CHF"'],
    ]


def test_everything_that_holds_is_listed_with_where_it_is_from(setpoint: Setpoint) -> None:
    ran = setpoint("effective", *ACME, "--territory", "CH", "--keys", "currency,locale")

    assert [line.split() for line in ran.out.splitlines()] == [
        ["Key", "Value", "From"],
        ["currency", '"CHF"', "TERRITORY/CH"],
        ["locale", '"de-CH"', "TERRITORY/CH"],
    ]
    some = setpoint("effective", *ACME, "--prefix", "help.nudge.", "-o", "json").json["values"]
    assert len(some) == 8


def test_a_value_is_set_changed_listed_and_unset_again(setpoint: Setpoint) -> None:
    at = ("--scope", "USER/dora", *ACME)

    made = setpoint("set", "ui.theme", "dark", *at, "--metadata", '{"why": "eyes"}', "-o", "json")
    changed = setpoint("set", "ui.theme", '"light"', *at, "-o", "json")
    listed = setpoint("list", *at, "-o", "json").json
    unset = setpoint("unset", "ui.theme", *at)

    assert (made.code, made.json["version"], made.json["value"]) == (0, 1, "dark")
    assert made.err == "Set ui.theme at USER/dora.\n"
    assert (changed.json["version"], changed.json["metadata"]) == (2, {"why": "eyes"})
    assert changed.err == "Changed ui.theme at USER/dora.\n"
    assert [(one["key"], one["value"]) for one in listed] == [("ui.theme", "light")]
    assert (unset.code, unset.out, unset.err) == (0, "", "Unset ui.theme at USER/dora.\n")
    assert setpoint("list", *at).err == "Nothing is set at USER/dora.\n"
    versions = setpoint("history", "--id", made.json["id"]).out.splitlines()
    assert [line.split()[:2] for line in versions[1:]] == [["3", "unset"], ["2", "set"], ["1", "set"]]


def test_values_that_are_false_to_python_are_values(setpoint: Setpoint) -> None:
    at = ("--scope", "USER/eve", *ACME)

    assert setpoint("set", "help.nudge.enabled", "false", *at).code == 0
    assert setpoint("get", "help.nudge.enabled", *ACME, "--user", "eve").out == "false\n"


def test_a_value_is_read_from_stdin(setpoint: Setpoint) -> None:
    ran = setpoint("set", "ui.theme", "-", "--scope", "USER/finn", *ACME, "-o", "json", stdin="dark\n")

    assert ran.json["value"] == "dark"


def test_history_is_found_by_key_and_scope(setpoint: Setpoint) -> None:
    found = setpoint("history", "currency", "--scope", "TERRITORY/CH", *ACME, "-o", "json").json

    assert [(one["version"], one["operation"], one["value"]) for one in found] == [(1, "set", "CHF")]


def test_a_negative_number_is_a_value(setpoint: Setpoint) -> None:
    ran = setpoint("set", "help.suggest.topN", "-1", "--scope", "TENANT", *ACME)

    assert ran.code == 4
    assert "-1 is less than the minimum of 1" in ran.err


def test_of_two_who_saw_the_same_value_one_is_told_of_the_conflict(setpoint: Setpoint) -> None:
    at = ("--scope", "USER/gus", *ACME)
    seen = setpoint("set", "ui.theme", "dark", *at, "-o", "json").json["etag"]

    first = setpoint("set", "ui.theme", "light", *at, "--if-match", seen, "-o", "json")
    second = setpoint("set", "ui.theme", "light", *at, "--if-match", seen)
    removed = setpoint("unset", "ui.theme", *at, "--if-match", seen.strip('"'))

    assert first.code == 0
    assert (second.code, removed.code) == (5, 5)
    assert f"It has the tag {first.json['etag']} now." in second.err
    assert setpoint("set", "ui.theme", "dark", *at, "--if-match", first.json["etag"].strip('"')).code == 0
    assert setpoint("set", "ui.theme", "dark", *at, "--if-absent").code == 5
    assert setpoint("set", "ui.theme", "dark", "--scope", "USER/nobody", *ACME, "--if-match", "v1").code == 5


@pytest.mark.parametrize(
    ("code", "arguments", "sentence"),
    [
        (4, ("get", "not.defined", *ACME), "There is no such thing here"),
        (4, ("set", "ui.theme", "blue", "--scope", "USER/x", *ACME), '#/value: "blue" is not one of'),
        (4, ("set", "currency", "EUR", "--scope", "USER/x", *ACME), "#/scope: currency may be set at"),
        (4, ("get", "ui.theme", "--territory", "DE"), "name its tenantId"),
        (4, ("unset", "ui.theme", "--scope", "USER/nobody", *ACME), "There is no such thing here"),
        (2, ("get",), "Missing argument 'KEY'"),
        (2, ("get", "ui.theme", "--nope"), "No such option '--nope'"),
        (2, ("set", "--nope", "ui.theme", "dark", "--scope", "GLOBAL"), "No such option '--nope'"),
        (2, ("set", "ui.theme", '{"a":', "--scope", "GLOBAL"), "The value is not JSON"),
        (2, ("list", "--scope", "PLANET/x"), "'PLANET' is no level"),
        (2, ("effective", "--keys", "a", "--prefix", "b"), "not both"),
        (2, ("history", "ui.theme"), "Name a KEY and its --scope, or an --id"),
        (2, ("set", "a", "1", "--scope", "GLOBAL", "--if-match", "v1", "--if-absent"), "not both"),
        (2, ("get", "ui.theme", "--token-file", "/not/there"), "cannot be read"),
    ],
    ids=lambda part: " ".join(part[:3]) if isinstance(part, tuple) else None,
)
def test_every_no_has_its_exit_code_and_leaves_stdout_empty(
    setpoint: Setpoint, code: int, arguments: tuple[str, ...], sentence: str
) -> None:
    ran = setpoint(*arguments)

    assert (ran.code, ran.out) == (code, "")
    assert sentence in ran.err
    assert "Traceback" not in ran.err


def test_a_token_decides_who_you_are(setpoint: Setpoint, tmp_path: Path) -> None:
    alice = token(setpoint, *("--role", "user", *ACME, "--territory", "DE", "--sub", "alice"))
    (tmp_path / "token").write_text(alice + "\n")

    assert setpoint("whoami", "-o", "json", SETPOINT_TOKEN=alice).json["id"] == "alice"
    assert setpoint("whoami", "--token-file", "token", "-o", "json").json["territories"] == ["DE"]
    assert "platform_admin" in setpoint("whoami").out
    assert setpoint("set", "ui.theme", "dark", "--scope", "TENANT", SETPOINT_TOKEN=alice).code == 4
    assert setpoint("set", "ui.theme", "dark", "--scope", "USER/alice", SETPOINT_TOKEN=alice).code == 0


def test_without_any_credential_it_is_said_how_to_get_one(setpoint: Setpoint, tmp_path: Path) -> None:
    ran = setpoint("get", "ui.theme", SETPOINT_DATA_DIR=str(tmp_path / "elsewhere"))

    assert ran.code == 4
    assert "export SETPOINT_TOKEN=$(setpoint token --role admin --tenant acme)" in ran.err


def test_a_batch_is_done_whole_or_not_at_all(setpoint: Setpoint, tmp_path: Path) -> None:
    operations = [
        {"op": "set", "scope": "USER", "scopeId": who, "tenantId": "acme", "key": "ui.theme", "value": "dark"}
        for who in ("hans", "ina")
    ]
    (tmp_path / "good.json").write_text(json.dumps(operations))
    (tmp_path / "bad.yaml").write_text(
        yaml.safe_dump({"operations": [*operations, operations[0] | {"scopeId": "jan", "value": 1}]})
    )

    bad = setpoint("batch", "bad.yaml")
    judged = setpoint("batch", "good.json", "--dry-run")
    done = setpoint("batch", "good.json", "--idempotency-key", "once", "-o", "json")
    again = setpoint("batch", "good.json", "--idempotency-key", "once")
    conflict = setpoint("batch", "-", stdin=json.dumps(operations))

    assert bad.code == 4
    assert "#/operations/2/value: " in bad.err
    assert judged.err == "Would do 2 operations; nothing was changed.\n"
    assert [one["index"] for one in done.json["results"]] == [0, 1]
    assert (again.code, again.err) == (0, "Had been done before: 2 operations.\n")
    assert conflict.code == 5


@pytest.mark.parametrize("text", ["[", "just words: [", '{"operations": [], "operations": []}'])
def test_a_file_that_cannot_be_understood_is_a_usage_error(setpoint: Setpoint, tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)

    ran = setpoint("batch", "file")

    assert ran.code == 2
    assert "file cannot be understood" in ran.err


def test_lists_are_followed_to_their_end(setpoint: Setpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.cli import client as module

    admin = token(setpoint, "--role", "platform_admin")
    url = setpoint("doctor", "-o", "json").json[-1]["detail"].split()[0]
    monkeypatch.setattr(module, "PAGE", 5)
    client = module.Client(url, timeout=10, find_token=lambda host: admin)

    keys = [one["key"] for one in client.items("/api/definitions", {"prefix": "help."})]
    client.close()

    assert len(keys) >= 10
    assert keys == sorted(keys)
