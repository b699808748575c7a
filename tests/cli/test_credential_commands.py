"""API keys and revocations through the command line and a real node."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta

from app.access.api_keys.pepper import FILE
from app.access.api_keys.secret import read_key
from tests.cli.conftest import DemoNode, Setpoint


def test_a_key_is_made_used_rotated_and_revoked(setpoint: Setpoint, demo_node: DemoNode) -> None:
    made = setpoint(
        "api-keys",
        "create",
        "nightly",
        "--role",
        "service",
        "--tenant",
        "acme",
        "--scope",
        "settings:read",
        "--ttl",
        "1d",
    )
    assert made.code == 0
    assert made.err.startswith("Made the API key ")
    key = read_key(made.out.strip())
    assert key is not None
    assert stat.S_IMODE((demo_node.data_path / FILE).stat().st_mode) == 0o600

    who = setpoint("whoami", "-o", "json", SETPOINT_TOKEN=made.out.strip()).json
    assert (who["id"], who["scopes"], who["tenantId"]) == (f"api-key:{key.id}", ["settings:read"], "acme")
    expiry = datetime.fromtimestamp(who["expiresAt"], UTC)
    assert timedelta(hours=23) < expiry - datetime.now(UTC) <= timedelta(days=1)
    assert setpoint("get", "ui.theme", "--territory", "DE", SETPOINT_TOKEN=made.out.strip()).code == 0

    rotated = setpoint("api-keys", "rotate", key.id, "--overlap", "1h")
    assert "The one it had is good until" in rotated.err
    assert read_key(rotated.out.strip())[1] == key.id  # type: ignore[index]
    assert setpoint("api-keys", "rotate", key.id, "--if-match", '"v1"').code == 5

    listed = setpoint("api-keys", "list", "--tenant", "acme")
    assert "nightly" in listed.out
    assert "good" in listed.out
    assert key.secret not in listed.out

    assert setpoint("api-keys", "revoke", key.id).code == 0
    assert setpoint("api-keys", "revoke", key.id).code == 0
    assert setpoint("whoami", SETPOINT_TOKEN=rotated.out.strip()).code == 4
    assert "revoked" in setpoint("api-keys", "list", "--tenant", "acme").out
    assert setpoint("api-keys", "revoke", "0123456789").code == 4


def test_no_key_is_stronger_than_its_maker(setpoint: Setpoint) -> None:
    token = setpoint("token", "--role", "admin", "--tenant", "acme").out.strip()

    refused = setpoint("api-keys", "create", "mine", "--role", "platform_admin", SETPOINT_TOKEN=token)

    assert refused.code == 4
    assert "You do not have the role platform_admin yourself." in refused.err


def test_tokens_are_revoked(setpoint: Setpoint) -> None:
    token = setpoint("token", "--role", "user", "--tenant", "acme", "--sub", "mallory").out.strip()
    assert setpoint("whoami", SETPOINT_TOKEN=token).code == 0

    done = setpoint("revoke", "--subject", "mallory", "--tenant", "acme", "--reason", "gone", "-o", "json")

    assert done.code == 0
    assert done.json["subject"] == "mallory"
    assert setpoint("whoami", SETPOINT_TOKEN=token).code == 4
    assert setpoint("revoke", "--reason", "no idea").code == 2
    assert setpoint("revoke", "--jti", "a", "--issued-before", "2026-03-04T12:00:00Z", "--tenant", "acme").code == 4


def test_a_node_with_issuers_that_cannot_be_followed_does_not_start(offline: Setpoint) -> None:
    refused = offline("serve", SETPOINT_ISSUERS="nowhere.yaml")
    looked = offline("doctor", SETPOINT_ISSUERS="nowhere.yaml")

    assert refused.code == 2
    assert refused.err.startswith("SETPOINT_ISSUERS (")
    assert "No such file" in refused.err
    assert "SETPOINT_ISSUERS (" in looked.out
