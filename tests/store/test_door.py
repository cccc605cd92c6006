"""The door on PostgreSQL: a role that can add a wish, and do nothing else."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from mailbot.core.errors import DoorClosed
from mailbot.store import door
from mailbot.store.engine import Database
from mailbot.store.tables import metadata
from tests.store.test_spool import lines, wish

pytestmark = pytest.mark.only_on("postgresql", "SQLite has no roles: its door is the spool")

ROLE = "mailbot public"


@pytest.fixture
def url(database: Database) -> str:
    """The database as the page's role sees it."""
    there = make_url(database.engine.url.render_as_string(hide_password=False))
    superuser = create_engine(there.set(username="postgres"))
    with superuser.begin() as conn:
        exists = text("SELECT 1 FROM pg_roles WHERE rolname = :name")
        if conn.execute(exists, {"name": ROLE}).first() is None:
            conn.execute(text(f'CREATE ROLE "{ROLE}" LOGIN'))
    superuser.dispose()
    with database.write() as conn:
        for statement in filter(None, door.grants(ROLE).split(";\n")):
            conn.execute(text(statement))
    return there.set(username=ROLE).render_as_string(hide_password=False)


def test_the_role_adds_wishes_and_the_daemon_finds_them(url: str, database: Database) -> None:
    async def crowd() -> None:
        opened = door.BatchingDoor(door.TableWriter(url))
        await asyncio.gather(*(opened.hand_in(wish(number)) for number in range(50)))
        await opened.close()

    asyncio.run(crowd())
    with database.write() as conn:
        assert sorted(door.lines_in(conn, 100)) == sorted(lines(*range(50)))


@pytest.mark.parametrize("table", sorted(table.name for table in metadata.sorted_tables))
def test_the_role_reads_and_changes_no_table(url: str, table: str) -> None:
    engine = create_engine(url)
    try:
        for statement in (
            f"SELECT 1 FROM {table}", f"DELETE FROM {table}", f"TRUNCATE {table}",
            f"COPY {table} TO STDOUT", f"LOCK TABLE {table}",
        ):  # fmt: skip
            with engine.connect() as conn, pytest.raises(DBAPIError, match="permission denied"):
                conn.execute(text(statement))
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO door_wishes (line, entered_at) VALUES ('x', '2000-01-01')",
        "INSERT INTO door_wishes (line) VALUES ('x') RETURNING line",
        "UPDATE door_wishes SET line = 'x'",
        "INSERT INTO suppressions (reason) VALUES ('x')",
        "CREATE TABLE mine (x int)",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ],
)
def test_the_role_does_nothing_else(url: str, statement: str) -> None:
    engine = create_engine(url)
    try:
        with (
            engine.connect() as conn,
            pytest.raises(DBAPIError, match=r"permission denied|must be"),
        ):
            conn.execute(text(statement))
    finally:
        engine.dispose()


def test_a_line_too_long_is_refused_by_the_database(url: str) -> None:
    writer = door.TableWriter(url)
    with pytest.raises(DoorClosed, match="line_is_short"):
        writer.append(["x" * 2001])
    writer.append(lines(1))
    writer.close()


def test_a_database_that_is_away_closes_the_door(url: str) -> None:
    away = make_url(url).set(host="127.0.0.1", port=1).render_as_string(hide_password=False)
    writer = door.TableWriter(away)
    with pytest.raises(DoorClosed, match="cannot be stored"):
        writer.append(lines(1))
    writer.close()
