"""Random requests for settings: most of them usual, the others wrong in every way that a request can be wrong."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from tests.fast_lane.lanes import Asked, Header
from tests.world import DE_CONTEXT, DEFINITIONS

BAD = 400
AGAIN = 0.4  # the share of requests that somebody has sent before
LATELY = 40  # how many of them are remembered

KEYS = [*DEFINITIONS, "no.such", "ui", "UI.theme", "a" * 201, "ui..theme", "", "effective", "ui.theme/", "ü.x"]
CONTEXTS: list[Mapping[str, str]] = [
    {},
    {"territory": "DE"},
    {"territory": "CH"},
    DE_CONTEXT,
    {"accountId": "adler"},
    {"accountId": "bern", "userId": "carl"},
    {"userId": "alice"},
    {"userId": "bob", "territory": "DE"},
    {"contactRole": "BUYER"},
    {"tenantId": "acme", "territory": "DE"},
    {"tenantId": "globex"},
    {"tenantId": "globex", "accountId": "initech"},
    {"tenantId": "nowhere"},
    {"territory": "Übersee & Co"},
]
PLACES: list[Mapping[str, str]] = [
    {"scope": "GLOBAL"},
    {"scope": "TENANT"},
    {"scope": "TENANT", "scopeId": "acme"},
    {"scope": "TERRITORY", "scopeId": "DE"},
    {"scope": "ACCOUNT", "scopeId": "adler"},
    {"scope": "ACCOUNT", "scopeId": "bern"},
    {"scope": "USER", "scopeId": "alice"},
    {"scope": "USER", "scopeId": "alice", "tenantId": "acme"},
    {"scope": "TENANT", "tenantId": "globex"},
    {"scope": "ACCOUNT"},
    {"scope": "GLOBAL", "scopeId": "x"},
    {"scope": "NOWHERE"},
    {},
]
SELECTIONS: list[Mapping[str, str]] = [
    {},
    {"prefix": "ui."},
    {"prefix": "limit."},
    {"prefix": "none"},
    {"keys": "ui.theme,limit.shown"},
    {"keys": "limit.shown,ui.theme,limit.shown,limit.secret"},
    {"keys": "limit.secret"},
    {"keys": "UI"},
    {"keys": ""},
    {"keys": "ui.theme", "prefix": "ui"},
    {"explain": "true"},
    {"explain": "false"},
    {"explain": "1"},
]
ODD_QUERIES = [
    b"territory=DE&territory=DE",
    b"nothing=1",
    b"territory",
    b"&territory=DE",
    b"territory=%44%45",
    b"%74erritory=DE",
    b"territory=DE&",
    b"territory=%ZZ",
    b"territory=%FF",
    b"territory=\xff",
    b"territory=D%00E",
    b"territory=DE%20",
    b"territory=+DE",
    b"territory=D+E",
    b"explain=",
    b"a" * 3_000 + b"=1",
    b"territory=" + b"x" * 17_000,
    b"&".join(b"p%d=1" % number for number in range(70)),
]
ODD_PATHS = [
    "/api/settings/",
    "/api/settings/effective/",
    "/api//settings/effective",
    "/api/settings/resolve/",
    "/api/settings/resolve/ui.theme/history",
    "/api/settings/Effective",
    "/api/settings/list",
    "/api/settings/00000000-0000-7000-8000-000000000000",
    "/api/settings/stats/cache",
    "/api/definitions/ui.theme",
]
GOOD_ACCEPTS = [b"application/json", b"*/*", b"text/html, */*;q=0.1", b"", b"APPLICATION/*"]
BAD_ACCEPTS = [b"text/html", b"application/json;q=0"]
ODD_TAGS = [b"*", b'"x"', b'W/"x"', b"x", b'"', b"", b'"a","b"', b"W/*", b'"\xe9"']
ODD_HEADERS: list[Sequence[Header]] = [
    [(b"host", b"setpoint.test"), (b"host", b"other.test")],
    [(b"host", b"other.test")],
    [(b"host", b"SETPOINT.TEST:80")],
    [(b"host", b"")],
    [(b"content-length", b"0")],
    [(b"content-encoding", b"gzip")],
    [(b"content-encoding", b"identity")],
    [(b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")],
    [(b"x-forwarded-for", b"192.0.2.7"), (b"x-forwarded-proto", b"https")],
    [(b"forwarded", b"for=192.0.2.7;proto=https;host=other.test")],
    [(b"setpoint-override-reason", b"an urgent matter")],
    [(b"setpoint-override-reason", b"")],
    [(b"setpoint-server-timing", b"0")],
    [(b"x-request-id", b"has spaces in it")],
    [(b"x-request-id", b"one"), (b"x-request-id", b"two")],
    [(b"accept", b"text/html"), (b"accept", b"application/json")],
    [(b"x-large", b"x" * 33_000)],
    [(b"x" * 33_000, b"large")],
    [(b"cookie", b"a=b"), (b"cookie", b"c=d")],
    [(b"if-none-match", b'"a"'), (b"if-none-match", b"*")],
    [(b"range", b"bytes=0-1")],
    [(b"if-match", b'"x"')],
    [(b"if-modified-since", b"Tue, 24 Nov 2026 00:00:00 GMT")],
]
POSITIONS = [b"0", b"1", b"x", b"-1", b"", b"0" * 18, b"0" * 19, b"1e3", b" 1", "١".encode()]


class Requests:
    """Makes requests with the credentials it is given, by chance. It learns the tags of answers to ask with them."""

    def __init__(self, chance: random.Random, *, usual: Sequence[bytes], odd: Sequence[Sequence[Header]]) -> None:
        self._chance = chance
        self._usual = usual
        self._odd = odd
        self._tags: dict[tuple[str, bytes], bytes] = {}
        self._good: list[Asked] = []  # what was answered lately
        self.head = 0

    def learn(self, asked: Asked, status: int, tag: bytes | None) -> None:
        """Remember what was answered, to ask it again, and with which tag."""
        if tag is None or status >= BAD:
            return
        self._tags[asked.path, asked.query] = tag
        self._good = [*self._good[-LATELY:], asked]

    def next(self) -> Asked:
        """One more: something new, or something asked lately, now with its tag."""
        chance = self._chance
        if self._good and chance.random() < AGAIN:
            again = chance.choice(self._good)
            headers = [field for field in again.headers if field[0] != b"if-none-match"]
            if chance.random() < 0.7:
                headers.append((b"if-none-match", self._tag(again.path, again.query)))
            return again._replace(headers=tuple(headers))
        return self._new()

    def _new(self) -> Asked:
        chance = self._chance
        path, query = self._target()
        headers: list[Header] = [(b"host", b"setpoint.test"), *self._credential()]
        if chance.random() < 0.5:
            headers.append((b"x-request-id", b"request-%d" % chance.randrange(10**9)))
        if chance.random() < 0.4:
            headers.append((b"accept", chance.choice(GOOD_ACCEPTS if chance.random() < 0.9 else BAD_ACCEPTS)))
        if chance.random() < 0.6:
            headers.append((b"if-none-match", self._tag(path, query)))
        if chance.random() < 0.1:
            headers.append((b"setpoint-min-position", self._position()))
        if chance.random() < 0.12:
            odd = chance.choice(ODD_HEADERS)
            names = {name for name, _ in odd}
            headers = [field for field in headers if field[0] not in names] + list(odd)
        if chance.random() < 0.02:
            chance.shuffle(headers)
        method = chance.choices(["GET", "HEAD", "OPTIONS", "DELETE", "TRACE"], weights=[80, 17, 1, 1, 1])[0]
        scheme = "https" if chance.random() < 0.1 else "http"
        client = chance.choices([("127.0.0.1", 1), ("2001:db8::1", 1), None], weights=[90, 8, 2])[0]
        return Asked(method, path, query, tuple(headers), scheme, client)

    def _target(self) -> tuple[str, bytes]:
        chance = self._chance
        kind = chance.random()
        if kind < 0.04:
            return chance.choice(ODD_PATHS), b""
        if kind < 0.40:
            key = chance.choice(list(DEFINITIONS) if chance.random() < 0.85 else KEYS)
            return f"/api/settings/resolve/{key}", self._query(self._context(), self._explain())
        if kind < 0.75:
            selections = SELECTIONS if chance.random() < 0.4 else SELECTIONS[:5]
            return "/api/settings/effective", self._query(self._context(), chance.choice(selections))
        key = chance.choice([*DEFINITIONS] if chance.random() < 0.9 else KEYS)
        return "/api/settings", self._query({"key": key}, chance.choice(PLACES))

    def _context(self) -> Mapping[str, str]:
        return self._chance.choice(CONTEXTS if self._chance.random() < 0.5 else CONTEXTS[:5])

    def _explain(self) -> Mapping[str, str]:
        return {"explain": self._chance.choice(["true", "false", "yes"])} if self._chance.random() < 0.05 else {}

    def _query(self, *parts: Mapping[str, str]) -> bytes:
        if self._chance.random() < 0.06:
            return self._chance.choice(ODD_QUERIES)
        pairs = [(name, value) for part in parts for name, value in part.items()]
        if self._chance.random() < 0.1:
            self._chance.shuffle(pairs)
        return "&".join(f"{name}={quote(value, safe=',')}" for name, value in pairs).encode()

    def _credential(self) -> Sequence[Header]:
        chance = self._chance
        if chance.random() < 0.12:
            return chance.choice(self._odd)
        credential = chance.choice(self._usual)
        if chance.random() < 0.2:
            return [(b"x-api-key", credential)]
        scheme = chance.choices([b"Bearer ", b"bearer ", b"Bearer  "], weights=[18, 1, 1])[0]
        return [(b"authorization", scheme + credential)]

    def _tag(self, path: str, query: bytes) -> bytes:
        chance = self._chance
        own = self._tags.get((path, query), b'"unknown"')
        foreign = chance.choice(list(self._tags.values()) or [b'"none"'])
        kind = chance.random()
        if kind < 0.55:
            return own
        if kind < 0.65:
            return b"W/" + own
        if kind < 0.75:
            return foreign + b", " + own
        if kind < 0.85:
            return foreign
        return chance.choice(ODD_TAGS)

    def _position(self) -> bytes:
        if self._chance.random() < 0.9:
            return b"%d" % self._chance.randint(0, self.head)
        return self._chance.choice([*POSITIONS, b"%d" % (self.head + 5)])
