"""How fast requests were acted on, and how long the oldest one waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from mailbot.core.consent import Kind, Source
from mailbot.store import answer_times, consent, mailboxes, reviews
from mailbot.store.engine import Database, now
from mailbot.store.reviews import Place
from mailbot.store.tables import ReviewState, watermarks
from tests.people import event, person

MONTH = timedelta(days=30)


def database_time(database: Database) -> datetime:
    with database.read() as conn:
        return now(conn)


@pytest.fixture
def begun(database: Database) -> datetime:
    """mailbot read help@ to its end a day ago; returns the time of now."""
    at = database_time(database)
    with database.write() as conn:
        for account in ("help", "help (shadow)"):
            mailboxes.advance(conn, account, "INBOX", 1, 10)
            mailboxes.finish_first_scan(conn, account, "INBOX", 1)
        conn.execute(
            update(watermarks)
            .where(watermarks.c.account == "help")
            .values(first_scan_done_at=at - timedelta(days=1))
        )
        conn.execute(
            update(watermarks)
            .where(watermarks.c.account != "help")
            .values(first_scan_done_at=at - timedelta(days=9))
        )
    return at


def opt_out(database: Database, at: datetime, number: int, source: Source = Source.MAIL) -> None:
    one = event(Kind.OPT_OUT, f"p{number}@example.org", source=source)
    with database.write() as conn:
        consent.record(conn, replace(one, received_at=at))


def test_half_and_nearly_all_are_told_apart(database: Database, begun: datetime) -> None:
    for number in range(98):
        opt_out(database, begun, number)
    opt_out(database, begun - timedelta(hours=2), 98)
    opt_out(database, begun - timedelta(hours=9), 99)
    with database.read() as conn:
        times = answer_times.answer_times(conn, MONTH)
    assert (times.count, times.history) == (100, 0)
    assert times.median is not None and times.median < timedelta(minutes=1)
    assert times.p99 is not None
    assert timedelta(hours=2) <= times.p99 < timedelta(hours=3)


def test_what_was_there_before_mailbot_is_history(database: Database, begun: datetime) -> None:
    """Shadow mode had read it earlier, and recorded nothing."""
    opt_out(database, begun - timedelta(days=300), 1)
    opt_out(database, begun - timedelta(days=5), 2)
    with database.read() as conn:
        times = answer_times.answer_times(conn, MONTH)
    assert (times.count, times.median, times.p99, times.history) == (0, None, None, 2)


def test_only_opt_outs_by_mail_are_measured(database: Database, begun: datetime) -> None:
    opt_out(database, begun - timedelta(hours=3), 1, Source.COMMAND_LINE)
    with database.read() as conn:
        assert answer_times.answer_times(conn, MONTH).count == 0


def test_only_events_recorded_lately_are_read(database: Database, begun: datetime) -> None:
    for number in range(5):
        opt_out(database, begun, number)
    later = database_time(database)
    for number in range(5, 8):
        opt_out(database, begun, number)
    with database.read() as conn:
        assert answer_times._first_recorded_since(conn, later) in (5, 6)  # SQLite: milliseconds
        assert answer_times._first_recorded_since(conn, begun - MONTH) == 1
        assert answer_times._first_recorded_since(conn, later + MONTH) == 9
        assert answer_times.answer_times(conn, timedelta(days=-1)).count == 0


def test_before_the_first_look_is_done_all_is_history(database: Database) -> None:
    opt_out(database, database_time(database), 1)
    with database.read() as conn:
        times = answer_times.answer_times(conn, MONTH)
    assert (times.count, times.history) == (0, 1)


def test_the_oldest_open_request_is_the_one_received_first(database: Database) -> None:
    at = database_time(database)
    with database.write() as conn:
        for number, hours in enumerate((1, 30, 40, None), start=1):
            reviews.open_item(
                conn, key=f"k{number}", person=person("eve@example.org"),
                place=Place("help", "INBOX", 1, number), rule="own-address", because="forwarded",
                received_at=None if hours is None else at - timedelta(hours=hours),
            )  # fmt: skip
        third = reviews.waiting(conn)[2]
        assert reviews.decide(conn, third.id, ReviewState.DISMISSED, "ann")
    with database.read() as conn:
        found = answer_times.oldest_open(conn)
    assert found is not None
    assert found.review_id == third.id - 1
    assert at - found.received_at == timedelta(hours=30)


def test_none_is_open_where_nothing_waits(database: Database) -> None:
    with database.read() as conn:
        assert answer_times.oldest_open(conn) is None
