"""What is written on a command line, as the values it stands for."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

LEVELS = ("GLOBAL", "TENANT", "TERRITORY", "ACCOUNT", "CONTACT_ROLE", "CONTACT", "USER")

_NUMBER = re.compile(r"-(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_DURATION = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?")


class ScopeRef(NamedTuple):
    """A scope as written: `GLOBAL`, `TENANT`, `TERRITORY/DE`."""

    level: str
    scope_id: str | None

    def __str__(self) -> str:
        return self.level if self.scope_id is None else f"{self.level}/{self.scope_id}"

    def members(self, tenant: str | None) -> dict[str, str | None]:
        """The scope as members of a query or body. TENANT/acme names its tenant all by itself."""
        own = self.scope_id if self.level == "TENANT" else None
        return {"scope": self.level, "scopeId": self.scope_id, "tenantId": tenant or own}


class ScopeType(click.ParamType[ScopeRef]):
    """A scope. Everything after the first slash is the id, which may hold more of them."""

    name = "scope"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ScopeRef:
        """Read a scope, or say what is wrong with it."""
        if isinstance(value, ScopeRef):
            return value
        word, slash, scope_id = value.partition("/")
        level = word.upper()
        if level not in LEVELS:
            self.fail(f"{word!r} is no level; there are {', '.join(LEVELS)}.", param, ctx)
        if level == "GLOBAL" and slash:
            self.fail("GLOBAL stands alone.", param, ctx)
        if level not in ("GLOBAL", "TENANT") and not scope_id:
            self.fail(f"{level} needs an id, as in {level}/…", param, ctx)
        return ScopeRef(level, scope_id or None)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The levels."""
        del ctx, param
        return [CompletionItem(level) for level in LEVELS if level.startswith(incomplete.upper())]


class NamesType(click.ParamType[tuple[str, ...]]):
    """Several names with commas between them."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Read names; spaces around them do not count."""
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in value.split(","))
        if not all(names):
            self.fail("a name is empty.", param, ctx)
        return names


class DurationType(click.ParamType[timedelta]):
    """A time span such as 90s, 15m, 1h30m or 7d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read a time span of at least a second."""
        if isinstance(value, timedelta):
            return value
        match = _DURATION.fullmatch(value)
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if not span:
            self.fail(f"{value!r} is no time span; write 90s, 15m, 1h30m or 7d.", param, ctx)
        return span


def parse_value(text: str) -> Any:
    """
    A value as typed: JSON, or a bare word for the string it spells.

    Raises UsageError for what starts like JSON and is none: to store it as a string would hide the mistake.
    """
    from app.domain.errors import Malformed
    from app.kit.json import parse_strictly

    try:
        return parse_strictly(text.encode("utf-8", "surrogateescape"))
    except Malformed as error:
        if text[:1] in ('"', "{", "[") or _is_json(text):
            raise click.UsageError(error.detail.replace("The body", "The value")) from error
    return text


def parse_object(text: str, *, option: str) -> dict[str, Any]:
    """An object in JSON. Raises UsageError naming the option."""
    value = parse_value(text)
    if not isinstance(value, dict):
        raise click.UsageError(f'{option} takes a JSON object, as in \'{{"reason": "…"}}\'.')
    return value


def value_or_negative_number(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Let `-1` pass as an argument and refuse `--oops` (the command must ignore unknown options for that)."""
    del param
    if value is not None and value[:1] == "-" and value != "-" and not _NUMBER.fullmatch(value):
        raise click.NoSuchOption(value, ctx=ctx)
    return value


def quoted_tag(tag: str | None) -> str | None:
    """An entity tag in its quotes, which shells tend to eat."""
    return tag if tag is None or tag == "*" or tag.startswith(('"', "W/")) else f'"{tag}"'


def _is_json(text: str) -> bool:
    """Whether a lenient reader takes it for JSON: then it was meant as such, though it cannot be kept."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
