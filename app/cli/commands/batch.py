"""`setpoint batch`: many changes from a file, all or none."""

from __future__ import annotations

from typing import Any

import click

from app.cli.client import Client
from app.cli.documents import read_document
from app.cli.errors import USAGE, CommandFailed
from app.cli.options import node_options, output_option
from app.cli.output import emit, grid, say


@click.command()
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="Judge it, and change nothing.")
@click.option("--idempotency-key", metavar="KEY", help="Sent again with the same key, it is done once.")
@output_option
@node_options
def batch(file: str, *, dry_run: bool, idempotency_key: str | None, output: str, client: Client) -> None:
    """
    Carry out the operations in FILE (JSON or YAML, `-` for stdin), all or none.

    FILE holds a list of them, or {"operations": […]}, each like
    {"op": "set", "scope": "TERRITORY", "scopeId": "DE", "key": "currency", "value": "EUR", "ifMatch": "*"}.
    """
    body = _body(read_document(file))
    if dry_run:
        body["dryRun"] = True
    answer = client.send("POST", "/api/settings/batch", body=body, headers={"Idempotency-Key": idempotency_key})
    results = answer.body["results"]
    say(_outcome(len(results), dry_run=answer.body["dryRun"], replayed="idempotency-replayed" in answer.headers))
    rows = [
        (one["index"], one["op"], one["scope"], one["scopeId"], one["key"], one["version"], one["etag"])
        for one in results
    ]
    emit(
        answer.body,
        output=output,
        text=lambda: grid(("Index", "Op", "Scope", "Id", "Key", "Version", "Tag"), rows),
    )


def _body(document: Any) -> dict[str, Any]:
    if isinstance(document, list):
        return {"operations": document}
    if isinstance(document, dict):
        return document
    raise CommandFailed('The file should hold a list of operations, or {"operations": […]}.', code=USAGE)


def _outcome(count: int, *, dry_run: bool, replayed: bool) -> str:
    operations = "1 operation" if count == 1 else f"{count} operations"
    if replayed:
        return f"Had been done before: {operations}."
    return f"Would do {operations}; nothing was changed." if dry_run else f"Done: {operations}."
