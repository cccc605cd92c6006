"""What may or may not have arrived: a person decides, and nothing goes out twice unasked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from mailbot.core.audit import Finding
from mailbot.core.consent import Kind
from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import RefusedError
from mailbot.core.outbox_states import State
from mailbot.store import campaigns, outbox, uncertain
from mailbot.store.engine import Database, now
from mailbot.store.tables import CampaignState, delivery_attempts
from mailbot.store.tables import outbox as rows
from mailbot.store.uncertain import Decision, Group
from tests.store.filling import begin, campaign_under_way, claim, end, queue_order_status, state_of
from tests.store.test_campaign_audit import ANN, BOB, audited, record, send, send_all

LATE = 600.0


def in_doubt(database: Database, *who: str) -> Group:
    """A campaign that is over, each message of which is uncertain since long ago."""
    campaign_id = campaign_under_way(database, *who)
    send_all(database, as_state=State.UNCERTAIN)
    grow_old(database)
    with database.write() as conn:
        [over] = campaigns.finish_sent(conn)
    assert over.state is CampaignState.DONE
    return Group(MessageKind.CAMPAIGN, campaign_id)


def grow_old(database: Database) -> None:
    with database.write() as conn:
        conn.execute(update(rows).values(finished_at=now(conn) - timedelta(hours=1)))


def settle(database: Database, group: Group, decision: Decision, *ids: int) -> int:
    with database.write() as conn:
        chosen = ids or [one.id for one in uncertain.messages(conn, group)]
        return uncertain.settle(
            conn, group, chosen, decision, told="a person's word", by="dora", answer_seconds=LATE
        )


def count(database: Database, group: Group) -> int:
    with database.read() as conn:
        return uncertain.doubt(conn, group, answer_seconds=LATE).count


@pytest.mark.parametrize(
    ("decision", "state"),
    [
        (Decision.SENT, State.SENT),
        (Decision.AGAIN, State.QUEUED),
        (Decision.DROP, State.CANCELLED),
    ],
)
def test_each_decision_is_carried_out_and_stays_with_the_row(
    database: Database, decision: Decision, state: State
) -> None:
    group = in_doubt(database, ANN)
    assert count(database, group) == 1
    assert settle(database, group, decision) == 1
    assert count(database, group) == 0
    with database.read() as conn:
        row = conn.execute(select(rows)).one()
    assert (row.state, row.last_reply) == (state, "a person's word")
    assert settle(database, group, decision, row.id) == 0, "it is decided once"


def test_what_is_sent_again_keeps_its_message_id_and_is_looked_at_again(
    database: Database,
) -> None:
    group = in_doubt(database, ANN, BOB)
    with database.read() as conn:
        before = set(conn.execute(select(rows.c.message_id)).scalars())
    settle(database, group, Decision.AGAIN)
    record(database, Kind.OPT_OUT, ANN)
    again = claim(database)
    assert {row.message_id for row in again} == before, "the campaign goes on for them"
    for row in again:
        send(database, row)
    found = audited(database)
    assert found.by_state == {State.SENT: 1, State.WITHHELD: 1}
    assert (found.lost_attempts, found.findings) == (2, {Finding.PROVED: 3})
    with database.write() as conn:
        assert [one.name for one in campaigns.finish_sent(conn)] == ["spring"]


def test_a_lost_attempt_against_the_list_is_found_whatever_was_decided_then(
    database: Database,
) -> None:
    group = in_doubt(database, ANN, BOB)
    record(database, Kind.OPT_OUT, ANN)
    with database.write() as conn:
        conn.execute(update(delivery_attempts).values(list_sequence=1))
    settle(database, group, Decision.DROP)
    assert audited(database).findings == {Finding.LISTED: 1, Finding.PROVED: 1}


@pytest.mark.parametrize("decision", [Decision.AGAIN, Decision.DROP])
def test_while_the_relay_may_still_answer_nothing_is_sent_again_or_dropped(
    database: Database, decision: Decision
) -> None:
    campaign_id = campaign_under_way(database, ANN)
    send_all(database, as_state=State.UNCERTAIN)
    group = Group(MessageKind.CAMPAIGN, campaign_id)
    with database.read() as conn:
        assert uncertain.doubt(conn, group, answer_seconds=LATE).fresh == 1
    assert settle(database, group, decision) == 0
    assert count(database, group) == 1
    assert settle(database, group, Decision.SENT) == 1


def test_nothing_of_a_cancelled_campaign_is_sent_again(database: Database) -> None:
    campaign_id = campaign_under_way(database, ANN)
    send_all(database, as_state=State.UNCERTAIN)
    grow_old(database)
    with database.write() as conn:
        campaigns.cancel(conn, "spring", "wrong price")
    group = Group(MessageKind.CAMPAIGN, campaign_id)
    with pytest.raises(RefusedError, match="was cancelled"):
        settle(database, group, Decision.AGAIN)
    assert settle(database, group, Decision.DROP) == 1


def test_an_order_status_waits_for_a_person_only_after_three_resends(database: Database) -> None:
    queue_order_status(database)
    group = Group(MessageKind.ORDER_STATUS)
    for resend in range(4):
        [row] = claim(database)
        attempt = begin(database, row)
        assert attempt is not None
        assert end(database, row, attempt, State.UNCERTAIN)
        assert count(database, group) == (resend == 3)
        with database.write() as conn:
            resent = outbox.resend_uncertain(conn, after_seconds=0)
        assert bool(resent) is (resend < 3)
    grow_old(database)
    assert settle(database, group, Decision.AGAIN) == 1
    [row] = claim(database)
    attempt = begin(database, row)
    assert attempt is not None
    assert end(database, row, attempt, State.UNCERTAIN)
    with database.write() as conn:
        assert outbox.resend_uncertain(conn, after_seconds=0) == (), (
            "once more, and not three times"
        )
    assert state_of(database, row.id) is State.UNCERTAIN


def test_groups_do_not_touch_each_other(database: Database) -> None:
    group = in_doubt(database, ANN)
    campaign_under_way(database, BOB, name="winter")
    send_all(database, as_state=State.UNCERTAIN)
    with database.read() as conn:
        assert uncertain.doubts_of_campaigns(conn) == [("spring", 1), ("winter", 1)]
        others = [one.id for one in uncertain.messages(conn, group)]
        ids = list(conn.execute(select(rows.c.id)).scalars())
    assert len(others) == 1
    assert settle(database, group, Decision.SENT, *ids) == 1
    with database.read() as conn:
        assert uncertain.doubts_of_campaigns(conn) == [("winter", 1)]
