"""
`setpoint definitions import`: files compared with what is there, judged by the node, then carried out.

The interface changes one definition at a time. So that an import is rarely left half done, the node judges all of it
first (`dryRun`), and nothing is changed when it refuses any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import click

from app.cli.client import Client, segment
from app.cli.definition_changes import Change, changes_between, lines_of, report_of
from app.cli.documents import read_document
from app.cli.errors import FINDINGS, UNREACHABLE, USAGE, CommandFailed
from app.cli.options import node_options, output_option
from app.cli.output import emit, say
from app.cli.problem import Refusal
from app.cli.text import printable

_DEFINITIONS = "/api/definitions"

Refused = dict[str, Refusal]  # by key


@click.command("import")
@click.argument("files", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Show what would change and judge it; change nothing.")
@output_option
@node_options
def import_definitions(files: tuple[str, ...], *, dry_run: bool, output: str, client: Client) -> int:
    """
    Create and change definitions as FILES say (JSON or YAML, `-` for stdin).

    Prints what changes: + new, ~ changed, ! refused, = how many stay as they are. When one is refused, none is
    changed. A dry run ends with 1 when something would be refused.
    """
    wanted = _wanted(files)
    changes = changes_between(wanted, {one["key"]: one for one in client.items(_DEFINITIONS)})
    todo = [change for change in changes if change.kind != "unchanged"]
    refused = _judged(client, todo)
    judged_well = not refused
    if not dry_run and judged_well:
        refused = _carried_out(client, todo)
    emit(
        [report_of(change) | _errors(refused.get(change.key)) for change in changes],
        output=output,
        text=lambda: _text(changes, refused),
    )
    say(_outcome(changes, refused, only_judged=dry_run or not judged_well))
    if not refused:
        return 0
    return FINDINGS if dry_run else max(refusal.code for refusal in refused.values())


def _wanted(files: Sequence[str]) -> list[dict[str, Any]]:
    from app.domain.errors import Malformed
    from app.settings.definitions.importing import definitions_in

    wanted: list[dict[str, Any]] = []
    for name in files:
        try:
            wanted += definitions_in(read_document(name))
        except Malformed as error:
            raise CommandFailed(f"{name}: {error.detail}", code=USAGE) from error
    for key, count in Counter(definition["key"] for definition in wanted).items():
        if count > 1:
            raise CommandFailed(f"{key} is defined {count} times in what is to be imported.", code=USAGE)
    return wanted


def _judged(client: Client, changes: Sequence[Change]) -> Refused:
    """What the node would refuse."""
    return {change.key: refusal for change in changes if (refusal := _put(client, change, dry_run=True)) is not None}


def _carried_out(client: Client, changes: Sequence[Change]) -> Refused:
    """Do it, up to the first that is refused after all."""
    for change in changes:
        refusal = _put(client, change, dry_run=False)
        if refusal is not None:
            return {change.key: refusal}
        say(f"{'Defined' if change.kind == 'new' else 'Changed'} {printable(change.key)}.")
    return {}


def _put(client: Client, change: Change, *, dry_run: bool) -> Refusal | None:
    path = f"{_DEFINITIONS}/{segment(change.key)}"
    query = {"dryRun": "true" if dry_run else None}
    try:
        client.send("PUT", path, query=query, body=change.body, headers=change.headers)
    except Refusal as refusal:
        if refusal.status == HTTPStatus.UNAUTHORIZED or refusal.code == UNREACHABLE:
            raise  # says nothing of this definition, and the next would fare no better
        return refusal
    return None


def _text(changes: Sequence[Change], refused: Refused) -> str:
    lines: list[str] = []
    for change in changes:
        lines += lines_of(change)
        if change.key in refused:
            first, *others = refused[change.key].lines
            lines += [f"! {printable(change.key)}: {first}", *(f"  {line}" for line in others)]
    unchanged = sum(change.kind == "unchanged" for change in changes)
    if unchanged:
        lines.append(f"= {unchanged} unchanged")
    return "\n".join(lines)


def _errors(refusal: Refusal | None) -> dict[str, Any]:
    return {} if refusal is None else {"refused": refusal.problem}


def _outcome(changes: Sequence[Change], refused: Refused, *, only_judged: bool) -> str:
    count = Counter(change.kind for change in changes)
    told = f"{count['new']} new, {count['changed']} changed, {count['unchanged']} unchanged"
    if not refused:
        return f"Would be {told}." if only_judged else f"{told[0].upper()}{told[1:]}."
    names = printable(", ".join(refused))
    return f"Refused: {names}. Nothing was changed." if only_judged else f"Stopped at {names}; see above what was done."
