"""Which names we answer to."""

from __future__ import annotations

import pytest

from app.config import Config
from app.kit.hosts import Hosts
from app.kit.problems import HostNotAllowed

OURS = Hosts(Config(allowed_hosts="setpoint.example, *.internal.example,192.0.2.1,[2001:DB8::1]").hosts)


@pytest.mark.parametrize(
    "host",
    [
        "setpoint.example",
        "Setpoint.EXAMPLE",
        "setpoint.example.",
        "setpoint.example:8080",
        "a.internal.example",
        "a.b.internal.example:1",
        "192.0.2.1:80",
        "[2001:db8::1]:80",
    ],
)
def test_our_names_are_answered(host: str) -> None:
    OURS.require(host)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "elsewhere.example",
        "setpoint.example.elsewhere.example",
        "x.setpoint.example",
        "setpointxexample",
        "internal.example",
        ".internal.example",
        "notinternal.example",
        "x@setpoint.example",
        "setpoint.example, setpoint.example",
        "setpoint.example:",
        "setpoint.example:x",
        "setpoint.example:80:80",
        "setpoint.example\n",
        " setpoint.example",
        "setpoint.example/",
        "[2001:db8::2]",
        "2001:db8::1",
    ],
)
def test_all_other_names_are_not(host: str | None) -> None:
    with pytest.raises(HostNotAllowed):
        OURS.require(host)


def test_without_a_list_any_name_is_answered() -> None:
    for host in (None, "", "elsewhere.example", "\x00"):
        Hosts().require(host)
