"""A data folder that cannot be used is answered with one sentence that says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from app.embedded import EmbeddedError, embedded_servers
from tests.embedded.conftest import living


def sentence(data_path: Path) -> str:
    with pytest.raises(EmbeddedError) as caught, embedded_servers(data_path, durable=False, announce=print):
        pass
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert living(data_path) == set()
    return text


@pytest.fixture
def used(data_path: Path) -> Path:
    with embedded_servers(data_path, need_valkey=False, durable=False, announce=print):
        pass
    return data_path


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("")

    assert "is a file" in sentence(path)
    assert "SETPOINT_DATA_DIR" in sentence(path)


def test_a_file_above_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert "not a directory" in sentence(tmp_path / "file" / "data")


def test_a_folder_that_cannot_be_written() -> None:
    assert "cannot be used" in sentence(Path("/proc/setpoint"))


def test_a_cluster_of_another_major_version(used: Path) -> None:
    (used / "postgres" / "PG_VERSION").write_text("16\n")

    assert "was made by PostgreSQL 16 and this is 18" in sentence(used)


def test_something_else_under_the_name_of_the_cluster(data_path: Path) -> None:
    (data_path / "postgres").mkdir(parents=True)

    assert "is not a PostgreSQL cluster" in sentence(data_path)


def test_a_cluster_without_its_control_file(used: Path) -> None:
    (used / "postgres" / "global" / "pg_control").unlink()

    text = sentence(used)

    assert "PostgreSQL 18 does not start" in text
    assert str(used / "postgres.log") in text


def test_a_cluster_without_its_write_ahead_log(used: Path) -> None:
    shutil.rmtree(used / "postgres" / "pg_wal")

    assert "pg_wal" in sentence(used)


def test_a_folder_in_the_way_of_a_log(data_path: Path) -> None:
    (data_path / "valkey.log.1" / "x").mkdir(parents=True)
    (data_path / "valkey.log").mkdir()

    assert "cannot be used" in sentence(data_path)


def test_a_missing_wheel(data_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.embedded.postgres.find_spec", lambda name: None)

    assert "SETPOINT_DATABASE_URL" in sentence(data_path)
