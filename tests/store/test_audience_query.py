"""A query that can only read, on both engines: the database itself refuses everything else."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine

from mailbot.core.errors import AudienceError
from mailbot.store.audience_query import asked
from tests.databases import Databases

TABLE = "CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT, name TEXT)"


@pytest.fixture
def shop(databases: Databases) -> str:
    url = databases.empty()
    run(url, TABLE)
    run(url, "INSERT INTO customers VALUES (1, 'ann@example.org', '100 %'), (2, NULL, 'b:c')")
    return url


def run(url: str, statement: str) -> list[Any]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as conn:
        result = conn.execution_options(no_parameters=True).exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else []


def ask(url: str, query: str, seconds: int = 60) -> tuple[tuple[str, ...], list[Sequence[Any]]]:
    with asked(url, query, where="audience “shop”", query_where="q.sql", seconds=seconds) as answer:
        return answer.columns, [tuple(row) for row in answer.rows]


def test_columns_and_rows_come_as_they_are(shop: str) -> None:
    query = "-- whom we write to; all of them\nSELECT email, name AS full_name\nFROM customers\n"
    query += "WHERE name LIKE '%' AND ':x' <> '%s' ORDER BY id;\n"
    assert ask(shop, query) == (
        ("email", "full_name"), [("ann@example.org", "100 %"), (None, "b:c")],
    )  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM customers",
        "DELETE FROM customers RETURNING email",
        "UPDATE customers SET email = 'x@example.org' RETURNING email",
        "INSERT INTO customers VALUES (3, 'x@example.org', 'X') RETURNING email",
        "DROP TABLE customers",
        "CREATE TABLE other (id INTEGER)",
        "SELECT email FROM customers; DELETE FROM customers",
        "SELECT email FROM customers; COMMIT; DELETE FROM customers",
        "COMMIT",
    ],
)
def test_a_write_or_a_second_statement_is_refused_and_changes_nothing(
    shop: str, statement: str
) -> None:
    with pytest.raises(AudienceError) as caught:
        ask(shop, statement)
    assert caught.value.where.startswith("q.sql")
    assert run(shop, "SELECT COUNT(*), MIN(email) FROM customers") == [(2, "ann@example.org")]
    with pytest.raises(Exception, match="other"):
        run(shop, "SELECT * FROM other")


@pytest.mark.only_on("postgresql", "SQLite has no functions that write")
def test_a_function_that_writes_is_refused_by_the_transaction(shop: str) -> None:
    run(
        shop,
        "CREATE FUNCTION wipe() RETURNS text LANGUAGE sql AS "
        "$$ DELETE FROM customers RETURNING email $$",
    )
    run(
        shop,
        "CREATE FUNCTION unlock_and_wipe() RETURNS text LANGUAGE plpgsql AS $$ BEGIN "
        "SET TRANSACTION READ WRITE; DELETE FROM customers; RETURN 'x@example.org'; END $$",
    )
    for query in ("SELECT wipe() AS email", "SELECT unlock_and_wipe() AS email"):
        with pytest.raises(AudienceError, match=r"may only read|read-write mode"):
            ask(shop, query)
    assert run(shop, "SELECT COUNT(*) FROM customers") == [(2,)]


@pytest.mark.only_on("sqlite", "PostgreSQL has no such statements")
def test_no_statement_of_sqlite_makes_or_opens_another_file(shop: str, tmp_path: Path) -> None:
    for statement in (
        f"ATTACH DATABASE '{tmp_path}/other.db' AS other",
        f"VACUUM INTO '{tmp_path}/other.db'",
        "PRAGMA query_only = OFF",
    ):
        with pytest.raises(AudienceError, match="may only read"):
            ask(shop, statement)
    assert not (tmp_path / "other.db").exists()


def test_a_fault_is_told_with_its_line(shop: str) -> None:
    with pytest.raises(AudienceError, match="emial") as caught:
        ask(shop, "SELECT\n  name,\n  emial\nFROM customers")
    assert caught.value.where == "q.sql, line 3"
    with pytest.raises(AudienceError, match="cutsomers") as caught:
        ask(shop, "SELECT name\nFROM cutsomers")
    assert caught.value.where == "q.sql, line 2"


def test_a_query_that_takes_too_long_is_ended_by_the_database(shop: str) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"
    with pytest.raises(AudienceError, match="longer than 1 seconds"):
        ask(shop, endless, seconds=1)


def test_rows_that_never_end_are_ended_too(shop: str) -> None:
    """Each fetch alone is quick: the time is that of all of them."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    with (
        pytest.raises(AudienceError, match="longer than 1 seconds"),
        asked(shop, endless, where="shop", query_where="q.sql", seconds=1) as answer,
    ):
        for _ in answer.rows:
            pass


def test_memory_stays_flat_however_many_rows_there_are(shop: str) -> None:
    def peak(count: int) -> int:
        query = (
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
            "SELECT i, 'somebody@example.org' AS email FROM n"
        )
        tracemalloc.start()
        with asked(shop, query, where="shop", query_where="q.sql", seconds=60) as answer:
            assert sum(1 for _ in answer.rows) == count
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(2000)
    assert peak(40_000) < peak(10_000) + 500_000


def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    for url, words in (
        (f"sqlite:///{tmp_path}/none.db", "no such database file"),
        ("postgresql+psycopg://nobody@127.0.0.1:1/none", "cannot be reached"),
        ("oracle://x@y/z", "'oracle'"),
        ("mysql+mysqlconnector://x@y/z", "driver “mysql” for this database is not installed"),
        ("nonsense", "this is no URL"),
    ):
        with pytest.raises(AudienceError, match=words) as caught:
            ask(url, "SELECT 1")
        assert caught.value.where.startswith("audience “shop”")
    assert not (tmp_path / "none.db").exists()
