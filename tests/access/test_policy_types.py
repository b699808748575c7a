"""Types of resources that policy files declare: read strictly, and then like those of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.access.gate import Gate
from app.access.polar import load_policy
from app.access.policy import Policy, PolicyError
from app.access.policy_files import fingerprint
from app.access.policy_keeper import PolicyKeeper
from app.access.policy_types import DeclaredType
from app.domain.access import SettingResource
from app.domain.scope import Level
from tests.builders import NOW, principal
from tests.world import SteppableClock

DOCUMENTS = """
document:
  stored: CONTACT
  attributes:
    status: string
    pages: integer
    public: boolean
    tags: strings
    owner: string?
  actions:
    read:
    share:
      with: string
      days: integer?
"""
RULES = """
allow(p: Principal, "read", d: document) if d.public = true and "reader" in p.roles;
allow(p: Principal, "read", d: document) if d.owner = p.id and d.tenant = p.tenant;
allow(p: Principal, "share", d: document) if d.pages < 10 and d.action_with in p.accounts and d.owner = p.id;
forbid(_p: Principal, _action: String, d: document) if "sealed" in d.tags;
"""


def load(tmp_path: Path, types: str = DOCUMENTS, rules: str = RULES, **more: str) -> Policy:
    (tmp_path / "documents.polar").write_text(rules)
    (tmp_path / "documents.types.yaml").write_text(types)
    for name, source in more.items():
        (tmp_path / f"{name}.types.yaml").write_text(source)
    return load_policy(tmp_path)


def refusal(tmp_path: Path, types: str, rules: str = "allow(_p: Principal, 1, 1) if false;", **more: str) -> str:
    with pytest.raises(PolicyError) as caught:
        load(tmp_path, types, rules, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def declared(policy: Policy) -> DeclaredType:
    [found] = [one for one in policy.types if isinstance(one, DeclaredType)]
    return found


def made(policy: Policy, **attributes: Any) -> Any:
    known = {"id": "d-1", "tenant": "acme", "status": "new", "pages": 3, "public": False, "tags": ()}
    return declared(policy).class_(**{**known, **attributes})


def test_a_declared_type_has_its_attributes_and_those_of_its_actions(tmp_path: Path) -> None:
    type_ = declared(load(tmp_path))

    assert (type_.name, type_.actions, type_.stored) == ("document", ("read", "share"), Level.CONTACT)
    assert {field.name: field.type for field in msgspec.structs.fields(type_.class_)} == {
        "id": str,
        "tenant": str,
        "status": str,
        "pages": int,
        "public": bool,
        "tags": tuple[str, ...],
        "owner": str | None,
        "action_with": str | None,
        "action_days": int | None,
    }
    assert type_.action_attributes == {"read": {}, "share": {"with": "string", "days": "integer?"}}


def test_rules_about_it_decide(tmp_path: Path) -> None:
    policy = load(tmp_path)
    reader, owner = principal(roles=("reader",)), principal(id="owen", accounts=("a-1",))

    assert policy.allows(reader, "read", made(policy, public=True), NOW) is True
    assert policy.allows(reader, "read", made(policy, public=True, tags=("sealed",)), NOW) is False
    assert policy.allows(owner, "read", made(policy), NOW) is False
    assert policy.allows(owner, "read", made(policy, owner="owen"), NOW) is True
    assert policy.allows(owner, "share", made(policy, owner="owen", action_with="a-1"), NOW) is True
    assert policy.allows(owner, "share", made(policy, owner="owen", action_with="a-2"), NOW) is False
    assert policy.allows(owner, "share", made(policy, owner="owen"), NOW) is False


def test_it_counts_for_the_version_and_is_named_among_the_files(tmp_path: Path) -> None:
    first = load(tmp_path)
    second = load(tmp_path, DOCUMENTS + "\n")

    assert first.files == ("documents.polar", "documents.types.yaml")
    assert first.version != second.version
    assert first.version == load(tmp_path).version


@pytest.mark.anyio
async def test_a_changed_declaration_takes_over_while_serving(tmp_path: Path) -> None:
    gate = Gate(load(tmp_path))
    keeper = PolicyKeeper(gate, [tmp_path], loaded_from=fingerprint([tmp_path]), clock=SteppableClock())
    owner = principal(id="owen")
    old = made(gate.policy, owner="owen")
    assert gate.decides(owner, "read", old, NOW)

    (tmp_path / "documents.types.yaml").write_text(DOCUMENTS.replace("status: string", "status: string?"))
    await keeper.look()
    await keeper.look()

    assert (keeper.loads, keeper.last_error) == (1, None)
    assert declared(gate.policy).attributes["status"] == "string?"
    assert gate.decides(owner, "read", made(gate.policy, owner="owen"), NOW)
    assert not gate.decides(owner, "read", old, NOW)  # made by rules that decide no more


@pytest.mark.anyio
async def test_a_declaration_that_cannot_be_used_leaves_the_old_one(tmp_path: Path) -> None:
    gate = Gate(load(tmp_path))
    keeper = PolicyKeeper(gate, [tmp_path], loaded_from=fingerprint([tmp_path]), clock=SteppableClock())

    (tmp_path / "documents.types.yaml").write_text(DOCUMENTS.replace("pages: integer", "pages: float"))
    await keeper.look()
    await keeper.look()

    assert keeper.last_error is not None
    assert "documents.types.yaml: document.attributes.pages" in keeper.last_error
    assert declared(gate.policy).attributes["pages"] == "integer"


def test_a_type_of_ours_stays_as_it_is(tmp_path: Path) -> None:
    assert any(one.class_ is SettingResource for one in load(tmp_path).types)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ('d.titel = "x"', "r.titel: there is no such attribute"),
        ("d.pages = true", "two types that are never equal"),
        ("d.status < d.id", "an order of what has none"),
        ('d.action_soft = "x"', "r.action_soft: there is no such attribute"),
    ],
)
def test_rules_about_it_are_looked_through_like_all_others(tmp_path: Path, rule: str, why: str) -> None:
    assert why in refusal(tmp_path, DOCUMENTS, f'allow(_p: Principal, "read", d: document) if {rule};')


def actions(body: str) -> str:
    return f"thing: {{actions: {body}}}"


WRONG = {
    "thing: [": "things.types.yaml: it is not YAML",
    "thing: {actions: {read: }}\nthing: {actions: {read: }}": "'thing' stands twice",
    "- thing": "things.types.yaml: it takes members with names",
    "1: {}": "things.types.yaml: it takes members with names",
    "thing: ": "thing.actions: name at least one action",
    "thing: {actions: {}}": "thing.actions: name at least one action",
    "thing: x": "thing: it takes members with names",
    "thing: {action: {read: }}": "thing.action: there is no such member; there are stored, attributes, actions",
    "thing: {stored: GLOBAL, actions: {read: }}": "thing.stored: 'GLOBAL' is no level",
    "thing: {stored: [USER], actions: {read: }}": "thing.stored: ['USER'] is no level",
    "thing: {attributes: {size: float}, actions: {read: }}": "thing.attributes.size: 'float' is no kind",
    "thing: {attributes: {tags: 'strings?'}, actions: {read: }}": "thing.attributes.tags: 'strings?' is no kind",
    "thing: {attributes: {size: {a: b}}, actions: {read: }}": "thing.attributes.size: {'a': 'b'} is no kind",
    "thing: {attributes: {id: string}, actions: {read: }}": "thing.attributes.id: id, tenant and action_… are there",
    "thing: {attributes: {action_x: string}, actions: {read: }}": "thing.attributes.action_x: id, tenant and",
    "thing: {attributes: {class: string}, actions: {read: }}": "thing.attributes.class: this cannot be the name",
    "thing: {attributes: {in: string}, actions: {read: }}": "thing.attributes.in: this cannot be the name",
    "thing: {attributes: {a-b: string}, actions: {read: }}": "thing.attributes.a-b: this cannot be the name",
    actions("{'a b': }"): "thing.actions.a b: this cannot be the name of an action",
    actions("{read: {soft: strings}}"): "thing.actions.read.soft: a property of an action is no list",
    actions("{read: {x: string}, write: {x: integer}}"): "thing.actions.write.x: it is of another kind",
    "setting: {actions: {read: }}": "setting: this cannot be the name of a type",
    "Setting: {actions: {read: }}": "Setting: this cannot be the name of a type",
    "api-key: {actions: {read: }}": "api-key: this cannot be the name of a type",
    "Principal: {actions: {read: }}": "Principal: this cannot be the name of a type",
    "String: {actions: {read: }}": "String: this cannot be the name of a type",
    "matches: {actions: {read: }}": "matches: this cannot be the name of a type",
    "a.b: {actions: {read: }}": "a.b: this cannot be the name of a type",
}


@pytest.mark.parametrize("source", list(WRONG))
def test_what_is_wrong_is_named_with_its_file_and_member(tmp_path: Path, source: str) -> None:
    (tmp_path / "things.types.yaml").write_text(source)
    (tmp_path / "rules.polar").write_text("allow(_p: Principal, 1, 1) if false;")

    with pytest.raises(PolicyError) as caught:
        load_policy(tmp_path)

    assert str(caught.value).startswith("things.types.yaml: ")
    assert WRONG[source] in str(caught.value)


def test_two_files_do_not_declare_one_type(tmp_path: Path) -> None:
    assert "zz.types.yaml: document" in refusal(tmp_path, DOCUMENTS, zz=DOCUMENTS)


def test_two_files_of_two_folders_do_not_have_one_name(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "others.polar").write_text("allow(_p: Principal, 1, 1) if false;")
    (other / "documents.types.yaml").write_text("")
    load(tmp_path)

    with pytest.raises(PolicyError, match=r"Two policy files are called documents\.types\.yaml"):
        load_policy(tmp_path, other)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "documents.types.yaml").write_bytes(b"\xff")
    (tmp_path / "rules.polar").write_text("allow(_p: Principal, 1, 1) if false;")

    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path)
