"""`setpoint completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from app.cli.output import write


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """
    Print the completion script of a SHELL.

    Put it where your shell looks, or try it at once:

    \b
      bash   source <(setpoint completion bash)
      zsh    source <(setpoint completion zsh)
      fish   setpoint completion fish | source
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 (click knows all three; for the type checker)
    root = click.get_current_context().find_root().command
    write(kind(root, {}, "setpoint", "_SETPOINT_COMPLETE").source().rstrip("\n"))
