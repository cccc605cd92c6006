"""What `mailbot check` says where a PostgreSQL might lose an opt-out that was answered."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from mailbot.store import durability
from mailbot.store.engine import Database


@pytest.mark.only_on("sqlite", "mailbot itself sets it to be durable")
def test_sqlite_has_none_of_these_risks(database: Database) -> None:
    with database.read() as conn:
        assert durability.risks(conn) == []


@pytest.mark.only_on("postgresql", "its server's settings")
def test_a_server_that_does_not_wait_for_its_disk_is_told(database: Database) -> None:
    """The tests' own server does not wait for the disk, so it is told of."""
    with database.read() as conn:
        before = durability.risks(conn)
        conn.execute(text("SET LOCAL synchronous_commit = off"))
        after = durability.risks(conn)
    assert [one.partition(" ")[0] for one in before] == ["fsync", "full_page_writes"]
    assert [one.partition(" ")[0] for one in after] == [
        "fsync", "full_page_writes", "synchronous_commit",
    ]  # fmt: skip


@pytest.mark.only_on("postgresql", "a view of its own stands before the server's")
@pytest.mark.parametrize(("standbys", "is_told"), [(0, False), (1, True)])
def test_a_standby_that_nobody_waits_for_is_told(
    database: Database, standbys: int, is_told: bool
) -> None:
    """As a server with a standby shows it: a temporary view of that name is found first."""
    with database.write() as conn:
        conn.execute(text(
            "CREATE TEMPORARY VIEW pg_stat_replication AS "
            f"SELECT 'async' AS sync_state FROM generate_series(1, {standbys})"
        ))  # fmt: skip
        conn.execute(text("SET LOCAL search_path = pg_temp, pg_catalog, public"))
        found = durability.risks(conn)
        conn.execute(text("DROP VIEW pg_temp.pg_stat_replication"))
    assert any("standbys follow" in one for one in found) is is_told
