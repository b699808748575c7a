"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in APP.rglob("*.py"))

MAX_LINES = 400
SQL = re.compile(r"^\s*(SELECT\s.*\bFROM\b|INSERT INTO|UPDATE \w+ SET|DELETE FROM|WITH \w+ AS)", re.DOTALL)
WITH_SQL = re.compile(
    r"^app/(log/.+|access/.+/store|settings/.+/(store|idempotency)|kit/(migrations|least_power)|cli/commands/\w+|embedded/\w+)\.py$"
)
KNOWS_LITESTAR = {
    "app/main.py",
    "app/kit/http.py",
    "app/kit/openapi.py",
    "app/kit/methods.py",
    "app/access/api_keys/http.py",
    "app/access/audit/http.py",
    "app/access/revocation/http.py",
    "app/access/authzen/http.py",
    "app/access/http.py",
    "app/access/policy_http.py",
    "app/operations/http.py",
    "app/operations/cache_http.py",
    "app/settings/directory/http.py",
    "app/settings/definitions/http.py",
    "app/settings/values/http.py",
    "app/settings/effective/http.py",
}


def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text())


def imported(module: str) -> set[str]:
    """The top packages that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def texts(module: str) -> list[str]:
    """Every string that stands in a module."""
    return [
        node.value for node in ast.walk(tree(module)) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_the_dependency_contracts_hold() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize("module", MODULES)
def test_a_module_keeps_the_house_rules(module: str) -> None:
    source = (ROOT / module).read_text()

    assert len(source.splitlines()) <= MAX_LINES, "is there a second story in it?"
    assert "litestar" not in imported(module) or module in KNOWS_LITESTAR
    assert "piccolo" not in imported(module) or module.endswith("/tables.py") or module == "app/kit/migrations.py"
    assert not [text for text in texts(module) if SQL.match(text)] or WITH_SQL.match(module)


def test_no_module_is_let_off_a_rule_it_keeps() -> None:
    assert {module for module in MODULES if "litestar" in imported(module)} == KNOWS_LITESTAR


def test_a_migration_imports_nothing_of_ours() -> None:
    versions = sorted((ROOT / "migrations" / "versions").glob("*.py"))

    found = {path.name for path in versions if "app" in imported(path.relative_to(ROOT).as_posix())}

    assert versions
    assert found == set()


def test_every_field_of_the_configuration_says_why() -> None:
    lines = (APP / "config.py").read_text().splitlines()
    start = lines.index("class Config(msgspec.Struct, frozen=True, kw_only=True):")
    fields = [line for line in lines[start + 1 :] if re.match(r"    \w+: .+ = .+", line)]

    without = [line.strip() for line in fields if "#" not in line]

    assert fields
    assert without == []
