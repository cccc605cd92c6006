"""The database's clock, set by a test: on both engines, for every statement that asks it.

SQLite gets a `strftime` of ours in each connection, PostgreSQL a `clock_timestamp` in a schema that
is searched before its own. The boot clock goes on as it is, as it does when somebody sets the time.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

from sqlalchemy import event, text

from mailbot.store.engine import Database, now

_SQLITE_FORMAT = "%Y-%m-%d %H:%M:%f"


class DatabaseClock:
    """From now on the clock of `database`; nothing else may be connected to it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ahead = timedelta()
        if database.is_sqlite:
            event.listen(database.engine, "connect", self._install)
        else:
            self._shadow()
        database.engine.dispose()  # whoever connects from now on gets it

    def jump(self, by: timedelta) -> None:
        """Put the clock forward, or back."""
        self._ahead += by
        if not self._database.is_sqlite:
            with self._database.write() as conn:
                conn.execute(text("UPDATE ahead.clock SET by = :by"), {"by": self._ahead})

    def set(self, at: datetime) -> None:
        """Put the clock to this moment, from which it goes on."""
        with self._database.read() as conn:
            self.jump(at - now(conn))

    def _install(self, connection: sqlite3.Connection, _record: object) -> None:
        connection.create_function("strftime", 3, self._strftime)

    def _strftime(self, form: str, moment: str, modifier: str) -> str:
        assert (form, moment) == (_SQLITE_FORMAT, "now"), "what DatabaseTime asks for"
        seconds = float(modifier.removesuffix(" seconds"))
        at = datetime.now(UTC) + self._ahead + timedelta(seconds=seconds)
        return at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]

    def _shadow(self) -> None:
        with self._database.write() as conn:
            name = conn.execute(text("SELECT current_database()")).scalar_one()
            for statement in (
                "CREATE SCHEMA ahead",
                "CREATE TABLE ahead.clock (by interval NOT NULL)",
                "INSERT INTO ahead.clock VALUES ('0')",
                """CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
                   AS 'SELECT pg_catalog.clock_timestamp() + by FROM ahead.clock'""",
                f'ALTER DATABASE "{name}" SET search_path = ahead, pg_catalog, public',
            ):
                conn.execute(text(statement))
