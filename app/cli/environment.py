"""The configuration as a command sees it: the environment, and the options that go before it."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import click

from app.cli.errors import USAGE, CommandFailed

if TYPE_CHECKING:  # msgspec takes longer to import than most commands need altogether
    from app.config import Config


def configuration(**options: object) -> Config:
    """
    The configuration; an option that is not None stands in for its variable.

    Names that mean nothing are said on stderr. Raises CommandFailed for what cannot be followed.
    """
    from app.config import PREFIX, ConfigError, read_config

    given = {f"{PREFIX}{name.upper()}": str(value) for name, value in options.items() if value is not None}
    try:
        config, warnings = read_config({**os.environ, **given})
    except ConfigError as error:
        raise CommandFailed(str(error), code=USAGE) from error
    for warning in warnings:
        _warn(warning)
    return config


@functools.cache  # a command may look at its configuration twice, and one word of warning is enough
def _warn(warning: str) -> None:
    click.echo(warning, err=True)
