"""Help is there for every command, and costs nothing."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from app.cli.main import main, root
from tests.cli.conftest import ROOT, environment

HEAVY = ("litestar", "piccolo", "asyncpg", "httpx", "rich", "rich_click", "msgspec", "granian", "redis", "jwt", "yaml")


def every_command() -> list[tuple[str, ...]]:
    """All command lines that name a command or a group."""
    found: list[tuple[str, ...]] = [()]
    context = click.Context(root)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, sub) for sub in command.list_commands(context)]
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0

    said = capsys.readouterr()
    assert said.out.startswith(" ".join(["Usage: setpoint", *words]))
    assert said.err == ""


def test_commands_are_named_in_the_table_as_they_name_themselves() -> None:
    context = click.Context(root)

    assert [root.get_command(context, name).name for name in root.list_commands(context)] == root.list_commands(context)  # type: ignore[union-attr]


@pytest.mark.parametrize("arguments", [["--help"], ["get", "--help"], ["definitions", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"import sys\nfrom app.cli.main import main\nmain({arguments!r})\nprint(*sys.modules, file=sys.stderr)"

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), cwd=ROOT, capture_output=True, text=True, check=True
    )

    imported = {name.partition(".")[0] for name in done.stderr.split()}
    assert imported.isdisjoint(HEAVY)


def test_a_command_that_is_not_there_is_answered_with_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gett"]) == 2

    said = capsys.readouterr().err
    assert "No such command 'gett'" in said
    assert "'get'" in said


def test_without_a_command_help_is_shown_as_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Usage: setpoint" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("setpoint")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_asks_setpoint_for_words(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_SETPOINT_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "wanted"),
    [("setpoint ex", "explain"), ("setpoint definitions im", "import"), ("setpoint list --scope TERR", "TERRITORY")],
)
def test_words_are_completed(words: str, wanted: str) -> None:
    env = {"_SETPOINT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}

    done = subprocess.run(
        [sys.executable, "-m", "app.cli.main"],
        env=environment(**env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"plain,{wanted}" in done.stdout.split()
