"""What can be known about the scripts, the containers and the pinned packages without running or fetching anything."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [
    *sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix),
    ROOT / ".ci" / "run",
]
PINNED = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_executable_parses_and_stops_at_the_first_error(script: Path) -> None:
    text = script.read_text("utf-8")

    assert os.access(script, os.X_OK)
    assert text.startswith("#!/usr/bin/env bash\n# ")
    assert "\nset -euo pipefail\n" in text
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_continuous_integration_runs_the_tests_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set "))]

    assert len(commands) == 1
    assert commands[0].endswith('/scripts/test"')


def test_the_set_up_names_what_is_missing_when_there_is_no_python(tmp_path: Path) -> None:
    """With a PATH that holds the tools it uses but no Python, it says so and touches nothing."""
    project = tmp_path / "project"
    for name in ("scripts/setup", "requirements/server.txt", "pyproject.toml"):
        copy = project / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("dirname", "cat", "cksum", "rm", "mkdir", "touch", "mktemp", "grep"):
        path = next(Path(folder, tool) for folder in ("/usr/bin", "/bin") if Path(folder, tool).exists())
        (tools / tool).symlink_to(path)

    ended = subprocess.run(
        ["/bin/bash", str(project / "scripts" / "setup")],
        check=False,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "Python 3.11 or 3.12" in ended.stderr
    assert not (project / ".venv").exists()


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_every_package_is_pinned_and_hashed_and_no_address_is_named(path: Path) -> None:
    text = path.read_text("utf-8")
    entries = re.sub(r"\\\n\s*", "", text).splitlines()
    wrong = [
        entry
        for entry in entries
        if not re.fullmatch(r"[\w.\[\],-]+==\S+( ; [^#]+?)?( ?--hash=sha256:[0-9a-f]{64})+", entry)
    ]

    assert len(entries) > 10
    assert wrong == []
    assert "://" not in text


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return loaded


def test_every_service_has_a_health_check_and_listens_on_loopback_only() -> None:
    services = compose()["services"]

    assert set(services) == {"postgres", "redis", "app"}
    assert all("test" in service["healthcheck"] for service in services.values())
    ports = [port for service in services.values() for port in service["ports"]]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_application_waits_for_healthy_services() -> None:
    waits = compose()["services"]["app"]["depends_on"]

    assert waits == {name: {"condition": "service_healthy"} for name in ("postgres", "redis")}


def test_the_application_serves_as_a_role_that_owns_nothing() -> None:
    services = compose()["services"]
    roles = (ROOT / "deploy/postgres/10-app-role.sh").read_text("utf-8")

    assert services["app"]["environment"]["SETPOINT_DATABASE_URL"].startswith("postgresql://setpoint_app:")
    assert "./deploy/postgres:/docker-entrypoint-initdb.d:ro" in services["postgres"]["volumes"]
    assert "CREATE ROLE setpoint_app LOGIN" in roles


def test_the_image_runs_as_nobody_in_particular() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()

    assert any(line.startswith("USER ") and not line.startswith(("USER 0", "USER root")) for line in lines)
    assert any(line.startswith("HEALTHCHECK ") for line in lines)
