"""The text of a key, and the pepper."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.api_keys.pepper import FILE, PepperError, Peppers, ensure_pepper, open_peppers
from app.access.api_keys.secret import (
    PATTERN,
    is_meant_as_key,
    new_key_id,
    new_secret,
    read_key,
    written_key,
)
from app.config import Config, ConfigError, read_config

KEY = written_key(environment="live", key_id="0123456789", secret="abcdefghijklmnopqrstuvwxyzABCDEF")


def test_a_key_is_written_as_promised() -> None:
    """Keys are out there: their form never changes, nor how the checksum is made."""
    assert "sp_live_0123456789_abcdefghijklmnopqrstuvwxyzABCDEF" + KEY[-6:] == KEY
    assert KEY[-6:] == "0DIdSl"
    assert read_key(KEY) == ("live", "0123456789", "abcdefghijklmnopqrstuvwxyzABCDEF")


def test_new_keys_are_read_back_and_found_by_scanners() -> None:
    seen = set()
    for _ in range(200):
        key_id, secret = new_key_id(), new_secret()
        text = written_key(environment="test", key_id=key_id, secret=secret)
        assert read_key(text) == ("test", key_id, secret)
        assert re.findall(PATTERN, f"key={text};") == [text]
        seen |= {key_id, secret}
    assert len(seen) == 400


@given(place=st.integers(0, len(KEY) - 1), character=st.characters(codec="utf-8"))
def test_a10_a_key_with_one_wrong_character_is_none(place: int, character: str) -> None:
    changed = KEY[:place] + character + KEY[place + 1 :]

    assert (read_key(changed) is not None) == (changed == KEY)


@given(st.text(max_size=80))
def test_a10_text_is_no_key(text: str) -> None:
    assert read_key(text) is None
    assert read_key("sp_live_" + text) is None


def test_tokens_are_not_taken_for_keys() -> None:
    assert is_meant_as_key("SP_live_")
    assert not is_meant_as_key("eyJhbGciOiJFZERTQSJ9.e30.AA")
    assert not is_meant_as_key("")


# ---- Peppers ----


def test_the_pepper_of_a_data_folder_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        texts = set(threads.map(lambda _: ensure_pepper(tmp_path), range(16)))

    assert len(texts) == 1
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_pepper_that_is_damaged_is_said_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("short")
    with pytest.raises(PepperError, match="too short"):
        ensure_pepper(tmp_path)
    (tmp_path / FILE).write_bytes(b"\xff" * 40)
    with pytest.raises(PepperError, match="cannot be used"):
        ensure_pepper(tmp_path)


def test_the_configuration_stands_before_the_data_folder(tmp_path: Path) -> None:
    given_one = open_peppers(Config(data_dir=str(tmp_path), api_key_pepper="n" * 32 + ", " + "o" * 32))

    assert given_one.current_id == Peppers(["n" * 32]).current_id
    assert given_one.knows(Peppers(["o" * 32]).current_id)
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("text", ["short", ",", "n" * 32 + ",short"])
def test_a_short_pepper_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config({"SETPOINT_API_KEY_PEPPER": text})
    assert str(caught.value).startswith("SETPOINT_API_KEY_PEPPER cannot be used")
    assert "short" not in str(caught.value)


def test_a_digest_depends_on_secret_and_pepper() -> None:
    peppers = Peppers(["a" * 32, "b" * 32])
    other = Peppers(["b" * 32]).current_id

    assert peppers.digest("s", pepper_id=peppers.current_id) == peppers.digest("s", pepper_id=peppers.current_id)
    assert peppers.digest("s", pepper_id=peppers.current_id) != peppers.digest("t", pepper_id=peppers.current_id)
    assert peppers.digest("s", pepper_id=peppers.current_id) != peppers.digest("s", pepper_id=other)
    assert peppers.digest("s", pepper_id="gone") != peppers.digest("s", pepper_id="gone")
