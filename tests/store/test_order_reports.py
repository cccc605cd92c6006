"""What the shop learns: every change of order status, in order, and none is missed."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from sqlalchemy import select, update

from mailbot.core.outbox_states import State
from mailbot.store import erasure, order_reports, outbox
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database
from mailbot.store.order_reports import changes_after
from mailbot.store.tables import outbox as rows
from tests.people import address, person


def hand_over(database: Database, *keys: str) -> None:
    with database.write() as conn:
        for key in keys:
            assert outbox.enqueue_order_status(
                conn, message_type="shipped", address=address(f"{key}@example.org"),
                person=person(f"{key}@example.org"), fields={}, idempotency_key=key,
                our_domain="shop.example",
            )  # fmt: skip


def become(
    database: Database, key: str, state: State, reply: str = "", *, seconds: float = 0
) -> None:
    with database.write() as conn:
        conn.execute(
            update(rows)
            .where(rows.c.idempotency_key == key)
            .values(state=state, last_reply=reply, finished_at=DatabaseTime(seconds))
        )


def told(database: Database, after: int = 0, limit: int = 100) -> Sequence[tuple[str, str]]:
    found = changes_after(database, after, limit)
    return [(change.idempotency_key, change.state.value) for change in found.changes]


def test_what_waits_is_not_told_and_what_is_over_is(database: Database) -> None:
    hand_over(database, "a", "b")
    assert told(database) == []
    become(database, "b", State.SENT)
    assert told(database) == [("b", "sent")]


@pytest.mark.parametrize(
    "state",
    [State.SENT, State.REJECTED, State.BOUNCED, State.WITHHELD, State.EXPIRED, State.UNCERTAIN,
     State.CANCELLED],
)  # fmt: skip
def test_each_state_in_which_a_message_may_stay_is_told(database: Database, state: State) -> None:
    hand_over(database, "a")
    become(database, "a", state, "550 no")
    [change] = changes_after(database, 0, 10).changes
    assert (change.state, change.type, change.reply) == (state, "shipped", "550 no")
    assert change.changed_at is not None


def test_pages_go_on_where_the_last_one_ended(database: Database) -> None:
    keys = [f"k{number}" for number in range(7)]
    hand_over(database, *keys)
    for seconds, key in enumerate(reversed(keys), start=-100):
        become(database, key, State.SENT, seconds=seconds)
    seen, cursor, pages = [], 0, 0
    while True:
        page = changes_after(database, cursor, 3)
        seen += [change.idempotency_key for change in page.changes]
        cursor, pages = page.cursor, pages + 1
        if not page.has_more:
            break
    assert (seen, pages) == (list(reversed(keys)), 3)
    assert changes_after(database, cursor, 3).changes == ()
    assert changes_after(database, cursor, 3).cursor == cursor


def test_more_than_a_transactions_worth_is_told(database: Database) -> None:
    keys = [f"k{number}" for number in range(602)]
    hand_over(database, *keys)
    with database.write() as conn:
        conn.execute(update(rows).values(state=State.SENT, finished_at=DatabaseTime()))
    assert [key for key, _ in told(database, limit=5_000)] == keys


def test_what_changes_again_is_told_again_and_stands_once(database: Database) -> None:
    hand_over(database, "a", "b")
    become(database, "a", State.SENT)
    become(database, "b", State.SENT)
    cursor = changes_after(database, 0, 10).cursor
    become(database, "a", State.BOUNCED)
    assert told(database, cursor) == [("a", "bounced")]
    assert told(database) == [("b", "sent"), ("a", "bounced")]


def test_an_uncertain_message_that_is_sent_again_keeps_what_was_told_until_it_is_over(
    database: Database,
) -> None:
    hand_over(database, "a")
    become(database, "a", State.UNCERTAIN, "lost")
    cursor = changes_after(database, 0, 10).cursor
    with database.write() as conn:
        assert outbox.resend_uncertain(conn, 0)
    [change] = changes_after(database, 0, 10).changes
    assert (change.state, change.changed_at, change.reply) == (State.UNCERTAIN, None, "")
    assert told(database, cursor) == []
    become(database, "a", State.SENT)
    assert told(database, cursor) == [("a", "sent")]


def test_what_was_committed_late_comes_after_what_was_told_already(database: Database) -> None:
    """A clock that stood still, or a long transaction: its time is older than the cursor's."""
    hand_over(database, "a", "late")
    become(database, "a", State.SENT)
    cursor = changes_after(database, 0, 10).cursor
    with database.write() as conn:
        conn.execute(
            update(rows)
            .where(rows.c.idempotency_key == "late")
            .values(state=State.SENT, finished_at=DatabaseTime(-3600))
        )
    assert told(database, cursor) == [("late", "sent")]


def test_many_who_ask_at_once_see_each_change_once(database: Database) -> None:
    keys = [f"k{number}" for number in range(300)]
    hand_over(database, *keys)
    seen: list[list[str]] = []
    is_over = threading.Event()

    def poll() -> None:
        mine: list[str] = []
        cursor = 0
        while True:
            was_over = is_over.is_set()
            page = changes_after(database, cursor, 17)
            mine += [change.idempotency_key for change in page.changes]
            cursor = page.cursor
            if was_over and not page.changes:
                break
        seen.append(mine)

    threads = [threading.Thread(target=poll) for _ in range(4)]
    for thread in threads:
        thread.start()
    for start in range(0, 300, 10):
        with database.write() as conn:
            conn.execute(
                update(rows)
                .where(rows.c.idempotency_key.in_(keys[start : start + 10]))
                .values(state=State.SENT, finished_at=DatabaseTime())
            )
    is_over.set()
    for thread in threads:
        thread.join(40)
    assert len(seen) == 4
    for mine in seen:
        assert sorted(mine) == sorted(keys)


def test_an_erased_customers_message_is_told_as_cancelled(database: Database) -> None:
    hand_over(database, "a")
    with database.write() as conn:
        conn.execute(update(rows).values(address=None, fields={}))
        ids = list(conn.execute(select(rows.c.id)).scalars())
        assert erasure.cancel_erased(conn, ids) == 1
    assert told(database) == [("a", "cancelled")]


def test_no_place_is_given_twice(database: Database) -> None:
    hand_over(database, "a", "b")
    become(database, "a", State.SENT)
    with database.write() as conn:
        assert order_reports.give_places(conn) == 1
        assert order_reports.give_places(conn) == 0
        assert order_reports.newest_place(conn) == 1
