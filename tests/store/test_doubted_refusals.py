"""A relay that says of everybody that the address does not exist is not believed for long."""

from __future__ import annotations

from sqlalchemy import text, update

from mailbot.core.outbox_states import State
from mailbot.store import doubted_refusals, sent_messages
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database
from mailbot.store.tables import outbox as rows
from tests.store.filling import begin, campaign_under_way, claim, end, queue_order_status


def orders_end(database: Database, state: State, count: int, prefix: str = "") -> list[int]:
    for number in range(count):
        name = f"{prefix}{state}{number}"
        assert queue_order_status(database, f"{name}@example.org", f"{name}-shipped")
    ended = claim(database)
    assert len(ended) == count
    for row in ended:
        attempt_id = begin(database, row)
        assert attempt_id is not None
        assert end(database, row, attempt_id, state)
    return [row.id for row in ended]


def is_doubted(database: Database) -> bool:
    with database.read() as conn:
        return doubted_refusals.since(conn) is not None


def test_ten_refusals_are_believed_and_what_the_relay_takes_then_makes_good_for_them(
    database: Database,
) -> None:
    orders_end(database, State.SENT, 30, "before")
    orders_end(database, State.BOUNCED, 9)
    assert not is_doubted(database)
    orders_end(database, State.BOUNCED, 1, "tenth")
    assert is_doubted(database)
    orders_end(database, State.SENT, 9)
    assert is_doubted(database)
    orders_end(database, State.SENT, 1, "tenth")
    assert not is_doubted(database)


def test_an_outage_that_pauses_for_hours_is_still_one(database: Database) -> None:
    orders_end(database, State.BOUNCED, 10)
    with database.write() as conn:
        conn.execute(update(rows).values(finished_at=DatabaseTime(-86_400)))
    assert is_doubted(database)


def test_campaigns_and_later_delivery_reports_say_nothing_about_it(database: Database) -> None:
    sent = orders_end(database, State.SENT, 10)
    with database.write() as conn:
        assert sent_messages.mark_bounced(conn, sent, "5.1.1") == 10
    campaign_under_way(database, *(f"c{number}@example.org" for number in range(10)))
    for row in claim(database):
        attempt_id = begin(database, row)
        assert attempt_id is not None
        assert end(database, row, attempt_id, State.BOUNCED)
    assert not is_doubted(database)


def test_the_newest_are_found_along_an_index_and_the_others_are_not_sorted(
    database: Database,
) -> None:
    orders_end(database, State.BOUNCED, 10)
    with database.write() as conn:
        if not database.is_sqlite:
            conn.execute(text("ANALYZE outbox"))
            conn.execute(text("SET LOCAL enable_seqscan = off"))  # ten rows need no index
            conn.execute(text("SET LOCAL enable_sort = off"))
        compiled = doubted_refusals.newest(State.BOUNCED).compile(
            dialect=conn.dialect, compile_kwargs={"literal_binds": True}
        )
        explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        plan = conn.exec_driver_sql(f"{explain} {compiled}").all()
    told = "\n".join(str(row[-1]) for row in plan)
    assert "ix_outbox_state" in told, told
    assert "Sort" not in told, told
    assert "TEMP B-TREE" not in told, told
