"""Whatever is changed behind mailbot's back, the proof names it; what mailbot does, it accepts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, text, update

from mailbot.core.consent import BatchEvent, ConsentEvent, Kind, Source, batch_digest
from mailbot.core.person import Person
from mailbot.store import consent, erasure, ledger, list_proof, proof
from mailbot.store.consent import Entry
from mailbot.store.engine import Database
from mailbot.store.ledger import Head
from mailbot.store.proof import Proof
from mailbot.store.tables import consent_evidence, ledger_head
from tests.people import NOON, event, person
from tests.store.filling import drop_trigger

_TRIGGERS = ("consent_events_no_update", "consent_events_no_delete", "consent_evidence_no_update")


def record(database: Database, *events: ConsentEvent) -> None:
    for one in events:
        with database.write() as conn:
            consent.record(conn, one)


def import_people(database: Database, *people: str, minutes: float = 0) -> None:
    hashes = [person(who).person_hash for who in people]
    with database.write() as conn:
        consent.record_many(
            conn,
            BatchEvent(
                kind=Kind.IMPORTED, source=Source.IMPORT, key=f"import:{minutes}",
                received_at=NOON + timedelta(minutes=minutes),
                rule="import", policy_version="1", count=len(hashes), digest=batch_digest(hashes),
            ),
            [Entry(person(who), who) for who in people],
        )  # fmt: skip


def proved(database: Database, *witnesses: Head) -> Proof:
    with database.read() as conn:
        return proof.prove(conn, witnesses)


def fault_of(database: Database, *witnesses: Head) -> str:
    fault = proved(database, *witnesses).fault
    assert fault is not None
    return fault.what


def tamper(database: Database, *statements: str) -> None:
    """As somebody who may do anything to the database."""
    with database.write() as conn:
        for name in _TRIGGERS:
            drop_trigger(conn, name)
        for statement in statements:
            conn.execute(text(statement))


def sum_anew(database: Database) -> None:
    """As somebody who knows how the list is summed."""
    with database.write() as conn:
        listed = list_proof.sum_of_list(conn)
        conn.execute(update(ledger_head).values(list_sum=listed.text))


def head_of(database: Database) -> Head:
    with database.read() as conn:
        return ledger.head(conn)


def test_all_that_mailbot_does_is_accepted(database: Database) -> None:
    """Reasons come, are renewed, ended and overtaken, with and without +tag and by token."""
    known = person("cleo+tea@example.org")
    by_token = event(Kind.OPT_OUT, "cleo+tea@example.org", source=Source.ONE_CLICK, key="token")
    token_only = Person(known.person_hash, known.person_hash)
    record(
        database,
        event(Kind.OPT_OUT, "ann@example.org"),
        event(Kind.OPT_IN, "ann@example.org", minutes=20),
        event(Kind.OPT_OUT, "ann@example.org", minutes=5),  # overtaken: heard late
        event(Kind.OPT_OUT, "bob@example.org"),
        event(Kind.OPT_OUT, "bob@example.org", minutes=30),
        event(Kind.OPT_IN, "bob@example.org", minutes=20),  # too late: it was renewed
        replace(by_token, person=token_only),
        event(Kind.HELD, "cleo+tea@example.org"),
        event(Kind.OPT_IN, "cleo@example.org", minutes=40),
        event(Kind.HELD, "dan@example.org"),
        event(Kind.RELEASED, "dan@example.org", minutes=1),
        event(Kind.UNDELIVERABLE, "eve+x@example.org"),
        event(Kind.REACHABLE, "eve@example.org", minutes=1),
        event(Kind.HELD, "fay@example.org"),
        event(Kind.OPT_OUT, "fay@example.org", minutes=1),
    )
    import_people(database, "gus@example.org", "hal@example.org")
    record(database, event(Kind.OPT_IN, "gus@example.org", minutes=60))
    found = proved(database)
    assert found.fault is None
    assert (found.walked.events, found.walked.batches, found.walked.without_evidence) == (17, 1, 0)
    assert found.entries == 3, "bob, fay and hal"


def three_opt_outs(database: Database) -> None:
    record(database, *(event(Kind.OPT_OUT, f"p{number}@example.org") for number in range(3)))


_COPY = """INSERT INTO consent_events
    SELECT 4, kind, source, person_hash, untagged_hash, 'copy', received_at, recorded_at, rule,
           policy_version, evidence_digest, hash, hash, batch_count, batch_digest, list_digest
    FROM consent_events WHERE sequence = 3"""
_NO_REFERENCES = "DELETE FROM suppressions"
_NO_EVIDENCE = "DELETE FROM consent_evidence"


@pytest.mark.parametrize(
    ("tampering", "words"),
    [
        (["UPDATE consent_events SET rule = 'other' WHERE sequence = 2"], "event 2 was changed"),
        (["UPDATE consent_evidence SET address = 'x@y.z' WHERE sequence = 1"],
         "the evidence of event 1 was changed"),
        ([_NO_REFERENCES, _NO_EVIDENCE, "DELETE FROM consent_events WHERE sequence = 2"],
         "event 2 is missing"),
        ([_NO_REFERENCES, _NO_EVIDENCE, "DELETE FROM consent_events WHERE sequence = 3"],
         "the ledger is cut off: its head counts 3 events, 2 stand"),
        ([_NO_REFERENCES, _NO_EVIDENCE,
          "UPDATE consent_events SET sequence = 9 WHERE sequence = 2",
          "UPDATE consent_events SET sequence = 2 WHERE sequence = 3",
          "UPDATE consent_events SET sequence = 3 WHERE sequence = 9"],
         "event 2 does not follow event 1"),
        ([_COPY], "event 4 was changed, put in or moved"),
        (["UPDATE ledger_head SET sequence = 2"], "event 3 was put in behind the head"),
        (["UPDATE ledger_head SET hash = 'ab'"], "the head names another event than 3"),
        (["DELETE FROM consent_evidence WHERE sequence = 2"],
         "the evidence of event 2 is gone, and its person was not erased later"),
        (["DELETE FROM suppressions WHERE sequence = 2"], "event 2 put"),
        (["UPDATE suppressions SET reason = 'complaint' WHERE sequence = 3"],
         "by event 3, which says something else"),
    ],
)  # fmt: skip
def test_what_was_changed_is_named(database: Database, tampering: list[str], words: str) -> None:
    three_opt_outs(database)
    assert proved(database).fault is None
    tamper(database, *tampering)
    assert words in fault_of(database)


def test_an_opt_in_from_before_excuses_no_missing_entry(database: Database) -> None:
    record(
        database,
        event(Kind.OPT_OUT),
        event(Kind.OPT_IN, minutes=20),
        event(Kind.OPT_OUT, minutes=40),
    )
    tamper(database, "DELETE FROM suppressions")
    assert "event 3 put" in fault_of(database)


def test_an_entry_too_many_under_an_import_is_named(database: Database) -> None:
    import_people(database, "ann@example.org", "bob@example.org")
    tamper(
        database,
        "INSERT INTO suppressions (person_hash, reason, untagged_hash, since_at, sequence) "
        "SELECT 'ffff', reason, 'ffff', since_at, sequence FROM suppressions LIMIT 1",
    )
    assert "event 1 put 2 on the list, and 3 point to it" in fault_of(database)


def test_evidence_may_be_gone_of_who_was_erased_later(database: Database) -> None:
    record(database, event(Kind.OPT_OUT, "ann+tea@example.org"), event(Kind.OPT_OUT, "bob@x.org"))
    with database.write() as conn:
        conn.execute(delete(consent_evidence).where(consent_evidence.c.sequence == 1))
    assert "event 1 is gone" in fault_of(database)
    record(database, event(Kind.ERASED, "ann@example.org", minutes=9))
    found = proved(database)
    assert found.fault is None
    assert found.walked.without_evidence == 1


def test_an_erasure_excuses_nothing_that_came_after_it(database: Database) -> None:
    record(database, event(Kind.ERASED, "ann@example.org"), event(Kind.OPT_OUT, minutes=9))
    with database.write() as conn:
        conn.execute(delete(consent_evidence).where(consent_evidence.c.sequence == 2))
    assert "event 2 is gone" in fault_of(database)


def test_a_head_that_was_written_down_shows_that_the_end_was_cut_off(database: Database) -> None:
    three_opt_outs(database)
    known = head_of(database)
    tamper(
        database,
        "DELETE FROM suppressions WHERE sequence = 3",
        "DELETE FROM consent_evidence WHERE sequence = 3",
        "UPDATE ledger_head SET sequence = 2, hash = "
        "(SELECT hash FROM consent_events WHERE sequence = 2)",
        "DELETE FROM consent_events WHERE sequence = 3",
    )
    sum_anew(database)
    assert proved(database).fault is None, "by itself it looks whole"
    assert "it had 3 events when its head was written down, and 2 stand" in fault_of(
        database, known
    )


def test_a_head_that_was_written_down_shows_that_all_was_written_anew(database: Database) -> None:
    three_opt_outs(database)
    other = Head(2, "0" * 64)
    assert "event 2 is another one" in fault_of(database, other)
    assert proved(database, head_of(database)).fault is None


def test_progress_is_told_each_thousand_events(database: Database) -> None:
    with database.write() as conn:
        for number in range(1001):
            consent.record(conn, event(Kind.OPT_OUT, f"p{number}@example.org"))
    told: list[int] = []
    with database.read() as conn:
        assert proof.prove(conn, progress=told.append).fault is None
    assert told == [1000]


ANN, BOB, TAGGED = "ann@example.org", "bob@example.org", "cleo+tea@example.org"
_NEW_YEAR = "'2026-01-01 00:00:00.000000+00'"
_EXACT = f"'{person(ANN).person_hash}'"


@pytest.mark.parametrize(
    ("tampering", "words"),
    [
        (f"DELETE FROM suppressions WHERE person_hash = {_EXACT}",
         "event 1 put 3 on the list for imported, nothing took any of them off, and 1 is not"),
        (f"UPDATE suppressions SET person_hash = 'ffff' WHERE person_hash = {_EXACT}",
         "event 1 put 3 on the list, and as many stand there, but not the same"),
        (f"UPDATE suppressions SET untagged_hash = 'ffff' WHERE person_hash = {_EXACT}",
         "the list has 3 entries, as event 1 left it, but not the same: one was altered"),
        (f"UPDATE suppressions SET since_at = {_NEW_YEAR} WHERE person_hash = {_EXACT}",
         "by event 1, which says something else"),
    ],
)  # fmt: skip
def test_an_entry_of_an_import_that_was_changed_is_named(
    database: Database, tampering: str, words: str
) -> None:
    import_people(database, ANN, BOB, TAGGED)
    assert proved(database).fault is None
    if database.is_sqlite:
        tampering = tampering.replace("+00'", "'")
    tamper(database, tampering)
    assert words in fault_of(database)


def test_a_deleted_entry_hides_behind_nobody_who_left_the_import_lawfully(
    database: Database,
) -> None:
    import_people(database, ANN, BOB, TAGGED, "dan@example.org")
    import_people(database, BOB, "eve@example.org", minutes=10)  # renews
    record(database, event(Kind.OPT_IN, "cleo@example.org", minutes=60))  # by the mailbox alone
    with database.write() as conn:
        erasure.erase(
            conn, person("dan@example.org"), key="erase", source=Source.COMMAND_LINE,
            received_at=NOON + timedelta(minutes=70), policy_version="1", evidence={},
        )  # fmt: skip
    assert proved(database).fault is None
    tamper(database, f"DELETE FROM suppressions WHERE person_hash = {_EXACT}")
    assert "event 4 left 5 entries on the list, and 4 stand there: 1 was deleted" in fault_of(
        database
    )


def test_a_sum_that_was_made_to_fit_is_found_before_and_after_the_next_event(
    database: Database,
) -> None:
    import_people(database, ANN, BOB)
    tamper(database, f"DELETE FROM suppressions WHERE person_hash = {_EXACT}")
    sum_anew(database)
    assert "event 1 put 2 on the list" in fault_of(database)
    for number in range(3):
        record(database, event(Kind.OPT_OUT, f"p{number}@example.org"))
        assert "the sum of the list beside the ledger's head was changed before event 2" in (
            fault_of(database)
        )


@pytest.mark.parametrize("text_of_sum", ["", "nonsense", "3:"])
def test_a_sum_that_is_none_is_found(database: Database, text_of_sum: str) -> None:
    import_people(database, ANN, BOB)
    tamper(database, f"UPDATE ledger_head SET list_sum = '{text_of_sum}'")
    assert "the sum of the list beside the ledger's head was changed; the list" in fault_of(
        database
    )
    record(database, event(Kind.OPT_OUT, "fay@example.org"))
    assert "was changed before event 2" in fault_of(database)


def test_what_an_erasure_says_of_itself_may_not_be_gone(database: Database) -> None:
    """Not even where the same person was erased again later."""
    for number in (1, 2):
        record(database, event(Kind.ERASED, ANN, key=f"erase:{number}"))
    with database.write() as conn:
        conn.execute(delete(consent_evidence).where(consent_evidence.c.sequence == 1))
    assert "the evidence of event 1 is gone" in fault_of(database)


def test_an_erasure_that_is_heard_again_leaves_what_was_said_since(database: Database) -> None:
    def erase() -> None:
        with database.write() as conn:
            erasure.erase(
                conn, person(ANN), key="erase", source=Source.COMMAND_LINE, received_at=NOON,
                policy_version="1", evidence={},
            )  # fmt: skip

    erase()
    record(database, event(Kind.OPT_OUT, ANN, minutes=9))
    erase()
    assert proved(database).fault is None
    with database.read() as conn:
        assert [one.address for one in ledger.story(conn, person(ANN))] == [None, ANN]
