"""The audit through the command line and a real node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest

from tests.cli.conftest import DemoNode, Setpoint
from tests.fixtures import in_a_loop_of_its_own

SOCKETS = "sockets"


@pytest.fixture
def owner_url(demo_node: DemoNode) -> str:
    return f"postgresql://postgres@/setpoint?host={demo_node.data_path / SOCKETS}"


def execute(url: str, *statements: str) -> list[Any]:
    async def run() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetch(statement) for statement in statements][-1]
        finally:
            await connection.close()

    return in_a_loop_of_its_own(run)


@contextmanager
def tampered(url: str, sequence: int) -> Iterator[None]:
    where = f"WHERE tenant = 'globex' AND sequence = {sequence}"
    execute(url, f"UPDATE audit_record SET body = body || ' ' {where}")
    try:
        yield
    finally:
        execute(url, f"UPDATE audit_record SET body = rtrim(body) {where}")


def test_records_are_listed_newest_first_and_by_what_they_are(setpoint: Setpoint) -> None:
    setpoint("set", "ui.theme", '"dark"', "--scope", "USER/audited", "--tenant", "acme")
    setpoint("unset", "ui.theme", "--scope", "USER/audited", "--tenant", "acme")

    newest = setpoint("audit", "list", "--tenant", "acme", "--limit", "2", "-o", "json")
    table = setpoint("audit", "list", "--tenant", "acme", "--resource", "setting/USER/acme/audited")

    assert [one["action"] for one in newest.json] == ["setting.unset", "setting.set"]
    assert (newest.code, table.code) == (0, 0)
    lines = table.out.splitlines()
    assert lines[0].split() == ["Sequence", "At", "Actor", "Outcome", "Action", "Resource", "Count", "Reason"]
    assert len(lines) == 3
    assert setpoint("audit", "list", "--tenant", "acme", "--until", "2001-01-01T00:00:00Z").out == ""


def test_a_whole_chain_verifies_and_so_do_all(setpoint: Setpoint) -> None:
    one = setpoint("audit", "verify", "--tenant", "acme", "-o", "yaml")
    every = setpoint("audit", "verify", "--all", "-o", "json")

    assert (one.code, every.code) == (0, 0)
    assert "valid: true" in one.out
    assert [chain["tenantId"] for chain in every.json] == [None, "acme", "globex"]
    assert all(chain["valid"] and chain["records"] and len(chain["hash"]) == 64 for chain in every.json)


def test_a_broken_chain_is_named_with_its_first_broken_record(setpoint: Setpoint, owner_url: str) -> None:
    with tampered(owner_url, 2):
        node = setpoint("audit", "verify", "--all")
        database = setpoint("audit", "verify", "--database-url", owner_url)

    for ran in (node, database):
        assert ran.code == 1
        assert ran.err == (
            "globex is broken at record 2: The record, or the one before it, was changed: its hash is another's.\n"
        )
        assert [line.split()[:2] for line in ran.out.splitlines()[1:]] == [
            ["(platform)", "pass"],
            ["acme", "pass"],
            ["globex", "fail"],
        ]
    assert setpoint("audit", "verify", "--all").code == 0


def test_postgresql_itself_is_asked_by_the_auditor_and_not_by_who_sees_less(setpoint: Setpoint, owner_url: str) -> None:
    execute(owner_url, "ALTER ROLE setpoint_auditor LOGIN")
    auditor = owner_url.replace("postgres@", "setpoint_auditor@")

    found = setpoint("audit", "verify", "--database-url", auditor, "-o", "json")
    one = setpoint("audit", "verify", "--database-url", auditor, "--tenant", "acme", "-o", "json")
    blind = setpoint("audit", "verify", "--database-url", owner_url.replace("postgres@", "setpoint_app@"))
    away = setpoint("audit", "verify", "--database-url", "postgresql://nobody@127.0.0.1:1/setpoint")

    assert found.json == setpoint("audit", "verify", "--all", "-o", "json").json
    assert [chain["tenantId"] for chain in one.json] == ["acme"]
    assert (blind.code, blind.out) == (4, "")
    assert blind.err == "This role does not see every record: connect as a member of setpoint_auditor.\n"
    assert away.code == 3


def test_a_tenant_and_all_of_them_contradict_each_other(setpoint: Setpoint) -> None:
    assert setpoint("audit", "verify", "--all", "--tenant", "acme").code == 2
