"""`setpoint policy`: try rules before they decide, and see those that do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.client import Client
from app.cli.environment import configuration
from app.cli.errors import FINDINGS, REFUSED, CommandFailed
from app.cli.options import node_options, output_option
from app.cli.output import emit, grid, members, say

if TYPE_CHECKING:
    from app.access.explanation import Explanation, Way
    from app.access.policy import Policy, ResourceType

folder_argument = click.argument("folders", nargs=-1, type=click.Path(path_type=Path))


@click.group()
def policy() -> None:
    """
    The rules of who may do what.

    FOLDERS hold .polar files, and `shipped` stands for those that come with Setpoint; without any, those of
    SETPOINT_POLICIES_DIR are meant.
    """


@policy.command()
@folder_argument
@output_option
def check(folders: tuple[Path, ...], output: str) -> int:
    """Load the policy in FOLDERS as a node would. Exit code 1 and file, line and reason when it cannot be used."""
    started = time.perf_counter()
    try:
        loaded = _loaded(folders)
    except CommandFailed as failed:
        if output == "table":
            raise
        emit({"usable": False, "reason": str(failed)}, output=output, text=str)
        return failed.code
    found = {
        "usable": True,
        "version": loaded.version,
        "files": list(loaded.files),
        "rules": len(loaded.rules),
        "selfTestCases": loaded.self_test_cases,
        "seconds": round(time.perf_counter() - started, 3),
    }
    emit(found, output=output, text=lambda: members(found))
    return 0


@policy.command()
@click.option("--source", is_flag=True, help="The Python that each rule was compiled to, too.")
@output_option
@node_options
def show(*, source: bool, output: str, client: Client) -> None:
    """Show the policy that a node decides by."""
    found = client.get("/api/security/policy").body
    rules = [(one["type"], one["action"], one["ways"], one["forbid"] is not None) for one in found["rules"]]

    def text() -> str:
        head = {**{name: found[name] for name in ("version", "digest", "loadedAt", "lastError")}}
        parts = [members({**head, "files": ", ".join(found["files"]), "selfTestCases": found["selfTest"]["cases"]})]
        parts.append(grid(("Type", "Action", "Ways", "Forbids"), rules))
        if source:
            parts += [f"# {one['type']} {one['action']}\n{one['allow']}{one['forbid'] or ''}" for one in found["rules"]]
        return "\n\n".join(part.rstrip() for part in parts)

    emit(found, output=output, text=text)


@policy.command()
@click.argument("action")
@click.argument("type_name", metavar="TYPE")
@folder_argument
@click.option("--principal", required=True, metavar="JSON", help='Who: {"id": "ann", "tenant": "acme", "roles": […]}.')
@click.option("--resource", default="{}", metavar="JSON", help="The attributes of what is asked about; others are nil.")
@click.option("--reason", help="A reason to override.")
@click.option("--at", metavar="TIME", help="When, in ISO 8601; now, if left out.")
@output_option
def explain(
    action: str,
    type_name: str,
    folders: tuple[Path, ...],
    *,
    principal: str,
    resource: str,
    reason: str | None,
    at: str | None,
    output: str,
) -> int:
    """
    Decide by the policy in FOLDERS, and say why, condition by condition.

    TYPE is as policies name it: Setting, Definition, ScopeEntry … Clearance and sensitivity are given by their words.
    Exit code 4 when it is refused.
    """
    import msgspec

    from app.access import explanation
    from app.domain.access import Principal, circumstances_at

    loaded = _loaded(folders)
    about = _type(loaded, type_name, action)
    somebody = _made(Principal, principal, option="--principal")
    thing = _made(about.class_, resource, option="--resource")
    circumstances = circumstances_at(_moment(at), override_reason=reason)
    found = explanation.explain(loaded, somebody, action, thing, circumstances)
    data = {**msgspec.to_builtins(found), "reason": explanation.reason_of(found)}
    emit(data, output=output, text=lambda: _shown(found))
    say(f"{data['reason'][:1].upper()}{data['reason'][1:]}.")
    return 0 if found.decision else REFUSED


def _loaded(folders: Sequence[Path]) -> Policy:
    from app.access.polar import load_policy
    from app.access.policy import PolicyError
    from app.config import policy_folder

    try:
        return load_policy(*([policy_folder(str(one)) for one in folders] or configuration().policies_paths))
    except PolicyError as error:
        raise CommandFailed(str(error), code=FINDINGS) from error


def _type(loaded: Policy, name: str, action: str) -> ResourceType:
    found = next((one for one in loaded.types if one.name == name), None)
    if found is None:
        raise click.BadParameter(f"{name} is none of {', '.join(one.name for one in loaded.types)}.")
    if action not in found.actions:
        raise click.BadParameter(f"{name} knows {', '.join(found.actions)}, and no {action}.")
    return found


def _made(class_: type, text: str, *, option: str) -> Any:
    """An instance of a Struct from JSON. What is left out is nil, if it may be."""
    import json

    import msgspec

    try:
        given = json.loads(text)
        if not isinstance(given, dict):
            raise click.BadParameter(f"{option}: a JSON object is wanted.")
        fields = {field.name: field for field in msgspec.structs.fields(class_)}
        unknown = sorted(set(given) - set(fields))
        if unknown:
            raise click.BadParameter(f"{option}: there is no {unknown[0]}; there are {', '.join(fields)}.")
        missing = {name: None for name, field in fields.items() if field.required}
        return msgspec.convert({**missing, **_in_plain(given)}, class_)
    except ValueError as error:
        raise click.BadParameter(f"{option}: {error}.") from error


def _in_plain(given: dict[str, Any]) -> dict[str, Any]:
    """Words of sensitivity as ranks; a credential that names scopes is good for these only."""
    from app.domain.definition import Sensitivity

    ranks = {one.value: one.rank for one in Sensitivity}
    scoped = {"scoped": True} if "scopes" in given else {}
    words = ("clearance", "sensitivity")
    return {**scoped, **{name: ranks.get(value, value) if name in words else value for name, value in given.items()}}


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"--at: {error}.") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _shown(found: Explanation) -> str:
    rows: list[tuple[str, str, str]] = []
    for kind, ways in (("forbid", found.forbid), ("allow", found.allow)):
        for number, way in enumerate(ways, start=1):
            rows += _rows(f"{kind} {number}", way)
    return grid(("Rule", "Holds", "Condition"), rows)


def _rows(name: str, way: Way) -> list[tuple[str, str, str]]:
    head = (name, "yes" if way.holds else "no", "all of:" if way.conditions else "always")
    return [head, *(("", "yes" if one.holds else "no", one.condition) for one in way.conditions)]
