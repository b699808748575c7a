"""
`setpoint`: the commands by name, and how each of them ends.

Nothing heavy is imported here: `setpoint --help` and shell completion answer before the caller notices. Each command
imports what it needs when it runs (app/cli/lazy.py; guarded by tests/cli/test_help.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from app.cli.errors import USAGE, CommandFailed
from app.cli.lazy import LazyGroup, Sections

INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_COMMANDS = "app.cli.commands"

SECTIONS: Sections = {
    "Read": {
        "get": (f"{_COMMANDS}.read:get", "The value that holds for a key"),
        "explain": (f"{_COMMANDS}.read:explain", "Why it holds: every scope of the chain"),
        "effective": (f"{_COMMANDS}.read:effective", "Everything that holds in a context"),
        "list": (f"{_COMMANDS}.values:list_values", "What is set at one scope"),
        "history": (f"{_COMMANDS}.values:history", "Every version of a value"),
    },
    "Change": {
        "set": (f"{_COMMANDS}.write:set_value", "Set a value at a scope"),
        "unset": (f"{_COMMANDS}.write:unset_value", "Remove a value from a scope"),
        "batch": (f"{_COMMANDS}.batch:batch", "Set and unset many values, all or none"),
    },
    "Registry": {
        "definitions": (f"{_COMMANDS}.definitions:definitions", "What keys are: list, change, import, export"),
        "scopes": (f"{_COMMANDS}.scopes:scopes", "What is known of accounts, contacts, users …"),
        "tenants": (f"{_COMMANDS}.tenants:tenants", "Who has settings here"),
    },
    "Access": {
        "token": (f"{_COMMANDS}.token:token", "Sign a token with the local development key"),
        "audit": (f"{_COMMANDS}.audit:audit", "Who did what, and whether the record is whole"),
        "api-keys": (f"{_COMMANDS}.api_keys:api_keys", "Credentials for programs: make, rotate, revoke"),
        "revoke": (f"{_COMMANDS}.revoke:revoke", "Have tokens believed no longer"),
        "whoami": (f"{_COMMANDS}.whoami:whoami", "Who you are, as the node sees you"),
        "policy": (f"{_COMMANDS}.policy:policy", "The rules: check, show, explain"),
    },
    "Node": {
        "serve": (f"{_COMMANDS}.serve:serve", "Run a node"),
        "migrate": (f"{_COMMANDS}.migrate:migrate", "Bring the database up to date"),
        "doctor": (f"{_COMMANDS}.doctor:doctor", "Look for what is wrong here"),
        "completion": (f"{_COMMANDS}.completion:completion", "The completion script of your shell"),
    },
}


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    del param
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"setpoint {version('setpoint')}")
    except PackageNotFoundError:
        click.echo("setpoint, run from its source without being installed")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 1 findings, 2 usage, 3 unreachable, 4 refused, 5 conflict.",
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
def root() -> None:
    """
    Setpoint, a registry of settings for many tenants.

    The node is at --url or SETPOINT_URL, else at http://127.0.0.1 on SETPOINT_PORT (8080).

    You are who SETPOINT_TOKEN or --token-file says. Without either, a node on this machine is asked as
    platform_admin, with a token of 5 minutes that is signed with the development key in SETPOINT_DATA_DIR, if one is
    there.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code."""
    try:
        result = root.main(arguments, prog_name="setpoint", standalone_mode=False)
    except CommandFailed as failed:
        click.echo(str(failed), err=True)
        return failed.code
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    raise SystemExit(main())
