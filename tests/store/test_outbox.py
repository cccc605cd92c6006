"""Queue, claim, lease, give back, recover."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import select, text

from mailbot.core.consent import Kind
from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import StoreError
from mailbot.core.outbox_states import State
from mailbot.store import campaigns, consent, outbox, sent_messages, switches
from mailbot.store.engine import Database
from mailbot.store.tables import outbox as outbox_rows
from tests.people import address, event, person
from tests.store.filling import (
    ME,
    begin,
    campaign_under_way,
    claim,
    end,
    let_leases_run_out,
    queue_order_status,
    state_of,
)


def recover(database: Database) -> outbox.Recovered:
    with database.write() as conn:
        return outbox.recover_expired(conn, resend_after_seconds=0)


def test_one_idempotency_key_is_one_message_for_ever(database: Database) -> None:
    assert queue_order_status(database, key="order-1")
    assert not queue_order_status(database, key="order-1")
    assert len(claim(database)) == 1


def test_order_status_is_claimed_before_any_campaign(database: Database) -> None:
    campaign_under_way(database, *(f"c{n}@example.org" for n in range(20)))
    queue_order_status(database)
    assert [row.kind for row in claim(database, limit=2)] == [
        MessageKind.ORDER_STATUS, MessageKind.CAMPAIGN
    ]  # fmt: skip


def test_two_daemons_never_claim_the_same_row(database: Database) -> None:
    for number in range(60):
        queue_order_status(database, key=f"o{number}")
    claimed: list[int] = []

    def work(name: str) -> None:
        while rows := claim(database, limit=7, by=name):
            claimed.extend(row.id for row in rows)

    threads = [threading.Thread(target=work, args=(f"daemon-{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(set(claimed))
    assert len(claimed) == 60


def test_a_row_waits_for_its_time(database: Database) -> None:
    queue_order_status(database)
    with database.write() as conn:
        conn.execute(text("UPDATE outbox SET not_before = '2999-01-01 00:00:00.000000'"))
    assert claim(database) == []


def test_a_paused_campaign_is_not_claimed_and_gives_its_claimed_rows_back(
    database: Database,
) -> None:
    campaign_under_way(database, "ann@example.org", "bob@example.org")
    [row] = claim(database, limit=1)
    with database.write() as conn:
        campaigns.pause(conn, "spring", "wrong price")
    assert state_of(database, row.id) is State.QUEUED
    assert begin(database, row) is None
    assert claim(database) == []
    with database.write() as conn:
        campaigns.resume(conn, "spring")
    assert len(claim(database)) == 2


def test_while_marketing_is_stopped_only_order_status_is_claimed(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    queue_order_status(database)
    with database.write() as conn:
        switches.turn(conn, switches.MARKETING_STOPPED, is_on=True, because="wrong list")
    assert [row.kind for row in claim(database)] == [MessageKind.ORDER_STATUS]


def test_a_claim_whose_lease_ran_out_goes_back_to_the_queue(database: Database) -> None:
    queue_order_status(database)
    [row] = claim(database)
    assert recover(database).queued == ()
    let_leases_run_out(database)
    assert recover(database).queued == (row.id,)
    assert begin(database, row) is None, "the first daemon must not begin what it lost"


def test_a_host_whose_clock_is_a_day_ahead_takes_over_no_live_lease(database: Database) -> None:
    queue_order_status(database)
    [row] = claim(database)
    with time_machine.travel(datetime.now(UTC) + timedelta(days=1)):
        assert recover(database) == outbox.Recovered((), (), ())
    assert state_of(database, row.id) is State.CLAIMED


def test_a_heartbeat_keeps_a_lease_and_revives_none(database: Database) -> None:
    queue_order_status(database)
    [row] = claim(database, lease=60)
    with database.write() as conn:
        assert outbox.extend_leases(conn, [row.id], claimed_by=ME, lease_seconds=60) == [row.id]
        assert outbox.extend_leases(conn, [row.id], claimed_by="another", lease_seconds=60) == []
    let_leases_run_out(database)
    with database.write() as conn:
        assert outbox.extend_leases(conn, [row.id], claimed_by=ME, lease_seconds=60) == []


def test_a_heartbeat_keeps_no_row_alive_that_its_daemon_does_not_know_of(
    database: Database,
) -> None:
    queue_order_status(database, key="o1")
    queue_order_status(database, key="o2")
    known, unknown = claim(database, lease=60)
    leases = select(outbox_rows.c.id, outbox_rows.c.lease_until)
    with database.write() as conn:
        before = {row.id: row.lease_until for row in conn.execute(leases)}
        outbox.extend_leases(conn, [known.id], claimed_by=ME, lease_seconds=600)
        after = {row.id: row.lease_until for row in conn.execute(leases)}
    assert after[known.id] > before[known.id]
    assert after[unknown.id] == before[unknown.id]


def test_order_status_left_in_sending_is_resent_three_times_under_one_message_id(
    database: Database,
) -> None:
    queue_order_status(database)
    seen = []
    for _ in range(4):
        [row] = claim(database)
        seen.append(row.message_id)
        begin(database, row)
        let_leases_run_out(database)
        recovered = recover(database)
        assert recovered.uncertain == (row.id,)
    assert len(seen) == 4
    assert len(set(seen)) == 1
    assert recovered.resent == ()
    assert state_of(database, row.id) is State.UNCERTAIN


def test_order_status_is_resent_only_when_a_late_answer_would_have_come(
    database: Database,
) -> None:
    queue_order_status(database)
    [row] = claim(database)
    attempt_id = begin(database, row)
    assert attempt_id is not None
    let_leases_run_out(database)
    with database.write() as conn:
        assert outbox.recover_expired(conn, resend_after_seconds=600).resent == ()
    assert end(database, row, attempt_id, State.SENT), "the late answer still finds its row"
    assert recover(database).resent == ()


def test_marketing_left_in_sending_waits_for_a_person(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    [row] = claim(database)
    begin(database, row)
    let_leases_run_out(database)
    assert recover(database).uncertain == (row.id,)
    assert state_of(database, row.id) is State.UNCERTAIN
    assert claim(database) == []


def test_a_late_answer_turns_uncertain_into_sent(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    [row] = claim(database)
    attempt_id = begin(database, row)
    assert attempt_id is not None
    let_leases_run_out(database)
    recover(database)
    assert end(database, row, attempt_id, State.SENT)
    assert state_of(database, row.id) is State.SENT


def test_an_answer_to_an_older_attempt_changes_nothing(database: Database) -> None:
    queue_order_status(database)
    [row] = claim(database)
    old_attempt = begin(database, row)
    assert old_attempt is not None
    let_leases_run_out(database)
    recover(database)
    [again] = claim(database)
    begin(database, again)
    assert not end(database, row, old_attempt, State.REJECTED)
    assert state_of(database, row.id) is State.SENDING


def test_an_opt_out_withholds_what_waits_and_leaves_order_status(database: Database) -> None:
    campaign_under_way(database, "ann@example.org", "bob@example.org")
    queue_order_status(database, "ann@example.org")
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT))
    with database.write() as conn:
        assert outbox.withhold_marketing_of(conn, person("ann@example.org"), "opt_out") == 1
    assert {row.address for row in claim(database) if row.kind is MessageKind.CAMPAIGN} == {
        "bob@example.org"
    }


def test_one_acknowledgement_an_address_a_period(database: Database) -> None:
    def acknowledge() -> bool:
        with database.write() as conn:
            return outbox.enqueue_acknowledgement(
                conn, address=address("ann@example.org"), person=person("ann@example.org"),
                fields={}, every_days=30, our_domain="shop.example",
            )  # fmt: skip

    assert acknowledge()
    assert not acknowledge()
    with database.write() as conn:
        conn.execute(text("UPDATE outbox SET created_at = '2020-01-01 00:00:00.000000'"))
    assert acknowledge()


def test_a_campaign_row_without_a_campaign_cannot_be_stored(database: Database) -> None:
    queue_order_status(database)
    with pytest.raises(StoreError, match="campaign_has_one"), database.write() as conn:
        conn.execute(text("UPDATE outbox SET kind = 'campaign'"))


def test_messages_are_found_by_their_message_id_and_number(database: Database) -> None:
    queue_order_status(database)
    [row] = claim(database)
    with database.read() as conn:
        assert sent_messages.messages_named(conn, ["<x@y>"]) == []
        [by_id] = sent_messages.messages_named(conn, [row.message_id])
        [by_number] = sent_messages.messages_named(conn, [], [row.id])
        assert by_id == by_number
        assert by_id.person == person("ann@example.org")
        assert sent_messages.person_of_hash(conn, row.person.person_hash) == row.person


@pytest.mark.only_on("sqlite", "the words of its planner; PostgreSQL's stand below")
def test_what_runs_again_and_again_reads_no_whole_outbox(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    plans: list[str] = []

    def explain(_conn: object, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith(("SELECT", "UPDATE", "WITH")):
            rows = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            plans.extend(row[3] for row in rows)

    sqlalchemy_event.listen(database.engine, "before_cursor_execute", explain)
    [row] = claim(database)
    recover(database)
    with database.write() as conn:
        outbox.extend_leases(conn, [row.id], claimed_by=ME, lease_seconds=60)
        outbox.oldest_waiting_at(conn)
    whole = [plan for plan in plans if plan.startswith("SCAN outbox") and "INDEX" not in plan]
    assert whole == []
    for index in ("ix_outbox_due", "ix_outbox_due_campaign", "ix_outbox_leased"):
        assert any(f"{index} " in f"{plan} " for plan in plans), index
    # Nothing that waits is sorted for a claim, however much it is; of campaigns there are few.
    assert plans.count("USE TEMP B-TREE FOR ORDER BY") == 1


@pytest.mark.only_on("postgresql", "the words of its planner; SQLite's stand above")
def test_an_index_serves_whatever_runs_again_and_again(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    plans: list[str] = []

    def explain(_conn: object, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith(("SELECT", "UPDATE", "WITH")):
            cursor.execute("SET LOCAL enable_seqscan = off")  # then: only where nothing else serves
            rows = cursor.execute(f"EXPLAIN {statement}", parameters).fetchall()
            plans.append("\n".join(row[0] for row in rows))

    sqlalchemy_event.listen(database.engine, "before_cursor_execute", explain)
    [row] = claim(database)
    recover(database)
    with database.write() as conn:
        outbox.extend_leases(conn, [row.id], claimed_by=ME, lease_seconds=60)
        outbox.oldest_waiting_at(conn)
    assert [plan for plan in plans if "Seq Scan on outbox" in plan] == []
    for index in ("ix_outbox_due", "ix_outbox_due_campaign", "ix_outbox_leased"):
        assert any(f"{index} " in f"{plan} " for plan in plans), index
