"""A policy is loaded whole or not at all. tests/access/compiler holds what it is compiled to against Oso."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.access import polar
from app.access.polar import load_policy
from app.access.policy import PolicyError
from app.config import Config
from app.domain.access import Action, Principal
from app.domain.scope import Level
from tests.builders import NOW, definition_resource, principal, setting_resource

READERS = 'allow(p: Principal, "read", _s: Setting) if "reader" in p.roles;'


def folder(tmp_path: Path, **sources: str) -> Path:
    for name, source in sources.items():
        (tmp_path / f"{name}.polar").write_text(source)
    return tmp_path


def refusal(path: Path) -> str:
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_shipped_policy_loads() -> None:
    policy = load_policy(*Config().policies_paths)

    assert policy.files == ("access.polar", "events.polar", "registry.polar", "scopes.polar", "settings.polar")
    assert policy.allows(principal(roles=("admin",)), Action.WRITE, setting_resource(), NOW) is True


def test_a_policy_grants_what_a_rule_grants_and_nothing_else(tmp_path: Path) -> None:
    policy = load_policy(folder(tmp_path, readers=READERS))
    reader = principal(roles=("reader",))

    assert policy.allows(reader, Action.READ, setting_resource(), NOW) is True
    assert policy.allows(reader, Action.WRITE, setting_resource(), NOW) is False
    assert policy.allows(reader, Action.RESOLVE, setting_resource(), NOW) is False
    assert policy.allows(reader, Action.READ, definition_resource(), NOW) is False
    assert policy.allows(principal(), Action.READ, setting_resource(), NOW) is False


def test_the_rules_of_all_files_hold_together(tmp_path: Path) -> None:
    policy = load_policy(folder(tmp_path, a=READERS, b=READERS.replace("reader", "auditor")))

    assert policy.files == ("a.polar", "b.polar")
    assert policy.allows(principal(roles=("reader",)), Action.READ, setting_resource(), NOW) is True
    assert policy.allows(principal(roles=("auditor",)), Action.READ, setting_resource(), NOW) is True


def test_a_forbidding_rule_stands_above_those_that_allow(tmp_path: Path) -> None:
    policy = load_policy(
        folder(tmp_path, a=READERS + '\nforbid(_p: Principal, "read", s: Setting) if s.level = "USER";')
    )
    reader = principal(roles=("reader",))

    assert policy.allows(reader, Action.READ, setting_resource(Level.TENANT), NOW) is True
    assert policy.allows(reader, Action.READ, setting_resource(Level.USER, "alice"), NOW) is False


INLINE = 'allow(new Principal(id: "a", roles: ["reader"]), "read", new Definition(sensitivity: 0));'


def test_an_inline_test_may_make_principals_and_resources(tmp_path: Path) -> None:
    readers = READERS.replace("_s: Setting", "_d: Definition")

    load_policy(folder(tmp_path, a=f"{readers}\n?= {INLINE}"))

    assert "Inline query failed" in refusal(folder(tmp_path, a=f"{READERS}\n?= {INLINE}"))


def test_the_version_is_that_of_names_and_sources(tmp_path: Path) -> None:
    versions = []
    for name, source in [("a", READERS), ("a", READERS + "\n"), ("b", READERS)]:
        path = tmp_path / str(len(versions))
        path.mkdir()
        versions.append(load_policy(folder(path, **{name: source})).version)

    assert len(set(versions)) == 3
    assert load_policy(tmp_path / "0").version == versions[0]


def test_words_that_are_not_taken_may_stand_in_comments(tmp_path: Path) -> None:
    load_policy(folder(tmp_path, a=f"# never cut, and not may(p)\n{READERS}"))


def test_a_folder_without_a_policy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text(READERS)

    assert "There is no .polar file" in refusal(tmp_path)
    assert "There is no .polar file" in refusal(tmp_path / "missing")


def test_a_policy_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.polar").write_bytes(b"\xff")

    assert "cannot be read" in refusal(tmp_path)


HELPER = 'may(p: Principal) if "a" in p.roles;'
HEAD = 'allow(p: Principal, "read", _d: Definition) if'


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "undefined rule `allow`"),
        ("allow(", "forget a semi-colon"),
        (f"{HEAD} unknown_rule(p);", "undefined rule"),
        (f"{HEAD} p.nothing = 1;", "there is no such attribute"),
        (f"{READERS}\n?= allow(1, 2, 3);", "Inline query failed"),
        (f"{HEAD} p.id = 1 and cut;", "a.polar:1: `cut"),
        (f"{HELPER}\n{HEAD} not may(p);", "a.polar:2: `not may("),
        (f'{HELPER}\n{HEAD} p.id != "#" and not may(p);', "is not taken here"),
        # What the eye of the lint misses, the compiler does not.
        (f"{HELPER}\n{HEAD} not (may(p));", "cannot be compiled"),
        (f"{HELPER}\n{HEAD} not\n may(p);", "cannot be compiled"),
    ],
)
@pytest.mark.filterwarnings("ignore::Warning")
def test_a_policy_that_is_not_understood_exactly_is_refused(tmp_path: Path, source: str, reason: str) -> None:
    assert reason in refusal(folder(tmp_path, a=source))


def test_one_bad_file_among_good_ones_refuses_them_all(tmp_path: Path) -> None:
    assert "bad.polar:1" in refusal(folder(tmp_path, a=READERS, bad=f"{HEAD} cut;"))


def test_roles_of_another_spelling_grant_nothing(tmp_path: Path) -> None:
    policy = load_policy(folder(tmp_path, a=READERS))
    somebody = Principal(id="x", roles=("Reader", "reader ", "READER", "readers", "read"))

    assert policy.allows(somebody, Action.READ, setting_resource(), NOW) is False


def test_an_error_after_other_characters_than_ascii_is_said_with_its_file_and_line(tmp_path: Path) -> None:
    """Oso would end the process: it takes byte offsets for characters."""
    (tmp_path / "a.polar").write_text("# …\n" * 50 + 'allow(_p: Principal, "read", _s: Setting);\n', "utf-8")
    (tmp_path / "b.polar").write_text(
        '# ü\nallow(p: Principal, "read", _s: Setting) if\n  p.id = "x" and and;\n', "utf-8"
    )

    with pytest.raises(PolicyError, match=r"^The policy is refused: b\.polar:3: "):
        load_policy(tmp_path)


def test_other_characters_than_ascii_are_for_comments(tmp_path: Path) -> None:
    (tmp_path / "a.polar").write_text('# "ü"\nallow(p: Principal, "read", _s: Setting) if p.id = "ü#";\n', "utf-8")

    with pytest.raises(PolicyError, match=r"^a\.polar:2: only comments"):
        load_policy(tmp_path)


@pytest.mark.parametrize("wrong", [True, False])
def test_what_decides_of_several_at_once_is_held_against_what_decides_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: bool
) -> None:
    """The hottest reads ask it, so a policy with which it would decide otherwise is refused like any other."""
    monkeypatch.setattr(polar, "decide_all_of", lambda *_, **__: lambda *_: wrong)

    assert "several resources at once are decided otherwise" in refusal(
        folder(tmp_path, a=READERS + '\nallow(p: Principal, _a, _r) if "root" in p.roles;')
    )
