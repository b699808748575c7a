"""The rules that docs/policies.md shows are rules, and the words it lists are all there are."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from app.access.polar import OUR_TYPES, load_policy
from app.config import Config
from app.domain.access import Circumstances, Principal
from tests.policies.tables import ROOT

DOCUMENT = (ROOT / "docs" / "policies.md").read_text("utf-8")


def test_the_rules_of_the_document_load_beside_the_shipped_ones(tmp_path: Path) -> None:
    blocks = re.findall(r"^```\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    rules = [block for block in blocks if "(p: Principal" in block or block.startswith("?= ")]
    assert len(rules) == 2
    (tmp_path / "documented.polar").write_text("\n".join(rules))

    assert load_policy(*Config().policies_paths, tmp_path).files[-1] == "documented.polar"


def test_every_class_action_and_attribute_is_in_a_table() -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("|")]
    for one in OUR_TYPES:
        [row] = [line for line in rows if re.match(rf"\| `{one.name}`", line)]
        for name in (*one.class_.__struct_fields__, *(action.value for action in one.actions)):  # type: ignore[attr-defined]  # of Structs and of our own types
            assert f"`{name}`" in row, (one.name, name)
    for class_ in (Principal, Circumstances):
        for field in msgspec.structs.fields(class_):
            assert [line for line in rows if re.match(rf"\| .*`{field.name}`.* \|", line)], field.name


def test_every_scope_of_a_credential_is_in_the_table() -> None:
    [source] = [path.read_text("utf-8") for path in Config().policies_paths[0].glob("scopes.polar")]

    named = set(re.findall(r'lacks\(p, "([a-z:]+)"\)', source))

    assert len(named) == 14
    assert named == {name for name in re.findall(r"`([a-z]+:[a-z]+)`", DOCUMENT) if name in named}


def test_every_shipped_role_has_a_row_in_both_tables() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in Config().policies_paths[0].glob("*.polar"))
    roles = set(re.findall(r'"(\w+)" in p\.roles', sources))
    for role in roles:
        assert len(re.findall(rf"^\| `{role}`|^\| .*, `{role}` \|", DOCUMENT, re.MULTILINE)) == 2, role
