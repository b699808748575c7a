"""What is in the database, seen past the application."""

from __future__ import annotations

from app.kit.database import Connection

TABLES = (
    "api_key",
    "append_dedupe",
    "event",
    "feed_head",
    "revocation",
    "scope",
    "setting_definition",
    "setting_history",
    "setting_value",
    "tenant",
)


async def everything(db: Connection) -> dict[str, list[str]]:
    """All rows of all tables."""
    return {
        name: [row["row"] for row in await db.fetch(f"SELECT t::text AS row FROM {name} t ORDER BY 1")]
        for name in TABLES
    }


async def head(db: Connection) -> int:
    """The position of the last event of the settings feed."""
    position: int = await db.fetchval("SELECT position FROM feed_head WHERE feed = 1")
    return position
