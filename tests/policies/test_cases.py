"""
The policies, held against tables of who may do what (tests/policies/cases), in each form in which they decide.

What a table does not name is refused. Each rule of a policy is there for some case: without it a case fails.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from oso import OsoError

from app.access.gate import Gate
from app.access.polar import Interpreter, load_policy
from app.access.policy_files import joined, read_files
from app.domain.access import ACTIONS, SettingResource
from app.domain.scope import Level
from app.kit.database import Connection
from tests.builders import caller
from tests.policies.rows import rows_of
from tests.policies.tables import CASES, ROOT, SHIPPED_TABLES, TABLES, Case, Table

pytestmark = pytest.mark.anyio

by_name = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


@functools.cache
def gate_of(policies_dir: str) -> Gate:
    """The gate of a table's policy; loaded once for all tables of one policy."""
    [folders] = {tuple(table.folders) for table in TABLES if table.policies_dir == policies_dir}
    return Gate(load_policy(*folders))


def allowed(table: Table) -> dict[tuple[str, str], set[str]]:
    return {(case.who, case.what): set(case.allowed) for case in table.cases}


@by_name
def test_the_predicate_allows_what_the_table_says_and_nothing_else(table: Table) -> None:
    gate = gate_of(table.policies_dir)

    granted = {
        (case.who, case.what): {
            action.value
            for action in ACTIONS[type(case.resource)]
            if gate.decides(case.principal, action, case.resource, case.circumstances)
        }
        for case in table.cases
    }

    assert granted == allowed(table)
    assert gate.errors == 0


@by_name
def test_the_vm_allows_what_the_table_says_and_nothing_else(table: Table) -> None:
    vm = Interpreter(joined(read_files(table.folders)))

    granted = {
        (case.who, case.what): {
            action.value
            for action in ACTIONS[type(case.resource)]
            if vm.allows(case.principal, action, case.resource, case.circumstances)
        }
        for case in table.cases
    }

    assert granted == allowed(table)


@by_name
async def test_the_database_passes_what_the_table_says_and_nothing_else(db: Connection, table: Table) -> None:
    gate = gate_of(table.policies_dir)
    granted: dict[tuple[str, str], set[str]] = {(case.who, case.what): set() for case in table.cases}

    for class_ in {type(case.resource) for case in table.cases}:
        things = {case.what: case.resource for case in table.cases if type(case.resource) is class_}
        await db.execute(rows_of("things", class_, list(things.values())))
        columns = {name: f"t.{name}" for name in class_.__struct_fields__}
        for case in {case.who: case for case in table.cases}.values():
            for action in ACTIONS[class_]:
                somebody = caller(case.principal, circumstances=case.circumstances)
                condition = gate.condition(somebody, action, class_, columns)
                passing = await db.fetch(f"SELECT t.number FROM things t WHERE {condition.text}", *condition.arguments)
                for row in passing:
                    granted[case.who, list(things)[row["number"]]].add(action.value)

    assert granted == allowed(table)
    assert gate.errors == 0


SOURCE = "\n".join(source for _, source in read_files(SHIPPED_TABLES[0].folders))


def test_the_tables_speak_of_every_role_level_and_class_of_resource() -> None:
    roles = {role for case in CASES for role in case.principal.roles}
    levels = {case.resource.level for case in CASES if isinstance(case.resource, SettingResource)}

    named = set(re.findall(r'"(\w+)" in p\.roles', SOURCE))
    for several in re.findall(r"role in \[(.*?)\]", SOURCE):
        named.update(re.findall(r'"(\w+)"', several))
    assert named == {"platform_admin", "admin", "manager", "user", "auditor", "service"}
    assert named <= roles
    assert levels == {level.value for level in Level}
    assert {type(case.resource) for case in CASES} == set(ACTIONS)


def test_every_example_about_our_own_classes_has_a_table() -> None:
    examples = {path.parent for path in (ROOT / "policies" / "examples").rglob("*.polar")}
    of_others = {path.parent for path in (ROOT / "policies" / "examples").rglob("*.types.yaml")}

    assert examples - of_others == {folder for table in TABLES for folder in table.folders[1:]}


# ---- Every rule is there for a case ----


def rules_of(source: str) -> list[str]:
    """The rules of a policy, without its comments."""
    text = re.sub(r"#.*", "", source)
    return [rule.strip() for rule in re.findall(r"[^;]*\bif\b[^;]*;", text)]


def breaks_a_case(rules: Sequence[str], cases: Sequence[Case]) -> bool:
    """Whether some case comes out otherwise by these rules."""
    try:
        vm = Interpreter("\n".join(rules))
    except OsoError:
        return True
    return any(
        vm.allows(case.principal, action, case.resource, case.circumstances) is not (action in case.allowed)
        for case in cases
        for action in ACTIONS[type(case.resource)]
    )


RULES = rules_of(SOURCE)


def test_all_rules_are_found() -> None:
    assert len(RULES) == len(re.findall(r"^\w+\(", SOURCE, re.MULTILINE))


@pytest.mark.parametrize("number", range(len(RULES)), ids=lambda number: " ".join(RULES[number].split())[:60])
def test_no_rule_can_be_left_out(number: int) -> None:
    assert breaks_a_case(RULES[:number] + RULES[number + 1 :], CASES)


def rules_of_examples() -> list[tuple[Table, Path, int]]:
    return [
        (table, folder, number)
        for table in TABLES
        for folder in table.folders[1:]
        for number in range(len(rules_of(read_files([folder])[0][1])))
    ]


@pytest.mark.parametrize(("table", "folder", "number"), rules_of_examples(), ids=lambda one: getattr(one, "name", one))
def test_no_rule_of_an_example_can_be_left_out(table: Table, folder: Path, number: int) -> None:
    [(_, source)] = read_files([folder])
    rules = rules_of(source)

    assert len(rules) == len(re.findall(r"^\w+\(", source, re.MULTILINE))
    assert breaks_a_case(RULES + rules[:number] + rules[number + 1 :], table.cases)
