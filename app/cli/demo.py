"""
The demo registry: two tenants, eighteen real definitions, and values that show the hierarchy at work.

Made through the same use cases as everybody's settings, so it has its events and history too. What is there already
is left alone: a registry with a tenant `acme` is taken for seeded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import msgspec

from app.access.caller import Caller
from app.access.gate import Gate
from app.access.local_key import ensure_local_key, sign
from app.access.polar import load_policy
from app.config import Config
from app.domain.access import EVERYWHERE, Principal, ScopeFacts, circumstances_at
from app.domain.canonical import canonical
from app.domain.definition import Sensitivity
from app.domain.errors import PreconditionFailed
from app.domain.scope import GLOBAL, Level, Scope
from app.kit.clock import utc_now
from app.kit.database import open_database
from app.settings.definitions.commands import DefinitionDraft, put_definition
from app.settings.definitions.http import DefinitionBody
from app.settings.definitions.importing import definitions_in
from app.settings.directory.commands import Preconditions, put_entry, put_tenant
from app.settings.directory.store import lock_tenants
from app.settings.registry import Registry
from app.settings.values.changes import Change
from app.settings.values.commands import Batch, apply_batch

DATA = Path(__file__).parent / "demo_data"
TOKEN_LIFE = timedelta(hours=12)  # long enough for a day of trying things out

_CREATE = Preconditions(if_none_match="*")
_SEEDER = Caller(
    principal=Principal(id="demo", roles=("platform_admin",), clearance=Sensitivity.SECRET.rank),
    request_id="demo",
    circumstances=circumstances_at(utc_now()),
)


def _at(level: Level, scope_id: str, tenant: str = "acme") -> Scope:
    return Scope(level, tenant, scope_id)


# Where the accounts, contacts and users of the demo lie. BUYER is a role at an account in Germany.
_DIRECTORY: list[tuple[Scope, ScopeFacts]] = [
    (_at(Level.TERRITORY, "DE"), ScopeFacts()),
    (_at(Level.TERRITORY, "CH"), ScopeFacts()),
    (_at(Level.ACCOUNT, "hotel-adler"), ScopeFacts(territory="DE", owner="alice")),
    (_at(Level.ACCOUNT, "bistro-bern"), ScopeFacts(territory="CH", owner="carl")),
    (_at(Level.CONTACT_ROLE, "BUYER"), ScopeFacts(territory="DE")),
    (_at(Level.CONTACT, "frau-kern"), ScopeFacts(territory="DE")),
    (_at(Level.USER, "alice"), ScopeFacts(territory="DE")),
    (_at(Level.USER, "bob"), ScopeFacts(territory="DE")),
    (_at(Level.USER, "carl"), ScopeFacts(territory="CH")),
    (_at(Level.TERRITORY, "US", "globex"), ScopeFacts()),
]

_VALUES: list[tuple[Scope, str, Any]] = [
    (GLOBAL, "help.suggest.topN", 4),
    (_at(Level.TENANT, "acme"), "ui.theme", "dark"),
    (_at(Level.TENANT, "acme"), "help.nudge.enabled", False),
    (_at(Level.TERRITORY, "CH"), "currency", "CHF"),
    (_at(Level.TERRITORY, "CH"), "locale", "de-CH"),
    (_at(Level.TERRITORY, "DE"), "help.nudge.enabled", True),
    (_at(Level.TERRITORY, "DE"), "notifications.channels", {"phone": True}),
    (_at(Level.TERRITORY, "DE"), "sla.sample.followups", ["P14D"]),
    (_at(Level.ACCOUNT, "hotel-adler"), "notifications.channels", {"sms": True}),
    (_at(Level.ACCOUNT, "hotel-adler"), "sla.sample.followups", ["P7D", "P1M"]),
    (_at(Level.CONTACT_ROLE, "BUYER"), "documents.format.preferred", "XLSX"),
    (_at(Level.CONTACT, "frau-kern"), "notifications.channels", {"email": False}),
    (_at(Level.USER, "alice"), "ui.theme", "light"),
    (_at(Level.TENANT, "globex", "globex"), "locale", "en-US"),
]


class DemoTokens(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials to try the demo with."""

    admin: str


def seed_demo(config: Config) -> DemoTokens:
    """Make sure that the demo registry is there, and give an admin's token for its tenant `acme`."""
    asyncio.run(_seed(config))
    admin = Principal(id="admin", tenant="acme", roles=("admin",), clearance=Sensitivity.SECRET.rank)
    key = ensure_local_key(config.data_path)
    return DemoTokens(admin=sign(key, admin, now=utc_now(), ttl=TOKEN_LIFE))


def banner(config: Config, tokens: DemoTokens) -> Sequence[str]:
    """What is printed once the node answers: where it is, who you are, and three things to try."""
    url = _base_url(config)
    alice = f"{url}/api/settings/resolve/notifications.channels?territory=DE&accountId=hotel-adler&explain=true"
    return (
        "",
        f"Setpoint answers at {url}",
        "",
        "An admin of the demo tenant acme, for 12 hours:",
        f"TOKEN={tokens.admin}",
        "",
        "Who you are, everything that holds in Switzerland, and why one setting is what it is at one German account:",
        f'curl -s -H "Authorization: Bearer {tokens.admin}" "{url}/api/auth/verify"',
        f'curl -s -H "Authorization: Bearer {tokens.admin}" "{url}/api/settings/effective?territory=CH"',
        f'curl -s -H "Authorization: Bearer {tokens.admin}" "{alice}"',
        "",
        "Ctrl-C stops it.",
    )


async def _seed(config: Config) -> None:
    async with open_database(cast(str, config.database_url), config=config) as database:
        async with database.transaction(EVERYWHERE) as tx:
            if await lock_tenants(tx, ["acme"]):
                return
        gate = Gate(load_policy(*config.policies_paths))
        registry = Registry(database=database, gate=gate, clock=utc_now, config=config)
        try:
            await put_tenant("acme", name="Acme", preconditions=_CREATE, caller=_SEEDER, registry=registry)
        except PreconditionFailed:  # another node was first
            return
        await put_tenant("globex", name="Globex", preconditions=_CREATE, caller=_SEEDER, registry=registry)
        for draft in _drafts():
            await put_definition(draft, preconditions=_CREATE, caller=_SEEDER, registry=registry)
        for scope, facts in _DIRECTORY:
            await put_entry(
                scope,
                facts=facts,
                attributes=canonical({}),
                preconditions=_CREATE,
                caller=_SEEDER,
                registry=registry,
            )
        changes = tuple(Change(how="batch-set", scope=scope, key=key, value=value) for scope, key, value in _VALUES)
        await apply_batch(Batch(changes=changes), render=lambda done: b"{}", caller=_SEEDER, registry=registry)


def _drafts() -> list[DefinitionDraft]:
    drafts = []
    for path in sorted(DATA.glob("*.json")):
        for document in definitions_in(msgspec.json.decode(path.read_bytes())):
            key = document.pop("key")
            body = msgspec.convert(document, DefinitionBody)
            drafts.append(DefinitionDraft(key=key, **{name: getattr(body, name) for name in body.__struct_fields__}))
    return drafts


def _base_url(config: Config) -> str:
    from app.cli.serve import base_url

    return base_url(config)
