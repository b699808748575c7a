"""What Redis gives back is ours, whole, and of the scope that was asked for; or it is nothing."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.domain.access import ScopeFacts
from app.domain.canonical import canonical
from app.domain.position import Position
from app.domain.scope import Level, Scope
from app.domain.value import SettingValue
from app.log.trail import Mark
from app.settings.cache import codec as codec_module
from app.settings.cache.codec import HEADER_BYTES, Codec
from app.settings.cache.entry import Entry

SCOPE = Scope(Level.ACCOUNT, "acme", "ädler/1")
OTHER = Scope(Level.ACCOUNT, "acme", "other")
AT = datetime(2026, 3, 4, 12, 0, 0, 123456, tzinfo=UTC)


def entry(*, values: int = 2, facts: ScopeFacts | None = None) -> Entry:
    return Entry(
        position=Position(7),
        mark=Mark(2**64 - 1),
        good=Position(7),
        scope=SCOPE,
        path=SCOPE.path,
        tenant_exists=False,
        facts=facts,
        values={f"k{number}": value(f"k{number}") for number in range(values)},
    )


def value(key: str) -> SettingValue:
    return SettingValue(
        id=UUID(int=5),
        scope=SCOPE,
        key=key,
        value=canonical({"a": 1.5, "b": [None, "ü"]}),
        metadata=canonical({}),
        version=3,
        position=Position(6),
        created_at=AT,
        created_by="alice",
        updated_at=AT,
        updated_by="bob",
    )


@pytest.mark.parametrize(
    "one", [entry(), entry(values=0), entry(facts=ScopeFacts()), entry(facts=ScopeFacts(owner="o"))]
)
def test_an_entry_comes_back_as_it_was(one: Entry) -> None:
    codec = Codec(b"secret")
    name = codec.name(SCOPE)

    assert codec.open(name, SCOPE, codec.seal(name, one)) == one


def test_what_was_changed_anywhere_does_not_open() -> None:
    codec, rng = Codec(b"secret"), random.Random(1)
    name = codec.name(SCOPE)
    sealed = codec.seal(name, entry())
    wrong = [
        sealed[:place] + bytes([sealed[place] ^ 1 << rng.randrange(8)]) + sealed[place + 1 :]
        for place in range(len(sealed))
    ]
    wrong += [sealed[:length] for length in range(len(sealed))] + [
        sealed + b"\0",
        b"",
        b"junk" * 30,
        bytes(HEADER_BYTES),
    ]

    assert [one for one in wrong if codec.open(name, SCOPE, one) is not None] == []


def test_what_was_written_elsewhere_does_not_open() -> None:
    codec = Codec(b"secret")
    sealed = codec.seal(codec.name(SCOPE), entry())

    assert codec.open(codec.name(OTHER), OTHER, sealed) is None, "copied to another name"
    assert codec.open(codec.name(OTHER), OTHER, codec.seal(codec.name(OTHER), entry())) is None, "of another scope"
    assert Codec(b"another").open(codec.name(SCOPE), SCOPE, sealed) is None, "with another secret"


def test_another_format_has_other_names_and_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec(b"secret")
    name = codec.name(SCOPE)
    sealed = codec.seal(name, entry())

    monkeypatch.setattr(codec_module, "FORMAT", 2)

    assert codec.name(SCOPE) != name
    assert codec.open(name, SCOPE, sealed) is None


def test_names_tell_the_tenant_and_no_more() -> None:
    name = Codec(b"secret").name(SCOPE)

    assert "{acme}" in name
    assert "dler" not in name
    assert name != Codec(b"another").name(SCOPE)
