"""Data on stdout: a table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from app.cli.text import compact, escaped, printable

FORMATS = ("table", "json", "yaml")
PIPE_CLOSED = 141  # 128 + SIGPIPE, as shells have it
UNLIMITED = 1_000_000  # columns; a table that is read by a program must not be folded

_JSON = ("value", "default", "schema")  # shown as JSON even when a string or null: "1" is not 1
# The few words whose colour helps to find them.
_STYLES = {"won": "green", "merged": "green", "pass": "green", "warn": "yellow", "fail": "red", "skipped": "dim"}


def emit(data: Any, *, output: str, text: Callable[[], str]) -> None:
    """Print data in the format that was asked for; `text` makes the form for people when that is `table`."""
    if output == "json":
        write(escaped(json.dumps(data, ensure_ascii=False, indent=2)))
    elif output == "yaml":
        from app.cli.yaml_text import dump_yaml

        write(escaped(dump_yaml(data).rstrip("\n")))
    else:
        write(text())


def write(text: str) -> None:
    """Print text to stdout, at once, and end quietly when nobody reads it any more."""
    try:
        if text:
            sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered must not be tried again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(PIPE_CLOSED) from None


def say(message: str) -> None:
    """A message for people."""
    click.echo(message, err=True)


def grid(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table. Strings stand as they are, None is empty, everything else is shown as JSON. Without rows, nothing."""
    if not rows:
        return ""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        cells = [_shown(cell) for cell in row]
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    console = Console(
        force_terminal=coloured,
        color_system="auto" if coloured else None,
        width=None if sys.stdout.isatty() else UNLIMITED,
        highlight=False,
    )
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().split("\n"))


def members(entity: Mapping[str, Any]) -> str:
    """One thing, a member a line, without those that are not known."""
    rows = [(name, compact(value) if name in _JSON else value) for name, value in entity.items()]
    return grid(("Member", "Value"), [row for row in rows if row[1] is not None])


def _shown(cell: object) -> str:
    if cell is None:
        return ""
    return printable(cell) if isinstance(cell, str) else compact(cell)
