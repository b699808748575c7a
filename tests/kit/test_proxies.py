"""Who sent a request, as far as it can be believed."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.config import Config
from app.kit.proxies import Origin, Proxies, sender_of

PROXY, OTHER_PROXY, CLIENT, LIE = "10.0.0.1", "10.0.0.2", "198.51.100.7", "203.0.113.9"
TRUSTING = Proxies(Config(trusted_proxies="10.0.0.0/8, 2001:db8:1::/48").proxies)


def asked(*headers: tuple[str, str], peer: str | None = PROXY, scheme: str = "http") -> Any:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in (("Host", "inner"), *headers)]
    return {"client": None if peer is None else (peer, 1), "scheme": scheme, "headers": raw}


EVERYTHING = (
    ("X-Forwarded-For", LIE),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "elsewhere"),
    ("X-Forwarded-Prefix", "/x"),
    ("X-Real-IP", LIE),
    ("Forwarded", f"for={LIE};proto=https;host=elsewhere"),
    ("X-Original-URL", "/x"),
)


@pytest.mark.parametrize("proxies", [Proxies(), TRUSTING], ids=["none", "some"])
@pytest.mark.parametrize("peer", [CLIENT, "", "unix", None])
def test_who_is_not_trusted_is_not_believed(proxies: Proxies, peer: str | None) -> None:
    assert proxies.origin_of(asked(*EVERYTHING, peer=peer)) == Origin(peer or "", False, "inner")


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert Proxies().origin_of(asked(*EVERYTHING)) == Origin(PROXY, False, "inner")


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ([CLIENT], CLIENT),
        ([f"{LIE}, {CLIENT}"], CLIENT),
        ([LIE, CLIENT], CLIENT),
        ([f"{LIE},{CLIENT} , {OTHER_PROXY}"], CLIENT),
        ([f"{OTHER_PROXY}, {LIE}, {CLIENT}"], CLIENT),
        ([OTHER_PROXY], OTHER_PROXY),
        ([f"{CLIENT}:4711"], CLIENT),
        (["[2001:db8:2::1]:4711"], "2001:db8:2::1"),
        (["2001:db8:2::1"], "2001:db8:2::1"),
        ([f"{LIE}, 2001:db8:1::5"], LIE),
        (["::ffff:198.51.100.7"], CLIENT),
        ([f"{LIE}, nonsense"], PROXY),
        ([f"{LIE}, nonsense, {OTHER_PROXY}"], OTHER_PROXY),
        ([f"{LIE}, unknown"], PROXY),
        ([f"{LIE},"], PROXY),
        ([""], PROXY),
        (["1.2.3.4.5"], PROXY),
        ([", ".join([LIE, *[OTHER_PROXY] * 1_000])], OTHER_PROXY),
    ],
)
def test_the_right_most_address_that_is_not_trusted_is_the_client(forwarded_for: list[str], client: str) -> None:
    headers = [("X-Forwarded-For", one) for one in forwarded_for]

    assert TRUSTING.origin_of(asked(*headers)).client == client


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (f"for={CLIENT}", CLIENT),
        (f"for={LIE}, For={CLIENT};proto=https", CLIENT),
        (f'for={LIE}, for="{CLIENT}:80";host="a,b"', CLIENT),
        ('for="[2001:db8:2::1]:4711"', "2001:db8:2::1"),
        (f"for={LIE}, for=_hidden", PROXY),
        (f'for={LIE}, for="\\{CLIENT}"', PROXY),
        (f'for={LIE}, by="', PROXY),
        ("", PROXY),
        (",", PROXY),
    ],
)
def test_the_standard_header_is_read_alike(forwarded: str, client: str) -> None:
    assert TRUSTING.origin_of(asked(("Forwarded", forwarded))).client == client


def test_two_headers_that_differ_are_both_not_believed() -> None:
    """A proxy writes one of them and lets the other pass as the client made it."""
    both = (("X-Forwarded-For", CLIENT), ("Forwarded", f"for={LIE};proto=https"))

    assert TRUSTING.origin_of(asked(*both)) == Origin(PROXY, False, "inner")
    assert TRUSTING.origin_of(asked(both[0], ("Forwarded", f"for={CLIENT}"))).client == CLIENT


def test_the_nearest_proxy_says_by_which_protocol_and_name_it_was_asked() -> None:
    said = (("X-Forwarded-Proto", "http, HTTPS"), ("X-Forwarded-Host", "lie, setpoint.example"))

    assert TRUSTING.origin_of(asked(*said)) == Origin(PROXY, True, "setpoint.example")
    assert TRUSTING.origin_of(asked(("Forwarded", "proto=https;host=setpoint.example"))).secure
    assert TRUSTING.origin_of(asked(scheme="https")).secure
    assert not TRUSTING.origin_of(asked(("X-Forwarded-Proto", "http"), scheme="https")).secure


@pytest.mark.parametrize("unit", [",", ";", '"', '\\"', "a=", '"a",', "for=1,", " ", 'for="', "=" * 7])
def test_no_header_takes_long_to_read(unit: str) -> None:
    text = unit * (16_384 // len(unit))
    began = time.process_time()

    for name in ("Forwarded", "X-Forwarded-For"):
        TRUSTING.origin_of(asked((name, text)))

    assert time.process_time() - began < 0.05


@pytest.mark.parametrize(
    ("client", "sender"),
    [
        (CLIENT, CLIENT),
        ("2001:db8:2:3::1", "2001:db8:2:3::/64"),
        ("2001:db8:2:3:ffff::2", "2001:db8:2:3::/64"),
        ("2001:db8:2:4::1", "2001:db8:2:4::/64"),
        ("::ffff:198.51.100.7", CLIENT),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_a_network_of_ipv6_is_one_sender(client: str, sender: str) -> None:
    assert sender_of(client) == sender
