"""Synthetic keys and values on top of the demo registry, made through the same use cases as everybody's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from app.access.caller import Caller
from app.access.gate import Gate
from app.access.polar import load_policy
from app.config import Config
from app.domain.access import Principal, circumstances_at
from app.domain.combination import MergeStrategy
from app.domain.definition import Sensitivity
from app.domain.scope import Level, Scope
from app.kit.clock import utc_now
from app.kit.database import open_database
from app.settings.definitions.commands import DefinitionDraft, put_definition
from app.settings.directory.commands import Preconditions
from app.settings.registry import Registry
from app.settings.values.changes import Change
from app.settings.values.commands import Batch, apply_batch

KEYS = 10  # every synthetic scope has a value for each
PER_BATCH = 1_000

_SEEDER = Caller(
    principal=Principal(id="bench", roles=("platform_admin",), clearance=Sensitivity.SECRET.rank),
    request_id="bench",
    circumstances=circumstances_at(utc_now()),
)


def key_name(index: int) -> str:
    """The name of a synthetic key."""
    return f"bench.key-{index:02d}"


def account_name(index: int) -> str:
    """The id of a synthetic ACCOUNT scope of the demo tenant acme."""
    return f"bench-{index:05d}"


async def seed(config: Config, *, scopes: int) -> None:
    """Define the synthetic keys and set each of them at every synthetic scope."""
    assert config.database_url is not None
    async with open_database(config.database_url, config=config) as database:
        gate = Gate(load_policy(*config.policies_paths))
        registry = Registry(database=database, gate=gate, clock=utc_now, config=config)
        for index in range(KEYS):
            preconditions = Preconditions(if_none_match="*")
            await put_definition(_draft(index), preconditions=preconditions, caller=_SEEDER, registry=registry)
        changes = _changes(scopes)
        while some := tuple(islice(changes, PER_BATCH)):
            await apply_batch(Batch(changes=some), render=lambda done: b"{}", caller=_SEEDER, registry=registry)


def _draft(index: int) -> DefinitionDraft:
    # Every third one combines along the chain, which costs more than replacing.
    merges = index % 3 == 0
    return DefinitionDraft(
        key=key_name(index),
        title=None,
        description=None,
        schema={"type": "object"} if merges else {"type": "string"},
        default={"retries": 3, "channel": "mail"} if merges else "none",
        merge_strategy=MergeStrategy.MERGE if merges else MergeStrategy.REPLACE,
        levels=tuple(Level),
        sensitivity=Sensitivity.INTERNAL,
        owner=None,
        tags=(),
        deprecated=False,
    )


def _changes(scopes: int) -> Iterator[Change]:
    for number in range(scopes):
        scope = Scope(Level.ACCOUNT, "acme", account_name(number))
        for index in range(KEYS):
            value: Any = {"retries": number % 7} if index % 3 == 0 else f"value {number} of {key_name(index)}"
            yield Change(how="batch-set", scope=scope, key=key_name(index), value=value)
