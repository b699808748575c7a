"""What becomes of a connection that PostgreSQL has ended, and of who is given it."""

from __future__ import annotations

import asyncpg
import msgspec
import pytest

from app.config import Config
from app.kit.database import DatabaseUnavailable, open_database
from tests.guarantees.proxy import wired

pytestmark = pytest.mark.anyio


async def test_a_connection_that_was_told_its_end_fails_as_one_that_is_away_and_is_given_to_nobody_else(
    app_url: str, config: Config
) -> None:
    """Found by tests/faults: asyncpg sends nothing over it, with an error of its own, which was answered with 500."""
    config = msgspec.structs.replace(config, pool_size=1)
    async with wired(app_url) as (wire, url), open_database(url, config=config) as database:
        assert (await database.fetchrow("SELECT 1"))[0] == 1
        wire.say_goodbye()
        await (await asyncpg.connect(url)).close()  # a round trip later the goodbye has been read

        with pytest.raises(DatabaseUnavailable):
            await database.fetchrow("SELECT 1")

        assert (await database.fetchrow("SELECT 1"))[0] == 1
