"""The proof of a campaign: honest ones pass, and whatever was sent against the list is found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from mailbot.core.audit import Finding
from mailbot.core.consent import BatchEvent, Kind, Reason, Source, batch_digest
from mailbot.core.eligibility import Eligible, MessageKind, decide
from mailbot.core.outbox_states import State
from mailbot.core.person import Person
from mailbot.store import campaign_audit, campaigns, consent, deliveries, erasure, outbox
from mailbot.store.campaign_audit import Audit
from mailbot.store.consent import Entry
from mailbot.store.deliveries import DeliveryOutcome
from mailbot.store.engine import Database, now
from mailbot.store.ledger import head_sequence
from mailbot.store.outbox import ClaimedRow
from mailbot.store.sent_messages import mark_bounced
from mailbot.store.tables import outbox as rows
from tests.people import NOON, event, person
from tests.store.filling import begin, campaign_under_way, claim, let_leases_run_out

ANN, BOB, CLEO = "ann@example.org", "bob@example.org", "cleo@example.org"


def audited(database: Database, name: str = "spring") -> Audit:
    with database.read() as conn:
        return campaign_audit.audit(conn, campaigns.get(conn, name))


def record(database: Database, kind: Kind, who: str, *, minutes: float = 0) -> int:
    with database.write() as conn:
        return consent.record(conn, event(kind, who, minutes=minutes)).sequence


def bring_in(database: Database, *who: str, key: str = "import", minutes: float = 0) -> int:
    people = [Entry(person(one), one) for one in who]
    digest = batch_digest(one.person.person_hash for one in people)
    with database.write() as conn:
        return consent.record_many(conn, BatchEvent(
            kind=Kind.IMPORTED, source=Source.IMPORT, key=key, rule="import", policy_version="1",
            received_at=NOON + timedelta(minutes=minutes), count=len(people), digest=digest,
        ), people).sequence  # fmt: skip


def send(database: Database, row: ClaimedRow, *, as_state: State = State.SENT) -> None:
    """As the sender does it: attempt, look, outcome with the number that the look saw."""
    attempt = begin(database, row)
    assert attempt is not None
    with database.read() as conn:
        look = deliveries.look_before_sending(conn, [row.id], claimed_by="daemon-1")[row.id]
    decision = decide(MessageKind.CAMPAIGN, look.reasons)
    outcome = DeliveryOutcome(row.id, attempt, as_state, "said", look.list_sequence)
    if not isinstance(decision, Eligible):
        outcome = DeliveryOutcome(
            row.id, attempt, State.WITHHELD, "", look.list_sequence, decision.reason
        )
    with database.write() as conn:
        assert deliveries.record_outcomes(conn, [outcome]) == {row.id}


def send_all(database: Database, *, as_state: State = State.SENT) -> None:
    for row in claim(database):
        send(database, row, as_state=as_state)


def forge(database: Database, who: str = ANN, **columns: object) -> None:
    """As somebody who may write to the database."""
    with database.write() as conn:
        done = conn.execute(
            update(rows).where(rows.c.person_hash == person(who).person_hash).values(**columns)
        )
        assert done.rowcount == 1


def test_an_honest_campaign_is_proved_and_says_who_was_withheld_and_why(
    database: Database,
) -> None:
    campaign_under_way(database, ANN, BOB, CLEO)
    record(database, Kind.OPT_OUT, ANN)
    send_all(database)
    record(database, Kind.OPT_OUT, BOB)  # afterwards: the offer was right
    found = audited(database)
    assert found.findings == {Finding.PROVED: 2}
    assert found.by_state == {State.SENT: 2, State.WITHHELD: 1}
    assert found.withheld == {Reason.OPT_OUT: 1}
    assert found.ledger_length == 2


def test_a_row_that_was_sent_against_the_list_is_found(database: Database) -> None:
    campaign_under_way(database, ANN, BOB)
    record(database, Kind.OPT_OUT, ANN)
    send_all(database)
    forge(database, ANN, state=State.SENT)  # the reason is still there: it was not withheld
    found = audited(database)
    assert found.findings == {Finding.LISTED: 1, Finding.PROVED: 1}
    assert found.withheld == {}


@pytest.mark.parametrize("state", [State.UNCERTAIN, State.BOUNCED, State.REJECTED])
def test_what_may_have_arrived_is_judged_like_what_was_sent(
    database: Database, state: State
) -> None:
    campaign_under_way(database, ANN, BOB)
    record(database, Kind.OPT_OUT, ANN)
    send_all(database, as_state=state)
    assert audited(database).findings == {Finding.PROVED: 1}
    forge(database, ANN, state=state, withheld_reason=None)
    assert audited(database).findings == {Finding.PROVED: 1, Finding.LISTED: 1}


def test_a_number_beyond_the_ledger_and_a_missing_one_prove_nothing(database: Database) -> None:
    campaign_under_way(database, ANN, BOB, CLEO)
    send_all(database)
    forge(database, ANN, list_sequence=1)
    forge(database, BOB, list_sequence=None)
    assert audited(database).findings == {
        Finding.BEYOND: 1, Finding.NO_NUMBER: 1, Finding.PROVED: 1,
    }  # fmt: skip


def test_a_lost_attempt_has_no_number_of_an_attempt_before_it(database: Database) -> None:
    campaign_under_way(database, ANN)
    [row] = claim(database)
    send(database, row, as_state=State.DEFERRED)
    with database.write() as conn:
        conn.execute(update(rows).values(not_before=now(conn)))
    record(database, Kind.OPT_OUT, ANN)
    [row] = claim(database)
    begin(database, row)
    let_leases_run_out(database)
    with database.write() as conn:
        assert outbox.recover_expired(conn, resend_after_seconds=0).uncertain == (row.id,)
    assert audited(database).findings == {Finding.NO_NUMBER: 1}


def test_who_came_by_an_import_is_on_the_list_from_its_event_on(database: Database) -> None:
    campaign_under_way(database, ANN, BOB, CLEO)
    first, *_ = claim(database, limit=1)
    send(database, first)
    bring_in(database, ANN, BOB, CLEO)
    send_all(database)
    found = audited(database)
    assert (found.findings, found.withheld) == ({Finding.PROVED: 1}, {Reason.IMPORTED: 2})
    with database.write() as conn:
        conn.execute(update(rows).values(state=State.SENT, list_sequence=1))
    assert audited(database).findings == {Finding.LISTED: 3}


def test_an_import_whose_entry_has_ended_leaves_a_doubt_and_no_proof(database: Database) -> None:
    campaign_under_way(database, ANN, BOB)
    bring_in(database, ANN, BOB)
    send_all(database)
    record(database, Kind.OPT_IN, ANN, minutes=30)
    forge(database, ANN, state=State.SENT, withheld_reason=None)  # at number 1, against the import
    assert audited(database).findings == {Finding.UNTOLD: 1}


def test_an_import_that_stands_whole_leaves_no_doubt_about_who_opted_in_later(
    database: Database,
) -> None:
    campaign_under_way(database, ANN, BOB)
    bring_in(database, CLEO)
    send_all(database)
    record(database, Kind.OPT_IN, ANN, minutes=30)
    assert audited(database).findings == {Finding.PROVED: 2}


def test_who_opted_out_and_in_again_may_be_written_to_from_then_on(database: Database) -> None:
    record(database, Kind.OPT_OUT, ANN)
    record(database, Kind.OPT_IN, ANN, minutes=30)
    campaign_under_way(database, ANN)
    send_all(database)
    assert audited(database).findings == {Finding.PROVED: 1}
    forge(database, ANN, list_sequence=1)  # as if it had gone out in between
    assert audited(database).findings == {Finding.LISTED: 1}


@pytest.mark.parametrize(("left", "member"), [
    ("ann+shop@example.org", ANN), (ANN, "ann+tea@example.org"),
    ("ann+shop@example.org", "ann+tea@example.org"),
])  # fmt: skip
def test_a_tag_hides_nobody(database: Database, left: str, member: str) -> None:
    campaign_under_way(database, member, BOB)
    record(database, Kind.OPT_OUT, left)
    send_all(database)
    assert audited(database).by_state == {State.SENT: 1, State.WITHHELD: 1}
    forge(database, member, state=State.SENT, withheld_reason=None)
    assert audited(database).findings == {Finding.PROVED: 1, Finding.LISTED: 1}


def test_a_token_names_a_tagged_address_by_its_exact_hash_alone(database: Database) -> None:
    tagged = "ann+tea@example.org"
    campaign_under_way(database, tagged)
    exact = person(tagged).person_hash
    with database.write() as conn:
        asked = event(Kind.OPT_OUT, tagged)
        consent.record(conn, replace(asked, person=Person(exact, exact)))
    send_all(database)
    forge(database, tagged, state=State.SENT, withheld_reason=None)
    assert audited(database).findings == {Finding.LISTED: 1}


def erase(database: Database, who: str) -> None:
    with database.write() as conn:
        erasure.erase(
            conn, person(who), key=f"erase:{who}", source=Source.COMMAND_LINE, evidence={},
            received_at=now(conn), policy_version="1",
        )  # fmt: skip


def test_who_was_erased_later_is_still_proved_by_their_hash(database: Database) -> None:
    campaign_under_way(database, ANN, BOB)
    send_all(database)
    erase(database, ANN)
    assert audited(database).findings == {Finding.PROVED: 2}
    forge(database, ANN, list_sequence=1)  # as if it had gone out after the erasure
    assert audited(database).findings == {Finding.PROVED: 1, Finding.LISTED: 1}


def test_a_lost_attempt_of_who_was_erased_meanwhile_is_judged_as_well(database: Database) -> None:
    campaign_under_way(database, ANN)
    send_all(database, as_state=State.UNCERTAIN)
    erase(database, ANN)
    found = audited(database)
    assert found.by_state == {State.CANCELLED: 1}
    assert (found.lost_attempts, found.findings) == (1, {Finding.PROVED: 1})


def test_a_delivery_report_that_comes_later_is_told_apart(database: Database) -> None:
    campaign_under_way(database, ANN, BOB)
    first, second = claim(database)
    send(database, first)
    send(database, second, as_state=State.BOUNCED)
    with database.write() as conn:
        assert mark_bounced(conn, [first.id], "550 5.1.1 gone") == 1
    found = audited(database)
    assert (found.by_state, found.bounced_later) == ({State.BOUNCED: 2}, 1)
    assert found.findings == {Finding.PROVED: 2}


def test_while_it_runs_what_left_is_judged_and_the_rest_is_counted(database: Database) -> None:
    campaign_under_way(database, ANN, BOB, CLEO)
    first, second = claim(database, limit=2)
    send(database, first)
    begin(database, second)
    found = audited(database)
    assert found.findings == {Finding.PROVED: 1}
    assert found.on_the_way == 1
    assert found.by_state[State.QUEUED] == 1


def test_other_campaigns_are_left_alone(database: Database) -> None:
    campaign_under_way(database, ANN, name="winter")
    send_all(database)
    campaign_under_way(database, BOB)
    assert audited(database).by_state == {State.QUEUED: 1}


def test_people_on_several_pages_are_each_judged_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_audit, "_PAGE", 2)
    people = [f"p{number}@example.org" for number in range(7)]
    campaign_under_way(database, *people)
    for one in people[::3]:
        record(database, Kind.OPT_OUT, one)
    send_all(database)
    forge(database, people[3], state=State.SENT, withheld_reason=None)
    told: list[int] = []
    with database.read() as conn:
        found = campaign_audit.audit(conn, campaigns.get(conn, "spring"), told.append)
    assert found.findings == Counter({Finding.PROVED: 4, Finding.LISTED: 1})
    assert told[-1] == 7
    assert len(told) > 1


def test_an_empty_ledger_is_the_number_nought(database: Database) -> None:
    campaign_under_way(database, ANN)
    send_all(database)
    with database.read() as conn:
        assert head_sequence(conn) == 0
    assert audited(database).findings == {Finding.PROVED: 1}
