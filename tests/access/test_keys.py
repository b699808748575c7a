"""Key sets: what is taken of them, where they come from, and what happens when they go away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from app.access import keys, local_key
from app.access.issuers import IssuerEntry
from app.access.keys import MAX_JWKS_BYTES, MAX_STALE_SECONDS, Issuer, KeySetError, open_issuers, parse_jwks
from app.config import Config

ED = Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ISS = "https://issuer.test"


def jwk(key: Any = ED, *, kid: str | None = "k1", **changes: Any) -> dict[str, Any]:
    algorithm = {Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm, rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm}.get(
        next((kind for kind in (Ed25519PrivateKey, rsa.RSAPrivateKey) if isinstance(key, kind)), object),
        jwt.algorithms.ECAlgorithm,
    )
    fields = json.loads(algorithm.to_jwk(key.public_key()))  # type: ignore[arg-type]
    fields.pop("key_ops", None)
    if kid is not None:
        fields["kid"] = kid
    fields.update(changes)
    return fields


def jwks(*several: Any) -> bytes:
    return json.dumps({"keys": list(several)}).encode()


def config(source: str) -> Config:
    return Config(local_issuer="off", jwt_issuer=ISS, jwt_audience="setpoint", jwks=source)


# ---- Key sets ----


@pytest.mark.parametrize(("key", "algorithm"), [(ED, "EdDSA"), (EC, "ES256"), (RSA, "RS256")], ids=["ed", "ec", "rsa"])
def test_each_key_serves_the_one_algorithm_of_its_type(key: Any, algorithm: str) -> None:
    found = parse_jwks(jwks(jwk(key)))

    assert [(key_id, serves) for key_id, (serves, _) in found.items()] == [("k1", algorithm)]
    assert found["k1"][1].public_numbers() if algorithm != "EdDSA" else found["k1"][1]


@pytest.mark.parametrize("name", ["EdDSA", "Ed25519"])
def test_an_ed25519_key_may_call_its_algorithm_by_either_name(name: str) -> None:
    assert parse_jwks(jwks(jwk(ED, alg=name)))["k1"][0] == "EdDSA"


def test_keys_are_found_by_their_ids() -> None:
    assert set(parse_jwks(jwks(jwk(ED, kid="a"), jwk(RSA, kid="b"), jwk(EC, kid="c")))) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "key",
    [
        jwk(use="enc"),
        jwk(RSA, alg="RS512"),
        jwk(RSA, alg="PS256"),
        jwk(RSA, alg="Ed25519"),
        jwk(EC, alg="Ed25519"),
        jwk(EC, alg="EdDSA"),
        jwk(ED, alg="ES256"),
        jwk(RSA, alg="RSA-OAEP"),
        jwk(EC, crv="P-384"),
        jwk(EC, crv="secp256k1"),
        jwk(ED, crv="X25519"),
        jwk(ED, kty="oct"),
        {"kty": "oct", "k": "AAAA", "kid": "shared", "alg": "HS256"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "without-x"},
        {"kty": "RSA", "kid": "without-n"},
        {},
    ],
    # Not by the keys themselves: those are new in every process, and pytest-xdist compares the names.
    ids=lambda key: "-".join(str(key.get(name)) for name in ("kty", "crv", "use", "alg")),
)
def test_keys_that_serve_nothing_of_ours_are_left_out(key: dict[str, Any]) -> None:
    assert set(parse_jwks(jwks(key | {"kid": "other"}, jwk(kid="ours")))) == {"ours"}
    with pytest.raises(KeySetError, match="holds no key"):
        parse_jwks(jwks(key))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html></html>",
        b"\xff",
        b"null",
        b"[]",
        b'"keys"',
        b"{}",
        b'{"keys": null}',
        b'{"keys": 1}',
        b'{"keys": "abc"}',
        b'{"keys": [1]}',
        b'{"keys": [null]}',
        b'{"keys": {"a": 1}}',
        b'{"keys": []}',
        b'{"keys": [{"kty": "EC", "crv": ["P-256"]}]}',
    ],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(KeySetError):
        parse_jwks(document)


# ---- Issuers ----


def test_a_key_is_found_by_its_id_and_the_only_one_without() -> None:
    one = Issuer(ISS, audience="a", keys={"k1": "first"})
    two = Issuer(ISS, audience="a", keys={"k1": "first", "k2": "second"})

    assert (one.key("k1"), one.key("k2"), one.key(None)) == ("first", None, "first")
    assert (two.key("k1"), two.key("k2"), two.key(None)) == ("first", "second", None)
    assert Issuer(ISS, audience="a", keys={}).key(None) is None


def test_a_key_that_went_away_is_not_found_any_longer() -> None:
    issuer = Issuer(ISS, audience="a", keys={"old": "key"})

    issuer.renew({"new": "key"})

    assert issuer.key("old") is None
    assert issuer.key("new") == "key"


def test_an_issuer_uses_the_algorithms_that_it_was_given() -> None:
    entry = IssuerEntry(issuer=ISS, audience="a", jwks="x", algorithms=("Ed25519",))
    issuer = Issuer(ISS, audience="a", keys={}, entry=entry)

    issuer.renew(parse_jwks(jwks(jwk(ED, kid="a"), jwk(RSA, kid="b"))))

    assert issuer.key("a") is not None
    assert issuer.key("b") is None


def test_an_unknown_key_id_asks_for_keys_once_and_not_within_the_cooldown(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(keys, "time", SimpleNamespace(monotonic=lambda: clock.now))
    issuer = Issuer(ISS, audience="a", keys={})

    def asks(key_id: object) -> bool:
        issuer.wanted.clear()
        issuer.miss(key_id)
        return issuer.wanted.is_set()

    issuer.fetching()
    clock.now += keys.COOLDOWN_SECONDS - 0.1
    assert not asks("a")
    clock.now += 0.1
    assert asks("a")
    issuer.fetching()
    clock.now += keys.COOLDOWN_SECONDS
    assert not asks("a"), "it was asked for, and was not there"
    assert asks("b")
    assert not asks(None)
    assert not asks(5)
    issuer.regular()
    assert asks("a")
    assert issuer.unknown_key_ids == 7
    assert issuer.fetches == 2


def test_unknown_key_ids_take_bounded_memory() -> None:
    issuer = Issuer(ISS, audience="a", keys={})

    for number in range(keys.MAX_UNKNOWN_KEY_IDS + 50):
        issuer.miss(f"k{number}")

    assert len(issuer._missing) == keys.MAX_UNKNOWN_KEY_IDS


def test_a_key_set_that_is_not_renewed_is_believed_for_a_day_and_not_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(keys, "time", SimpleNamespace(monotonic=lambda: clock.now))
    issuer = Issuer(ISS, audience="a", keys={})
    issuer.renew({"k1": "key"})

    clock.now += MAX_STALE_SECONDS
    assert issuer.key("k1") == "key"

    clock.now += 1
    assert issuer.key("k1") is None
    assert issuer.key(None) is None

    issuer.renew({"k1": "key"})
    assert issuer.key("k1") == "key"


def test_keys_from_a_file(tmp_path: Path) -> None:
    source = tmp_path / "jwks.json"
    source.write_bytes(jwks(jwk(), jwk(RSA, kid="k2")))

    async def ask() -> None:
        async with open_issuers(config(str(source))) as issuers:
            assert set(issuers) == {ISS}
            assert issuers[ISS].audience == "setpoint"
            assert issuers[ISS].key("k1")[0] == "EdDSA"
            assert issuers[ISS].key("k2")[0] == "RS256"
            assert issuers[ISS].key("k3") is None

    asyncio.run(ask())


def test_the_local_issuer_is_believed_unless_turned_off(tmp_path: Path) -> None:
    async def names(given: Config) -> list[str]:
        async with open_issuers(given) as issuers:
            return [*issuers]

    assert asyncio.run(names(Config(data_dir=str(tmp_path)))) == [local_key.ISSUER]
    with capture_logs():
        assert asyncio.run(names(config(str(tmp_path / "missing")))) == [ISS]
    assert not (tmp_path / "missing").exists()


def test_an_issuer_whose_keys_cannot_be_read_at_the_start_is_believed_nothing(tmp_path: Path) -> None:
    async def ask() -> object:
        async with open_issuers(config(str(tmp_path / "missing.json"))) as issuers:
            return issuers[ISS].key("k1") or issuers[ISS].key(None)

    with capture_logs() as lines:
        assert asyncio.run(ask()) is None

    assert {(line["event"], line["issuer"], line["log_level"]) for line in lines} == {
        ("jwks-unavailable", ISS, "error")
    }


@pytest.mark.parametrize("broken", [None, b"", b"{}", b"<html>"], ids=repr)
def test_a_key_set_that_goes_away_leaves_the_last_good_one(tmp_path: Path, broken: bytes | None) -> None:
    source = tmp_path / "jwks.json"
    source.write_bytes(jwks(jwk()))
    issuer = Issuer(ISS, audience="setpoint", keys={})

    assert asyncio.run(keys._renew(issuer, str(source))) is True
    if broken is None:
        source.unlink()
    else:
        source.write_bytes(broken)
    with capture_logs() as lines:
        assert asyncio.run(keys._renew(issuer, str(source))) is False

    assert issuer.key("k1") is not None
    assert [line["event"] for line in lines] == ["jwks-unavailable"]


# ---- Over HTTP ----


@asynccontextmanager
async def serving(answer: bytes) -> AsyncIterator[str]:
    """The URL of a server that answers everything with these bytes."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def renewed(answer: bytes) -> bool:
    async with serving(answer) as url:
        return await keys._renew(Issuer(ISS, audience="setpoint", keys={}), url)


def test_a_redirect_is_not_followed_wherever_it_leads() -> None:
    async def ask() -> bool:
        async with serving(http("200 OK", jwks(jwk()))) as good:
            return await renewed(http("302 Found", b"", f"Location: {good}"))

    with capture_logs() as lines:
        assert asyncio.run(ask()) is False
    assert [line["event"] for line in lines] == ["jwks-unavailable"]


def test_keys_over_http() -> None:
    assert asyncio.run(renewed(http("200 OK", jwks(jwk())))) is True


@pytest.mark.parametrize(
    "answer",
    [
        http("404 Not Found", jwks(jwk())),
        http("500 Oops", jwks(jwk())),
        http("302 Found", b"", "Location: http://127.0.0.1:1/elsewhere"),
        http("200 OK", b""),
        http("200 OK", b"<html></html>"),
        http("200 OK", jwks(jwk(), "x" * MAX_JWKS_BYTES)),
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=lambda answer: repr(answer[:16]),
)
def test_an_answer_that_is_no_key_set_renews_nothing(answer: bytes) -> None:
    with capture_logs() as lines:
        assert asyncio.run(renewed(answer)) is False

    assert [line["event"] for line in lines] == ["jwks-unavailable"]
