"""Definitions, scopes and tenants through the command line and a real node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.cli import demo
from tests.cli.conftest import Setpoint

HELP = demo.DATA / "freshplan-help-settings.json"
BOTH = [str(path) for path in sorted(demo.DATA.glob("*.json"))]


def definition(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "schema": {"type": "integer"}, "default": 1, "levels": ["GLOBAL", "TENANT"], **more}


def test_an_import_shows_what_it_would_change_changes_it_and_then_nothing_more(
    setpoint: Setpoint, tmp_path: Path
) -> None:
    document = json.loads(HELP.read_bytes())
    top_n = next(entry for entry in document["keys"] if entry["key"] == "help.suggest.topN")
    top_n["defaultValue"] = 5
    document["keys"].append({**top_n, "key": "help.suggest.bottomN"})
    (tmp_path / "changed.json").write_text(json.dumps(document))

    judged = setpoint("definitions", "import", "changed.json", "--dry-run")
    assert (judged.code, judged.err) == (0, "Would be 1 new, 1 changed, 9 unchanged.\n")
    assert judged.out.splitlines() == [
        "~ help.suggest.topN",
        "    default: 3 -> 5",
        "+ help.suggest.bottomN",
        "= 9 unchanged",
    ]
    assert setpoint("definitions", "get", "help.suggest.bottomN").code == 4

    done = setpoint("definitions", "import", "changed.json")
    assert (done.code, done.out) == (0, judged.out)
    assert "Changed help.suggest.topN.\nDefined help.suggest.bottomN.\n" in done.err

    again = setpoint("definitions", "import", "changed.json", "-o", "json")
    assert {one["change"] for one in again.json} == {"unchanged"}

    assert setpoint("definitions", "import", str(HELP)).out.splitlines()[-1] == "= 9 unchanged"
    assert setpoint("definitions", "import", *BOTH).out == "= 18 unchanged\n"
    assert setpoint("definitions", "delete", "help.suggest.bottomN").code == 0


def test_an_import_that_would_break_a_value_names_it_and_changes_nothing(setpoint: Setpoint, tmp_path: Path) -> None:
    document = json.loads((demo.DATA / "freshplan-settings.json").read_bytes())
    theme = next(entry for entry in document["keys"] if entry["key"] == "ui.theme")
    theme["jsonSchema"] = {"type": "string", "enum": ["light"]}
    document["keys"].append({**theme, "key": "ui.other"})
    (tmp_path / "bad.json").write_text(json.dumps(document))

    judged = setpoint("definitions", "import", "bad.json", "--dry-run")
    refused = setpoint("definitions", "import", "bad.json", "-o", "json")

    assert (judged.code, refused.code) == (1, 4)
    assert "! ui.theme: A schema or rule refuses this." in judged.out
    assert 'TENANT/acme #/value: "dark" is not' in judged.out
    assert "Nothing was changed." in refused.err
    [problem] = [one["refused"] for one in refused.json if "refused" in one]
    assert "TENANT/acme" in {error["scope"] for error in problem["errors"]}
    assert setpoint("definitions", "get", "ui.other").code == 4


def test_a_definition_that_contradicts_itself_is_refused_with_the_reason(setpoint: Setpoint, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(json.dumps([definition("bad.default", default="x"), definition("Bad key")]))

    ran = setpoint("definitions", "import", "bad.json", "--dry-run")

    assert ran.code == 1
    assert "! bad.default" in ran.out
    assert "#/default" in ran.out
    assert "! Bad key" in ran.out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "Expected a list of definitions"),
        ('[{"title": "no key"}]', "Entry 0 cannot be understood"),
        (json.dumps([definition("a"), definition("a")]), "a is defined 2 times"),
    ],
)
def test_a_file_without_definitions_is_a_usage_error(
    setpoint: Setpoint, tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "file.json").write_text(text)

    ran = setpoint("definitions", "import", "file.json")

    assert ran.code == 2
    assert sentence in ran.err


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_what_is_exported_is_imported_without_a_change(setpoint: Setpoint, output: str) -> None:
    exported = setpoint("definitions", "export", "-o", output).out

    ran = setpoint("definitions", "import", "-", "--dry-run", "-o", "json", stdin=exported)

    assert {one["change"] for one in ran.json} == {"unchanged"}
    assert len(ran.json) >= 18


def test_a_definition_is_made_changed_and_removed(setpoint: Setpoint, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("schema: {type: integer}\ndefault: 1\nlevels: [TENANT]\n")

    judged = setpoint("definitions", "put", "cli.one", "one.yaml", "--dry-run")
    made = setpoint("definitions", "put", "cli.one", "one.yaml", "-o", "json")
    (tmp_path / "one.yaml").write_text("schema: {type: integer}\ndefault: 2\nlevels: [TENANT]\n")
    changed = setpoint("definitions", "put", "cli.one", "one.yaml", "-o", "json")

    assert (judged.code, judged.err) == (0, "Would define cli.one, version 1.\n")
    assert (made.json["version"], changed.json["version"], changed.json["default"]) == (1, 2, 2)
    assert setpoint("definitions", "put", "cli.one", "one.yaml", "--if-match", made.json["etag"]).code == 5
    assert setpoint("definitions", "put", "cli.one", "one.yaml", "--if-absent").code == 5
    assert setpoint("definitions", "list", "--prefix", "cli.").out.splitlines()[1].split()[:2] == ["cli.one", "2"]
    assert setpoint("definitions", "delete", "cli.one").code == 0
    assert setpoint("definitions", "list", "--prefix", "cli.").err == "No definition that you may see.\n"


def test_a_file_for_another_key_is_a_usage_error(setpoint: Setpoint, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(definition("a")))

    assert setpoint("definitions", "put", "b", "one.json").code == 2


def test_a_definition_in_use_is_not_removed(setpoint: Setpoint) -> None:
    ran = setpoint("definitions", "delete", "ui.theme")

    assert ran.code == 5
    assert "values are set for this key" in ran.err


def test_what_is_known_of_a_scope_changes_only_where_it_is_named(setpoint: Setpoint) -> None:
    at = ("ACCOUNT/cli-1", "--tenant", "acme")

    made = setpoint("scopes", "put", *at, "--territory", "DE", "--owner", "alice", "-o", "json").json
    changed = setpoint("scopes", "put", *at, "--owner", "", "--attributes", '{"size": 3}', "-o", "json").json

    assert (made["territory"], made["owner"], made["version"]) == ("DE", "alice", 1)
    assert (changed["territory"], changed["owner"], changed["attributes"]) == ("DE", None, {"size": 3})
    assert setpoint("scopes", "put", *at, "--if-match", made["etag"]).code == 5
    assert setpoint("scopes", "get", *at, "-o", "json").json == changed
    assert "ACCOUNT/cli-1" in setpoint("scopes", "list", "--tenant", "acme", "--level", "account").out
    assert setpoint("scopes", "delete", *at).code == 0
    assert setpoint("scopes", "get", *at).code == 4
    assert setpoint("scopes", "get", "GLOBAL").code == 2


def test_a_tenant_is_made_renamed_and_removed(setpoint: Setpoint) -> None:
    made = setpoint("tenants", "put", "initech", "-o", "json").json
    renamed = setpoint("tenants", "put", "initech", "--name", "Initech", "-o", "json").json

    assert (made["name"], renamed["name"], renamed["version"]) == ("initech", "Initech", 2)
    assert "Initech" in setpoint("tenants", "list").out
    assert setpoint("tenants", "delete", "initech", "--if-match", made["etag"]).code == 5
    assert setpoint("tenants", "delete", "initech").code == 0
    assert setpoint("tenants", "delete", "initech").code == 4
    assert setpoint("tenants", "delete", "acme").code == 5
