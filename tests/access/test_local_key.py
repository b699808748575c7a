"""The local development key: one per data folder, whoever asks first, and nobody else's to read."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.access import local_key
from app.access.authentication import Authenticator
from app.access.keys import Issuer
from app.access.local_key import (
    AUDIENCE,
    FILE,
    ISSUER,
    KEY_ID,
    LocalKeyError,
    ensure_local_key,
    public_key,
    sign,
)
from app.domain.access import Principal
from tests.builders import principal

ASK = """
import sys
from pathlib import Path
from app.access.local_key import public_key
print("ready", flush=True)
sys.stdin.read(1)
print(public_key(Path(sys.argv[1])).public_bytes_raw().hex())
"""


def refusal(data_path: Path) -> str:
    with pytest.raises(LocalKeyError) as caught:
        ensure_local_key(data_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert str(data_path / FILE) in str(caught.value)
    return str(caught.value)


def test_a_key_is_made_once_and_then_kept(tmp_path: Path) -> None:
    first = ensure_local_key(tmp_path / "new" / "folder")

    again = ensure_local_key(tmp_path / "new" / "folder")

    assert again.private_bytes_raw() == first.private_bytes_raw()
    assert public_key(tmp_path / "new" / "folder") == first.public_key()


def test_two_folders_have_two_keys(tmp_path: Path) -> None:
    assert public_key(tmp_path / "a") != public_key(tmp_path / "b")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_its_owner_can_read_it(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        ensure_local_key(tmp_path)
    finally:
        os.umask(before)

    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_processes_that_ask_at_once_get_one_key(tmp_path: Path) -> None:
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]

    for process in asking:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in asking:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    answers = {process.communicate(timeout=30)[0] for process in asking}

    assert answers == {public_key(tmp_path).public_bytes_raw().hex() + "\n"}
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_who_comes_second_takes_the_key_of_the_first(tmp_path: Path) -> None:
    first = ensure_local_key(tmp_path)

    local_key._create(tmp_path / FILE)  # as one does that looked before the first had made it

    assert ensure_local_key(tmp_path).private_bytes_raw() == first.private_bytes_raw()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_broken_file_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("not a key")

    assert "cannot be used" in refusal(tmp_path)


def test_an_empty_file_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("")

    assert "cannot be used" in refusal(tmp_path)
    assert (tmp_path / FILE).read_text() == ""


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / FILE).write_bytes(
        other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )

    assert "is not an Ed25519 key" in refusal(tmp_path)


def test_a_folder_that_is_a_file_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    assert "cannot be used" in refusal(tmp_path / "data")


@pytest.mark.parametrize(
    "somebody",
    [
        Principal(id="x"),
        principal(kind="service", roles=("admin", "user"), territories=("DE", "FR"), accounts=("a-1",), clearance=3),
        principal(clearance=0),
        principal(scoped=True, scopes=("registry:read", "settings:read")),
        principal(scoped=True),
    ],
    ids=str,
)
def test_a_signed_principal_is_the_one_that_is_identified(tmp_path: Path, somebody: Principal) -> None:
    now = datetime.now(UTC)
    key = ensure_local_key(tmp_path)
    issuers = {ISSUER: Issuer(ISSUER, audience=AUDIENCE, keys={KEY_ID: ("EdDSA", key.public_key())})}
    who = Authenticator(issuers, clock=lambda: now, cache_entries=1)

    identity = who.identify(sign(key, somebody, now=now, ttl=timedelta(hours=1)))

    assert identity.principal == somebody
    assert identity.issuer == ISSUER
    assert identity.expires_at == int((now + timedelta(hours=1)).timestamp())
