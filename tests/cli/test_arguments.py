"""What is written on a command line stands for the value one would think."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click
import pytest

from app.cli.arguments import (
    LEVELS,
    DurationType,
    NamesType,
    ScopeRef,
    ScopeType,
    parse_object,
    parse_value,
    quoted_tag,
    value_or_negative_number,
)
from app.domain.scope import Level


def test_the_levels_are_those_of_the_domain() -> None:
    assert tuple(Level) == LEVELS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("0", 0),
        ("-1.5", -1.5),
        ("null", None),
        ('"1"', "1"),
        ('{"a": [1]}', {"a": [1]}),
        ("dark", "dark"),
        ("de-CH", "de-CH"),
        ("P14D", "P14D"),
        ("", ""),
        ("two words", "two words"),
        ("True", "True"),
    ],
)
def test_a_value_is_json_or_the_string_it_spells(text: str, value: Any) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize("text", ['{"a":', "[1,]", '"open', '{"a": 1, "a": 2}', "1e999", "NaN", '"\\u0000"'])
def test_what_was_meant_as_json_and_cannot_be_kept_is_no_string(text: str) -> None:
    with pytest.raises(click.UsageError):
        parse_value(text)


def test_metadata_is_an_object() -> None:
    assert parse_object('{"reason": "x"}', option="--metadata") == {"reason": "x"}
    with pytest.raises(click.UsageError, match="--metadata takes a JSON object"):
        parse_object("word", option="--metadata")


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("GLOBAL", ScopeRef("GLOBAL", None)),
        ("global", ScopeRef("GLOBAL", None)),
        ("TENANT", ScopeRef("TENANT", None)),
        ("TENANT/acme", ScopeRef("TENANT", "acme")),
        ("TERRITORY/DE", ScopeRef("TERRITORY", "DE")),
        ("ACCOUNT/a/b", ScopeRef("ACCOUNT", "a/b")),
    ],
)
def test_a_scope_is_a_level_and_an_id(text: str, scope: ScopeRef) -> None:
    assert ScopeType().convert(text, None, None) == scope


@pytest.mark.parametrize("text", ["", "PLANET/x", "GLOBAL/x", "GLOBAL/", "TERRITORY", "USER/"])
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        ScopeType().convert(text, None, None)


def test_a_tenant_scope_names_its_tenant_unless_another_is_named() -> None:
    assert ScopeRef("TENANT", "acme").members(None)["tenantId"] == "acme"
    assert ScopeRef("TENANT", "acme").members("globex")["tenantId"] == "globex"
    assert ScopeRef("USER", "alice").members(None)["tenantId"] is None


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1h30m", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
    ],
)
def test_a_time_span_is_numbers_with_units(text: str, span: timedelta) -> None:
    assert DurationType().convert(text, None, None) == span


@pytest.mark.parametrize("text", ["", "0s", "1", "1w", "-1h", "1h1h", "1m1h", "9999999d"])
def test_what_is_no_time_span_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        DurationType().convert(text, None, None)


def test_names_have_commas_between_them() -> None:
    assert NamesType().convert("DE, CH", None, None) == ("DE", "CH")
    with pytest.raises(click.BadParameter):
        NamesType().convert("DE,,CH", None, None)


def test_a_tag_gets_the_quotes_that_the_shell_took() -> None:
    assert [quoted_tag(tag) for tag in (None, "*", "v7", '"v7"')] == [None, "*", '"v7"', '"v7"']


def test_a_negative_number_is_a_value_and_an_unknown_option_is_none() -> None:
    context = click.Context(click.Command("set"))
    parameter = click.Argument(["value"])

    assert value_or_negative_number(context, parameter, "-1.5e3") == "-1.5e3"
    assert value_or_negative_number(context, parameter, "-") == "-"
    with pytest.raises(click.NoSuchOption):
        value_or_negative_number(context, parameter, "--scop")
