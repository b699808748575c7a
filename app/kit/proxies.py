"""
Where a request comes from, when proxies stand in front.

`X-Forwarded-For`, `-Proto` and `-Host` and `Forwarded` (RFC 7239) are what anybody may write, so they are believed only
as far as the chain of trusted proxies reaches: from the peer of the connection backwards, through addresses that are
trusted, to the first that is not. That one is the client. Nothing else about a request reads these headers.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from app.config import Network
from app.kit import asgi

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_HOPS = 20  # of a chain; longer ones are made up
_IPV6_CLIENT_BITS = 64  # one client has at least that much of IPv6, and could send from another address each time

# Without escapes: no address or name needs them, and with them an unclosed quote costs quadratic time.
_FORWARDED_ELEMENT = re.compile(r'(?:[^,"]|"[^"]*")+')
_FORWARDED_PAIR = re.compile(r'\s*(\w+)\s*=\s*(?:"([^"\\]*)"|([^\s;,"]*))\s*')
_NODE = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([0-9.]+)(?::\d{1,5})?|([0-9A-Fa-f:.]+)")


class Origin(NamedTuple):
    """Who sent a request, as far as it can be believed. `client` is an address, or empty when there is none."""

    client: str
    secure: bool  # whether it came over TLS to the outermost proxy, or to us
    host: str | None


class Proxies:
    """The proxies that are believed, by their networks."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = tuple(trusted)
        self.any = bool(trusted)  # without any, a request comes from the peer of its connection
        self._is_trusted = functools.lru_cache(maxsize=4_096)(self._in_trusted)

    def origin_of(self, scope: asgi.Scope) -> Origin:
        """Where the request comes from."""
        peer = scope.get("client")
        client = peer[0] if peer else ""
        secure = scope.get("scheme") == "https"
        host = asgi.header(scope, b"host")
        if not self._trusted or not self._is_trusted(client):
            return Origin(client, secure, host)
        told = _told(scope)
        if told is None:
            return Origin(client, secure, host)
        return Origin(
            self._first_untrusted(client, told.hops),
            secure if told.proto is None else told.proto == "https",
            host if told.host is None else told.host,
        )

    def _first_untrusted(self, client: str, hops: Sequence[str]) -> str:
        """The right-most address that is not trusted; the last good one where the chain cannot be read."""
        for hop in reversed(hops[-MAX_HOPS:]):
            if not self._is_trusted(client):
                break
            address = _address(hop)
            if address is None:
                break
            client = str(address)
        return client

    def _in_trusted(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._trusted)


class _Told(NamedTuple):
    """What the proxies say, left to right as written; of protocol and host the word of the nearest one."""

    hops: Sequence[str]
    proto: str | None
    host: str | None


def _told(scope: asgi.Scope) -> _Told | None:
    """
    What is said in the one way that the proxies use.

    None when both ways are used and differ about the client: most proxies write only one of them and let the other
    pass as the client sent it, and there is no telling which.
    """
    listed, standard = _x_forwarded(scope), _forwarded(scope)
    if listed is None or standard is None:
        return listed or standard
    same = [_address(hop) for hop in listed.hops] == [_address(hop) for hop in standard.hops]
    return listed if same else None


def _x_forwarded(scope: asgi.Scope) -> _Told | None:
    hops = _members(scope, b"x-forwarded-for")
    protos = _members(scope, b"x-forwarded-proto")
    hosts = _members(scope, b"x-forwarded-host")
    if not hops and not protos and not hosts:
        return None
    return _Told(hops, protos[-1].lower() if protos else None, hosts[-1] if hosts else None)


def _members(scope: asgi.Scope, name: bytes) -> list[str]:
    text = asgi.header(scope, name)
    return [] if text is None else [one.strip() for one in text.split(",")]


def _forwarded(scope: asgi.Scope) -> _Told | None:
    text = asgi.header(scope, b"forwarded")
    if text is None:
        return None
    elements = [_pairs(element) for element in _FORWARDED_ELEMENT.findall(text)]
    last = elements[-1] if elements else {}
    return _Told([one.get("for", "") for one in elements], last.get("proto"), last.get("host"))


def _pairs(element: str) -> dict[str, str]:
    """The parameters of one element; nothing of one that cannot be read."""
    found: dict[str, str] = {}
    for part in element.split(";"):
        match = _FORWARDED_PAIR.fullmatch(part)
        if match is None:
            return {}
        found[match[1].lower()] = match[2] if match[2] is not None else match[3]
    return found


@functools.lru_cache(maxsize=4_096)
def _address(text: str) -> Address | None:
    """The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`."""
    match = _NODE.fullmatch(text.strip())
    if match is None:
        return None
    try:
        address = ipaddress.ip_address(match[1] or match[2] or match[3])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@functools.lru_cache(maxsize=4_096)
def sender_of(client: str) -> str:
    """What counts as one sender: an IPv4 address, or the /64 network of an IPv6 one."""
    address = _address(client)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_CLIENT_BITS), strict=False))
    return client if address is None else str(address)
