"""What is asked of the node: requests like those of real clients, over many contexts, chosen by a printed seed."""

from __future__ import annotations

import json
import random
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from load import Request
from synthetic import KEYS, account_name, key_name

from app.access.local_key import ensure_local_key, sign
from app.domain.access import Principal
from app.domain.definition import Sensitivity
from app.kit.clock import utc_now

HOST = "127.0.0.1"
CONTEXTS = 256  # different questions asked in turn


class WrongAnswer(Exception):
    """A request was not answered as it has to be for its figures to mean anything."""


def admin_token(data: Path) -> str:
    """A token of the demo tenant's admin, signed by the node's development key."""
    admin = Principal(id="bench", tenant="acme", roles=("admin",), clearance=Sensitivity.SECRET.rank)
    return sign(ensure_local_key(data), admin, now=utc_now(), ttl=timedelta(hours=2))


def contexts(scopes: int, *, seed: int) -> list[str]:
    """Query strings of many contexts: territories, accounts in them, and users at those."""
    chosen = random.Random(seed)
    found = []
    for number in range(CONTEXTS):
        territory = f"territory={chosen.choice(('DE', 'CH'))}"
        account = f"accountId={account_name(chosen.randrange(max(1, scopes // 2)))}"  # the others are cold ones
        user = f"userId={chosen.choice(('alice', 'bob', 'carl'))}"
        found.append("&".join([territory, account, user][: 1 + number % 3]))
    return found


def ask(port: int, request: Request) -> tuple[int, Mapping[str, str], bytes]:
    """One request on its own: status, headers by lower-case name, body."""
    body = request.body.encode() or None
    asked = urllib.request.Request(f"http://{HOST}:{port}{request.path}", body, request.headers, method=request.method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


def expect(port: int, requests: Sequence[Request], status: int) -> None:
    """Ask each once and insist on the status: figures of error pages are worth nothing."""
    for request in requests:
        got, _, body = ask(port, request)
        if got != status:
            raise WrongAnswer(f"{request.method} {request.path} answered {got} instead of {status}: {body.decode()}")


def resolve_requests(scopes: int, token: str, *, seed: int) -> list[Request]:
    """One effective value each, of a synthetic or a demo key."""
    chosen = random.Random(seed)
    keys = [*(key_name(index) for index in range(KEYS)), "ui.theme", "notifications.channels", "help.nudge.enabled"]
    return [
        Request("GET", f"/api/settings/resolve/{chosen.choice(keys)}?{context}", auth(token))
        for context in contexts(scopes, seed=seed)
    ]


def effective_requests(scopes: int, token: str, *, seed: int) -> list[Request]:
    """All effective values of a context each."""
    return [
        Request("GET", f"/api/settings/effective?{context}", auth(token)) for context in contexts(scopes, seed=seed)
    ]


def accounts_in(requests: Sequence[Request]) -> list[str]:
    """The accounts that these questions are about, each once, in their order."""
    named = (re.search(r"accountId=([\w-]+)", one.path) for one in requests)
    return list(dict.fromkeys(match[1] for match in named if match is not None))


def put_requests(port: int, accounts: Sequence[str], token: str) -> list[Request]:
    """Replacements of one value each, of these accounts."""
    found = []
    for account, read in zip(accounts, value_requests(accounts, token), strict=True):
        _, _, body = ask(port, read)
        # Any state will do here: a tag of its own would make each request a question of its own.
        headers = auth(token) | {"Content-Type": "application/json", "If-Match": "*"}
        value = json.dumps({"value": f"again {account}"})
        found.append(Request("PUT", f"/api/settings/{json.loads(body)['id']}", headers, value))
    return found


def value_requests(accounts: Sequence[str], token: str) -> list[Request]:
    """The reads of the values that `put_requests` replaces, in the same order."""
    return [
        Request("GET", f"/api/settings?scope=ACCOUNT&scopeId={account}&key={key_name(1)}", auth(token))
        for account in accounts
    ]


def conditional(port: int, requests: Sequence[Request]) -> list[Request]:
    """The same questions of somebody who has the answers."""
    return [
        Request(one.method, one.path, one.headers | {"If-None-Match": ask(port, one)[1]["etag"]}) for one in requests
    ]


def auth(token: str) -> dict[str, str]:
    """The headers of somebody with this token."""
    return {"Authorization": f"Bearer {token}"}


def cold_requests(scopes: int, token: str, *, seed: int) -> list[Request]:
    """Questions in contexts that nothing else here asks about: each account once, and none twice."""
    del seed
    return [
        Request("GET", f"/api/settings/effective?territory=DE&accountId={account_name(number)}", auth(token))
        for number in range(scopes // 2, scopes)
    ]


def median_bytes(port: int, requests: Sequence[Request]) -> int:
    """The length of the answer in the middle, by size."""
    return sorted(len(ask(port, one)[2]) for one in requests)[len(requests) // 2]
