"""
Tokens that are believed, and all those that are not: abuse tests A01 to A07, without a server.

The clock stands still in the past, so that a look at any other clock would show.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from app.access.authentication import (
    LEEWAY_SECONDS,
    MAX_TOKEN_BYTES,
    Authenticator,
    Identity,
    credential_of,
)
from app.access.keys import Issuer
from app.access.revocation.standing import Standing
from app.domain.access import Principal
from app.domain.errors import Malformed, SetpointError, Unauthenticated
from tests.builders import AT

NOW = AT
ISS, AUD = "https://issuer.test", "setpoint"
OTHER_ISS = "https://other.test"

ED = Ed25519PrivateKey.generate()
STRANGER = Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


class Frozen:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def authenticator(clock: Frozen | None = None, *, cache_entries: int = 100) -> Authenticator:
    issuers = {
        ISS: Issuer(ISS, audience=AUD, keys={"ed": ("EdDSA", ED.public_key())}),
        OTHER_ISS: Issuer(
            OTHER_ISS,
            audience=AUD,
            keys={"rsa": ("RS256", RSA.public_key()), "ec": ("ES256", EC.public_key())},
        ),
    }
    return Authenticator(issuers, clock=clock or Frozen(), cache_entries=cache_entries)


def claims(**changes: Any) -> dict[str, Any]:
    """What a token of Alice says; a change to ... leaves a claim out."""
    fields = {"iss": ISS, "aud": AUD, "sub": "alice", "exp": int(NOW.timestamp()) + 3600, **changes}
    return {name: value for name, value in fields.items() if value is not ...}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(
    body: dict[str, Any] | bytes | None = None, *, header: dict[str, Any] | bytes | None = None, key: Any = ED
) -> str:
    """A token signed with a key, whatever it says."""
    head = header if isinstance(header, bytes) else json.dumps({"alg": "EdDSA", "kid": "ed"} | (header or {})).encode()
    payload = body if isinstance(body, bytes) else json.dumps(claims() if body is None else body).encode()
    signed = f"{b64(head)}.{b64(payload)}"
    return f"{signed}.{b64(key.sign(signed.encode()))}"


def refused(text: str, who: Authenticator | None = None) -> str:
    with pytest.raises(Unauthenticated) as caught:
        (who or authenticator()).identify(text)
    assert type(caught.value) is Unauthenticated
    assert caught.value.errors == ()
    return caught.value.detail


def identified(text: str) -> Principal:
    return authenticator().identify(text).principal


# ---- Tokens that are believed ----


def test_a_token_vouches_for_its_principal() -> None:
    identity = authenticator().identify(
        token(
            claims(
                tenant="acme",
                kind="service",
                roles=["user", "admin", "user"],
                territories=["FR", "DE"],
                accounts=["a-2", "a-1"],
                clearance="secret",
                email="not looked at",
            )
        )
    )

    assert identity == Identity(
        principal=Principal(
            id="alice",
            kind="service",
            tenant="acme",
            roles=("admin", "user"),
            territories=("DE", "FR"),
            accounts=("a-1", "a-2"),
            clearance=3,
        ),
        issuer=ISS,
        expires_at=NOW.timestamp() + 3600,
    )


def test_a_token_that_says_little_vouches_for_little() -> None:
    assert identified(token()) == Principal(id="alice", clearance=1)


def test_the_other_algorithms() -> None:
    for key, key_id, algorithm in [(RSA, "rsa", "RS256"), (EC, "ec", "ES256")]:
        text = jwt.encode(claims(iss=OTHER_ISS), key, algorithm=algorithm, headers={"kid": key_id})

        assert identified(text).id == "alice"


def test_an_ed25519_key_serves_one_algorithm_that_has_two_names() -> None:
    """RFC 9864 calls Ed25519 what RFC 8037 called EdDSA."""
    assert identified(token(header={"alg": "Ed25519"})).id == "alice"
    refused(token(header={"alg": "ed25519"}))
    refused(token(header={"alg": "Ed448"}))


def test_scopes_are_those_that_the_token_names() -> None:
    assert identified(token(claims(scope="b a b"))) == Principal(id="alice", scopes=("a", "b"), scoped=True)
    assert identified(token(claims(scope=""))) == Principal(id="alice", scoped=True)
    assert identified(token()) == Principal(id="alice", scoped=False)


def test_without_a_key_id_the_only_key_of_the_issuer_is_meant() -> None:
    header = json.dumps({"alg": "EdDSA"}).encode()

    assert identified(token(header=header)).id == "alice"
    refused(jwt.encode(claims(iss=OTHER_ISS), EC, algorithm="ES256"))  # it has two


def test_an_audience_among_others_is_ours() -> None:
    assert identified(token(claims(aud=["other", AUD]))).id == "alice"


# ---- A01: no signature ----


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "NONE", "", None, [], ["EdDSA"], {}, 0, "HS256"])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_a01_an_unsigned_token_is_refused(algorithm: Any, signature: str) -> None:
    head = b64(json.dumps({"alg": algorithm, "kid": "ed", "typ": "JWT"}).encode())

    refused(f"{head}.{b64(json.dumps(claims()).encode())}.{signature}")


def test_a01_a_token_without_an_algorithm_is_refused() -> None:
    refused(token(header=json.dumps({"kid": "ed"}).encode()))


def test_a01_a_stripped_or_changed_signature_is_refused() -> None:
    text = token()
    head, payload, signature = text.split(".")
    other = b64(json.dumps(claims(sub="mallory")).encode())

    assert identified(text).id == "alice"
    for bad in [
        f"{head}.{payload}.",
        f"{head}.{payload}",
        f"{head}.{other}.{signature}",
        f"{head}.{payload}.{b64(b'0' * 64)}",
        f"{head}.{payload}.{signature}.",
        f".{payload}.{signature}",
        token(key=STRANGER),
    ]:
        refused(bad)


# ---- A02: a public key as a shared secret, and other confusions of algorithm ----


@pytest.mark.parametrize("form", [serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a02_a_public_key_is_no_shared_secret(form: serialization.PublicFormat, algorithm: str) -> None:
    secret = RSA.public_key().public_bytes(serialization.Encoding.PEM, form)
    head = b64(json.dumps({"alg": algorithm, "kid": "rsa"}).encode())
    signed = f"{head}.{b64(json.dumps(claims(iss=OTHER_ISS)).encode())}"
    digest = hmac.new(secret, signed.encode(), getattr(hashlib, algorithm.replace("HS", "sha"))).digest()

    refused(f"{signed}.{b64(digest)}")


@pytest.mark.parametrize("algorithm", ["Ed25519", "EdDSA"])
def test_a02_the_name_of_one_algorithm_opens_no_key_of_another(algorithm: str) -> None:
    for key_id, iss in (("rsa", OTHER_ISS), ("ec", OTHER_ISS)):
        refused(token(claims(iss=iss), header={"alg": algorithm, "kid": key_id}))


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_a02_a_key_serves_one_algorithm_only(algorithm: str) -> None:
    refused(jwt.encode(claims(iss=OTHER_ISS), RSA, algorithm=algorithm, headers={"kid": "rsa"}))


def test_a02_the_algorithm_of_another_key_of_the_same_issuer_is_refused() -> None:
    head = b64(json.dumps({"alg": "ES256", "kid": "rsa"}).encode())
    signed = f"{head}.{b64(json.dumps(claims(iss=OTHER_ISS)).encode())}"

    refused(f"{signed}.{b64(RSA.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}")


# ---- A03: key ids ----


@pytest.mark.parametrize(
    "key_id",
    [
        "../../../../dev/null",
        "/etc/passwd",
        "' OR 1=1 --",
        "ed\0",
        "ED",
        "ed ",
        "",
        "x" * 4_000,
        1,
        0,
        True,
        None,
        ["ed"],
        {"ed": 1},
        "rsa",  # of another issuer
        "http://127.0.0.1/ed",
    ],
    ids=lambda key_id: repr(key_id)[:30],
)
def test_a03_a_key_id_is_only_looked_up(key_id: Any) -> None:
    refused(token(header={"kid": key_id}))


def test_a03_a_key_of_one_issuer_does_not_speak_for_another() -> None:
    refused(token(claims(iss=OTHER_ISS)))
    refused(jwt.encode(claims(iss=ISS), RSA, algorithm="RS256", headers={"kid": "rsa"}))


# ---- A04: keys brought along ----


@pytest.mark.parametrize("name", ["jku", "x5u"])
def test_a04_nobody_is_asked_for_a_key(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        refused(token(header={name: f"http://127.0.0.1:{listener.getsockname()[1]}/keys"}))
        refused(token(header={name: f"http://127.0.0.1:{listener.getsockname()[1]}/keys"}, key=STRANGER))

        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a04_a_key_brought_along_is_not_used() -> None:
    brought = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(STRANGER.public_key()))

    refused(token(header={"jwk": brought}, key=STRANGER))
    refused(token(header={"jwk": brought}))
    refused(token(header={"x5c": ["AAAA"]}))


# ---- A05: issuer, audience, times ----


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": ...},
        {"iss": None},
        {"iss": ""},
        {"iss": "https://issuer.test/"},
        {"iss": "https://ISSUER.test"},
        {"iss": [ISS]},
        {"iss": {ISS: 1}},
        {"iss": 1},
        {"aud": ...},
        {"aud": None},
        {"aud": ""},
        {"aud": "other"},
        {"aud": "setpoint "},
        {"aud": []},
        {"aud": ["other"]},
        {"aud": [AUD, 1]},
        {"aud": {AUD: 1}},
        {"sub": ...},
        {"sub": None},
        {"exp": ...},
        {"exp": None},
        {"exp": "4102448400"},
        {"exp": True},
        {"exp": []},
        {"exp": -1},
        {"exp": 0},
        {"exp": 10**400},
        {"exp": 253_402_300_800},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": float("-inf")},
        {"exp": int(NOW.timestamp()) - LEEWAY_SECONDS},
        {"nbf": int(NOW.timestamp()) + LEEWAY_SECONDS + 1},
        {"nbf": NOW.timestamp() + LEEWAY_SECONDS + 0.001},
        {"nbf": "now"},
        {"nbf": None},
        {"nbf": float("nan")},
        {"nbf": 10**400},
        {"iat": int(NOW.timestamp()) + LEEWAY_SECONDS + 1},
        {"iat": "1"},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_a05_a_token_that_is_not_for_us_or_not_now_is_refused(wrong: dict[str, Any]) -> None:
    refused(token(claims(**wrong)))


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e1000000", "9" * 5_000])
def test_a05_numbers_beyond_all_bounds_are_refused(number: str) -> None:
    refused(token(json.dumps(claims(exp=0)).replace(": 0}", f": {number}}}").encode()))


def test_a05_a_token_may_be_younger_than_now_by_the_leeway() -> None:
    latest = int(NOW.timestamp()) + LEEWAY_SECONDS

    assert identified(token(claims(nbf=latest, iat=latest))).id == "alice"


@pytest.mark.parametrize("exp", [int(NOW.timestamp()), NOW.timestamp() + 0.5], ids=["integer", "float"])
@pytest.mark.parametrize("warm", [True, False])
def test_a05_a_token_is_good_for_exactly_the_leeway_after_its_expiry(exp: float, warm: bool) -> None:
    clock = Frozen()
    who = authenticator(clock)
    text = token(claims(exp=exp))
    if warm:
        who.identify(text)

    clock.now = datetime.fromtimestamp(exp, UTC) + timedelta(seconds=LEEWAY_SECONDS, microseconds=-1)
    assert who.identify(text).principal.id == "alice"

    clock.now += timedelta(microseconds=1)
    assert refused(text, who) == "The token has expired."


def test_a05_an_expired_token_is_forgotten() -> None:
    clock = Frozen()
    who = authenticator(clock)
    text = token()
    who.identify(text)

    clock.now += timedelta(hours=2)
    refused(text, who)

    assert len(who._verified) == 0


# ---- A06: hostile forms ----


@pytest.mark.parametrize(
    "extra", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"b64": True}, {"zip": "DEF"}], ids=str
)
def test_a06_header_members_that_change_the_meaning_are_refused(extra: dict[str, Any]) -> None:
    refused(token(header=extra))


@pytest.mark.parametrize(
    "wrong",
    [
        {"roles": "admin"},
        {"roles": {"admin": True}},
        {"roles": ["admin", 1]},
        {"roles": [None]},
        {"roles": [["admin"]]},
        {"roles": None},
        {"roles": ["admin\n"]},
        {"roles": ["x" * 201]},
        {"territories": "DE"},
        {"territories": [1]},
        {"accounts": 5},
        {"tenant": 5},
        {"tenant": ""},
        {"tenant": ["acme"]},
        {"tenant": "acme/globex"},
        {"tenant": "acme\0"},
        {"kind": "robot"},
        {"kind": None},
        {"clearance": 3},
        {"clearance": "top"},
        {"clearance": None},
        {"sub": 5},
        {"sub": ""},
        {"sub": ["alice"]},
        {"sub": "a\0b"},
        {"sub": "x" * 201},
        {"scope": ["settings:read"]},
        {"scope": 1},
        {"scope": None},
        {"scope": 'a"b'},
        {"scope": "x" * 201},
        {"jti": 5},
        {"jti": ""},
        {"jti": "x" * 256},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_a06_claims_of_the_wrong_form_are_refused(wrong: dict[str, Any]) -> None:
    refused(token(claims(**wrong)))


def test_a06_long_tokens_are_refused_before_they_are_read() -> None:
    fitting = token(claims(note="x" * 5_000))

    assert len(fitting) <= MAX_TOKEN_BYTES
    assert identified(fitting).id == "alice"
    assert "longer than" in refused(token(claims(note="x" * 6_100)))
    assert "longer than" in refused("x" * 65_536)
    assert "longer than" in refused(token(b'{"a":' + b"[" * 40_000 + b"]" * 40_000 + b"}"))


@pytest.mark.parametrize(
    "text",
    [
        token(b'{"a":' + b"[" * 2_900 + b"]" * 2_900 + b"}"),
        token(b"[" * 5_000),
        token(header=b'{"alg":"EdDSA","kid":"ed","a":' + b"[" * 2_500 + b"]" * 2_500 + b"}"),
        token(b"[]"),
        token(b"null"),
        token(b'"text"'),
        token(b"1"),
        token(b""),
        token(b"{"),
        token(b"\xff"),
        token(header=b"[]"),
        token(header=b"null"),
        token(header=b"\xff"),
        "a.b.c.d.e",  # a JWE has five parts
        "a.b.c",
        "..",
        ".",
        "a",
        " ",
        "ä.ö.ü",
        "\ud800",
        "a.\0.b",
        "sp_live_0123456789_secret",
    ],
    ids=lambda text: ascii(text[:24]),
)
def test_a06_what_is_no_token_is_refused(text: str) -> None:
    refused(text)


@given(st.text(max_size=60))
def test_a06_any_text_is_refused_and_nothing_else_is_raised(text: str) -> None:
    refused(text)


def test_the_reason_never_holds_the_token() -> None:
    for text in [token(key=STRANGER), token(claims(sub="hunter2", roles="hunter2")), "hunter2"]:
        assert "hunter2" not in refused(text)


# ---- The memory of verified tokens ----


def test_a_token_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    who = authenticator()
    first = who.identify(token_text := token())
    monkeypatch.setattr(jwt, "decode", None)

    assert who.identify(token_text) is first


def test_a09_a_token_whose_key_was_withdrawn_is_refused_though_it_was_verified_before() -> None:
    issuer = Issuer(ISS, audience=AUD, keys={"ed": ("EdDSA", ED.public_key())})
    who = Authenticator({ISS: issuer}, clock=Frozen(), cache_entries=10)
    text = token()
    who.identify(text)

    issuer.renew({"ed": ("EdDSA", ED.public_key())})
    again = who.identify(text)
    issuer.renew({"ed": ("EdDSA", STRANGER.public_key())})

    assert again.principal.id == "alice"
    with pytest.raises(Unauthenticated):
        who.identify(text)


def test_a08_a_token_is_looked_at_again_when_something_was_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    who = authenticator()
    text = token()
    who.identify(text)
    asked: list[object] = []
    monkeypatch.setattr(Standing, "revokes", lambda self, credential: asked.append(credential))

    who.identify(text)
    assert asked == []
    who.standing.learn([], now=NOW)
    who.identify(text)
    who.identify(text)
    assert len(asked) == 1


def test_a09_renewed_keys_that_are_the_same_cost_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = Issuer(ISS, audience=AUD, keys={"ed": ("EdDSA", ED.public_key())})
    who = Authenticator({ISS: issuer}, clock=Frozen(), cache_entries=10)
    first = who.identify(text := token())
    issuer.renew({"ed": ("EdDSA", ED.public_key()), "other": ("EdDSA", STRANGER.public_key())})
    monkeypatch.setattr(jwt, "decode", None)

    assert who.identify(text) is first


def test_a_refused_token_is_not_remembered() -> None:
    who = authenticator()

    refused(token(key=STRANGER), who)

    assert len(who._verified) == 0


def test_the_memory_is_bounded() -> None:
    who = authenticator(cache_entries=3)
    texts = [token(claims(sub=f"u{number}")) for number in range(10)]

    for text in texts:
        who.identify(text)

    assert len(who._verified) == 3
    assert [who.identify(text).principal.id for text in texts] == [f"u{number}" for number in range(10)]
    assert len(who._verified) == 3


# ---- A07: one credential, or none ----


def request(*headers: tuple[str, str | bytes]) -> dict[str, Any]:
    raw = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers]
    return {"type": "http", "headers": raw}


@pytest.mark.parametrize(
    ("headers", "credential"),
    [
        ([("authorization", "Bearer abc")], "abc"),
        ([("authorization", "bearer abc")], "abc"),
        ([("authorization", "BEARER   abc ")], "abc"),
        ([("x-api-key", "abc")], "abc"),
        ([("x-api-key", " abc\t")], "abc"),
        ([("x-api-key", "abc\n")], "abc\n"),  # not what HTTP lets stand around a value, so it is part of it
        ([("authorization", "Bearer abc"), ("x-api-key", "abc")], "abc"),
        ([("authorization", "Bearer abc"), ("authorization", "Bearer abc")], "abc"),
        ([("authorization", b"Bearer \xff")], "\xff"),
    ],
)
def test_a07_the_credential_of_a_request(headers: list[tuple[str, str]], credential: str) -> None:
    assert credential_of(request(*headers)) == credential


@pytest.mark.parametrize(
    ("headers", "raised"),
    [
        ([], Unauthenticated),
        ([("authorization", "")], Unauthenticated),
        ([("authorization", "Bearer")], Unauthenticated),
        ([("authorization", "Bearer ")], Unauthenticated),
        ([("authorization", "abc")], Unauthenticated),
        ([("authorization", "Basic YWxpY2U6eA==")], Unauthenticated),
        ([("authorization", "Token abc")], Unauthenticated),
        ([("authorization", "Bearerabc")], Unauthenticated),
        ([("x-api-key", "")], Unauthenticated),
        ([("x-api-key", "  ")], Unauthenticated),
        ([("cookie", "token=abc"), ("proxy-authorization", "Bearer abc")], Unauthenticated),
        ([("authorization", "Bearer a"), ("authorization", "Bearer b")], Malformed),
        ([("authorization", "Bearer a"), ("x-api-key", "b")], Malformed),
        ([("x-api-key", "a"), ("x-api-key", "b")], Malformed),
        ([("authorization", "Bearer a"), ("x-api-key", "")], Malformed),
        ([("authorization", "Basic a"), ("x-api-key", "b")], Unauthenticated),
        ([("authorization", "Bearer a"), ("authorization", "Basic b")], Unauthenticated),
    ],
)
def test_a07_never_the_first_of_two(headers: list[tuple[str, str]], raised: type[SetpointError]) -> None:
    with pytest.raises(raised) as caught:
        credential_of(request(*headers))

    assert type(caught.value) is raised


def test_a07_a_token_in_the_query_is_none() -> None:
    with pytest.raises(Unauthenticated):
        credential_of(request() | {"query_string": b"access_token=abc"})
