"""What is long over loses its address; what may still be needed keeps it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from mailbot.core.outbox_states import State
from mailbot.store import campaigns, deliveries, retention
from mailbot.store.engine import Database, now
from mailbot.store.retention import Forgotten
from mailbot.store.tables import audience_members, outbox
from tests.people import person
from tests.store.filling import begin, campaign_under_way, claim, end, queue_order_status


def deliver(database: Database, state: State = State.SENT) -> None:
    for row in claim(database):
        attempt_id = begin(database, row)
        assert attempt_id is not None
        end(database, row, attempt_id, state)


def forget(database: Database, days: float = 0) -> Forgotten:
    with database.read() as conn:
        before = now(conn) - timedelta(days=days) + timedelta(minutes=1)
        counted = retention.count(conn, before)
    forgotten = retention.forget(database, before)
    assert forgotten == counted, "--dry-run tells what is done"
    return forgotten


def addresses(database: Database) -> list[str | None]:
    with database.read() as conn:
        return list(conn.execute(select(outbox.c.address).order_by(outbox.c.id)).scalars())


def test_a_message_that_is_long_over_loses_its_address_and_keeps_its_state(
    database: Database,
) -> None:
    queue_order_status(database, "ann@example.org")
    deliver(database)
    assert forget(database) == Forgotten(1, 0)
    with database.read() as conn:
        [message] = deliveries.messages_to(conn, person("ann@example.org"))
        [kept] = conn.execute(select(outbox.c.address, outbox.c.fields, outbox.c.idempotency_key))
        replies = conn.execute(text("SELECT reply FROM delivery_attempts")).scalars().all()
    assert (message.state, message.last_reply) == (State.SENT, None)
    assert tuple(kept) == (None, {}, "o1")
    assert replies == [None]


def test_a_message_of_late_keeps_its_address(database: Database) -> None:
    queue_order_status(database)
    deliver(database)
    assert forget(database, days=1) == Forgotten(0, 0)
    assert addresses(database) == ["ann@example.org"]


@pytest.mark.parametrize("state", [State.DEFERRED, State.UNCERTAIN])
def test_a_message_that_may_still_be_sent_keeps_its_address(
    database: Database, state: State
) -> None:
    queue_order_status(database)
    deliver(database, state)
    assert forget(database) == Forgotten(0, 0)


def test_the_shop_may_hand_over_again_what_was_forgotten_and_nothing_is_sent_twice(
    database: Database,
) -> None:
    assert queue_order_status(database, key="o1")
    deliver(database)
    forget(database)
    assert not queue_order_status(database, key="o1")


def test_a_campaign_under_way_keeps_its_people_and_one_that_ended_forgets_them(
    database: Database,
) -> None:
    campaign_under_way(database, "ann@example.org", "bob@example.org")
    deliver(database)
    assert forget(database) == Forgotten(0, 0)
    with database.write() as conn:
        assert len(campaigns.finish_sent(conn)) == 1
    assert forget(database) == Forgotten(2, 2)
    with database.read() as conn:
        assert set(conn.execute(select(audience_members.c.address)).scalars()) == {None}
        assert addresses(database) == [None, None]


def test_many_are_forgotten_in_small_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_CHUNK", 3)
    campaign_under_way(database, *(f"p{number}@example.org" for number in range(10)))
    deliver(database)
    with database.write() as conn:
        campaigns.finish_sent(conn)
    assert forget(database) == Forgotten(10, 10)
    assert forget(database) == Forgotten(0, 0)
