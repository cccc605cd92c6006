"""What PostgreSQL tells of its locks, for tests that make others wait."""

from __future__ import annotations

import time

from sqlalchemy import text

from mailbot.store.engine import Database


def until_waiting(database: Database, count: int) -> None:
    """Wait until so many transactions wait for a lock."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 20
    while True:
        with database.read() as conn:
            if int(conn.execute(text(asked)).scalar_one()) >= count:
                return
        assert time.monotonic() < deadline, f"{count} were to wait for a lock"
        time.sleep(0.01)


def deadlocks(database: Database) -> int:
    """How many circles PostgreSQL had to break in this database."""
    counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    with database.read() as conn:
        return int(conn.execute(text(counted)).scalar_one())
