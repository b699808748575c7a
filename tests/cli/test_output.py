"""What is printed can be read by those it is for, and harms nobody's terminal."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.cli.output import emit, grid, members
from app.cli.text import compact, escaped, printable
from app.cli.yaml_text import dump_yaml, load_yaml

texts = some.text() | some.text(alphabet=string.ascii_letters + string.digits + "+-._:~ #'\"{}[]")
documents = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(documents)
def test_what_is_written_as_yaml_is_read_as_it_was(document: Any) -> None:
    found = load_yaml(dump_yaml(document))

    assert json.dumps(found) == json.dumps(document)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("country: NO", {"country": "NO"}),
        ("at: 2024-01-01", {"at": "2024-01-01"}),
        ("code: 007", {"code": "007"}),
        ("time: 12:30", {"time": "12:30"}),
        ("on: yes", {"on": "yes"}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: ~", {"a": None}),
        ("a:", {"a": None}),
    ],
)
def test_plain_words_of_yaml_mean_what_they_say(text: str, value: Any) -> None:
    assert load_yaml(text) == value


@pytest.mark.parametrize("text", ["a: 1\na: 2", "1: x", "a: [", "a: 1\n---\nb: 2", "!!python/object:os.system x"])
def test_yaml_that_json_has_no_word_for_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        load_yaml(text)


def test_a_table_has_its_columns_in_line_and_no_colours_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    emit([], output="table", text=lambda: grid(("Key", "Value"), [("long.key", 1), ("k", None), ("x", [True])]))

    assert capsys.readouterr().out == "Key       Value\nlong.key  1\nk\nx         [true]\n"


def test_a_table_is_as_wide_as_what_it_holds() -> None:
    assert "x" * 5_000 in grid(("Value",), [("x" * 5_000,)])


def test_a_table_without_rows_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    emit([], output="table", text=lambda: grid(("Key",), []))

    assert capsys.readouterr().out == ""


def test_values_are_shown_as_json_and_an_explicit_null_is_shown() -> None:
    assert members({"key": "k", "value": None, "scopeId": None}).splitlines() == [
        "Member  Value",
        "key     k",
        "value   null",
    ]
    assert compact("1") == '"1"'


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_data_is_printed_with_its_own_characters(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    emit({"name": "Zürich ☃"}, output=output, text=str)

    assert "Zürich ☃" in capsys.readouterr().out


@given(some.text())
def test_nothing_printed_in_a_table_can_command_a_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert compact(text).isprintable()


@given(documents)
def test_what_is_escaped_is_read_as_it_was_and_harms_nobodys_terminal(document: Any) -> None:
    for text, read in (
        (json.dumps(document, ensure_ascii=False, indent=2), json.loads),
        (dump_yaml(document), load_yaml),
    ):
        shown = escaped(text)

        assert all(line.isprintable() for line in shown.split("\n"))
        assert json.dumps(read(shown)) == json.dumps(document)


@pytest.mark.parametrize("output", ["json", "yaml", "table"])
def test_no_format_lets_a_terminal_be_obeyed(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = {"resource": "a\x1b[2J\x9b31m\u202egnp\r\u2028"}

    emit(hostile, output=output, text=lambda: members(hostile))

    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))
