"""The look before sending sees what was committed before it, in one statement."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from mailbot.core.consent import Kind, Reason
from mailbot.core.outbox_states import State
from mailbot.store import campaigns, consent, deliveries, switches
from mailbot.store.deliveries import DeliveryOutcome, Look
from mailbot.store.engine import Database
from mailbot.store.outbox import ClaimedRow
from mailbot.store.tables import CampaignState
from tests.people import event
from tests.store.filling import (
    ME,
    begin,
    campaign_under_way,
    claim,
    let_leases_run_out,
    queue_order_status,
    state_of,
)


def look(database: Database, row: ClaimedRow, by: str = ME) -> Look:
    with database.read() as conn:
        return deliveries.look_before_sending(conn, [row.id], claimed_by=by)[row.id]


@pytest.fixture
def marketing_row(database: Database) -> ClaimedRow:
    campaign_under_way(database, "ann+teas@example.org")
    [row] = claim(database)
    begin(database, row)
    return row


def test_nobody_on_the_list_means_no_reasons(database: Database, marketing_row: ClaimedRow) -> None:
    seen = look(database, marketing_row)
    assert seen == Look(frozenset(), 0, True, CampaignState.SENDING, False)


def test_an_opt_out_committed_before_the_look_is_seen_with_its_sequence(
    database: Database, marketing_row: ClaimedRow
) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "ANN@example.org"))
    seen = look(database, marketing_row)
    assert seen.reasons == {Reason.OPT_OUT}
    assert seen.list_sequence == 1


def test_every_reason_is_seen_at_once(database: Database, marketing_row: ClaimedRow) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "ann@example.org"))
        consent.record(conn, event(Kind.COMPLAINT, "ann+teas@example.org"))
    assert look(database, marketing_row).reasons == {Reason.OPT_OUT, Reason.COMPLAINT}


def test_a_bounce_of_one_tag_does_not_stop_order_status_to_the_plain_address(
    database: Database,
) -> None:
    queue_order_status(database, "ann@example.org")
    [row] = claim(database)
    begin(database, row)
    with database.write() as conn:
        consent.record(conn, event(Kind.UNDELIVERABLE, "ann+gone@example.org"))
    assert look(database, row).reasons == frozenset()


def test_pausing_and_stopping_are_seen(database: Database, marketing_row: ClaimedRow) -> None:
    with database.write() as conn:
        campaigns.pause(conn, "spring", "wrong price")
        switches.turn(conn, switches.MARKETING_STOPPED, is_on=True, because="wrong list")
    seen = look(database, marketing_row)
    assert seen.campaign_state is CampaignState.PAUSED
    assert seen.is_marketing_stopped


def test_a_lost_lease_and_a_strangers_row_are_not_ours(
    database: Database, marketing_row: ClaimedRow
) -> None:
    assert not look(database, marketing_row, by="another").is_ours
    let_leases_run_out(database)
    assert not look(database, marketing_row).is_ours


@pytest.mark.parametrize("state", [
    State.SENT, State.DEFERRED, State.BOUNCED, State.REJECTED, State.EXPIRED, State.WITHHELD,
    State.QUEUED, State.CANCELLED, State.UNCERTAIN,
])  # fmt: skip
def test_every_outcome_is_written_with_the_sequence_it_saw(
    database: Database, marketing_row: ClaimedRow, state: State
) -> None:
    with database.write() as conn:
        attempt_id = conn.execute(text("SELECT attempt_id FROM outbox")).scalar_one()
        outcome = DeliveryOutcome(marketing_row.id, attempt_id, state, "said", list_sequence=7)
        assert deliveries.record_outcomes(conn, [outcome]) == {marketing_row.id}
    assert state_of(database, marketing_row.id) is state
    with database.read() as conn:
        row = conn.execute(text("SELECT list_sequence, claimed_by FROM outbox")).one()
        assert tuple(row) == (7, None)
        assert conn.execute(text("SELECT outcome FROM delivery_attempts")).scalar_one() == state


def test_an_outcome_is_written_once(database: Database, marketing_row: ClaimedRow) -> None:
    with database.write() as conn:
        attempt_id = conn.execute(text("SELECT attempt_id FROM outbox")).scalar_one()
        sent = DeliveryOutcome(marketing_row.id, attempt_id, State.SENT, "250")
        assert deliveries.record_outcomes(conn, [sent]) == {marketing_row.id}
        late = DeliveryOutcome(marketing_row.id, attempt_id, State.DEFERRED, "451")
        assert deliveries.record_outcomes(conn, [late]) == set()
    assert state_of(database, marketing_row.id) is State.SENT
