"""Breaking the database's word, inside of it: triggers that fail in the middle of the application's transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.kit.database import Connection

RAISE = "RAISE EXCEPTION 'broken by a test'"
DIE = "PERFORM pg_terminate_backend(pg_backend_pid())"

_FUNCTION = """
CREATE OR REPLACE FUNCTION broken_by_a_test() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {what}; RETURN NULL; END $$"""


@asynccontextmanager
async def broken(db: Connection, table: str, *, what: str = RAISE, at_commit: bool = False) -> AsyncIterator[None]:
    """Let every change of a table fail, when it is made or when it is committed."""
    kind, when = ("CONSTRAINT TRIGGER", "DEFERRABLE INITIALLY DEFERRED") if at_commit else ("TRIGGER", "")
    await db.execute(_FUNCTION.format(what=what))
    await db.execute(
        f"CREATE {kind} broken_by_a_test AFTER INSERT OR UPDATE OR DELETE ON {table} {when} "
        "FOR EACH ROW EXECUTE FUNCTION broken_by_a_test()"
    )
    try:
        yield
    finally:
        await db.execute(f"DROP TRIGGER broken_by_a_test ON {table}")
