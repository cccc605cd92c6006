"""Prepared statements: what SQLAlchemy would do, without SQLAlchemy around each execution."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import bindparam, insert, select, update

from mailbot.core.errors import StoreError
from mailbot.store.columns import OneOf
from mailbot.store.engine import Database
from mailbot.store.prepared import Prepared
from mailbot.store.tables import outbox, switches
from tests.store.filling import campaign_under_way

pytestmark = pytest.mark.on_both_engines

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
TURN = Prepared(
    insert(switches).values(
        name=bindparam("switch"), is_on=bindparam("turned"), set_at=bindparam("at", AT)
    )
)


def test_values_are_bound_by_their_types(database: Database) -> None:
    with database.write() as conn:
        TURN.run(conn, {"switch": "one", "turned": True})
        TURN.run(conn, {"switch": "two", "turned": False, "at": datetime(2027, 1, 1, tzinfo=UTC)})
    with database.read() as conn:
        found = conn.execute(select(switches.c.name, switches.c.is_on, switches.c.set_at)).all()
    assert sorted(map(tuple, found)) == [
        ("one", True, AT), ("two", False, datetime(2027, 1, 1, tzinfo=UTC))
    ]  # fmt: skip


def test_it_runs_once_for_each(database: Database) -> None:
    with database.write() as conn:
        TURN.run_each(conn, [{"switch": f"s{n}", "turned": True} for n in range(3)])
        TURN.run_each(conn, [])
    with database.read() as conn:
        assert len(conn.execute(select(switches.c.name)).all()) == 3


def test_one_text_takes_any_number_of_ids(database: Database) -> None:
    campaign_under_way(database, *(f"c{n}@example.org" for n in range(5)))
    chosen = Prepared(select(outbox.c.id).where(OneOf(outbox.c.id, "ids")).order_by(outbox.c.id))
    with database.read() as conn:
        every = [row[0] for row in conn.execute(select(outbox.c.id).order_by(outbox.c.id))]
        for ids in ([], every[:1], every[1:4], [*every, 10**12]):
            expected = [(number,) for number in ids if number in every]
            assert [tuple(row) for row in chosen.rows(conn, {"ids": ids})] == expected


@pytest.mark.only_on("sqlite", "where the planner would have read the whole table")
def test_ids_are_looked_up_by_the_key(database: Database) -> None:
    statement = select(outbox.c.state).where(OneOf(outbox.c.id, "ids"))
    with database.read() as conn:
        sql = str(statement.compile(dialect=conn.dialect))
        plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", ("[1]",))]
    assert plan[0] == "SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)"


def test_what_the_database_refuses_is_told_as_ever(database: Database) -> None:
    with pytest.raises(StoreError, match="the database said"), database.write() as conn:
        TURN.run(conn, {"switch": "one", "turned": True})
        TURN.run(conn, {"switch": "one", "turned": True})
    with database.read() as conn:
        assert conn.execute(select(switches.c.name)).all() == []


def test_a_parameter_that_is_missing_is_a_fault_of_ours(database: Database) -> None:
    statement = Prepared(update(switches).values(because=bindparam("why")))
    with pytest.raises(KeyError, match="why"), database.write() as conn:
        statement.run(conn, {})
