"""Groups that know their commands by name and one line; the module of a command is imported when it is run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

# Section -> command name -> (module:attribute, one line of help).
Sections = Mapping[str, Mapping[str, tuple[str, str]]]


class LazyGroup(click.Group):
    """
    A group whose help is written from a table.

    Reading the one line out of each command instead would import all of them, and `--help` is what people wait for.
    """

    def __init__(self, *args: Any, sections: Sections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections
        self._commands = {name: entry for section in sections.values() for name, entry in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        del ctx
        return list(self._commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self._commands:
            if ctx.resilient_parsing or cmd_name.startswith("-"):
                return None
            # Said here, because click looks for near names only among the commands that it holds itself: none.
            raise click.exceptions.NoSuchCommand(cmd_name, possibilities=self._commands, ctx=ctx)
        module, _, attribute = self._commands[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table."""
        del ctx
        widest = max(map(len, self._commands))
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), line) for name, (_, line) in section.items()])
