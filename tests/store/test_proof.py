"""Whatever is changed behind mailbot's back, the proof names it; what mailbot does, it accepts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import delete, text

from mailbot.core.consent import BatchEvent, ConsentEvent, Kind, Source, batch_digest
from mailbot.core.person import Person
from mailbot.store import consent, ledger, proof
from mailbot.store.consent import Entry
from mailbot.store.engine import Database
from mailbot.store.ledger import Head
from mailbot.store.proof import Proof
from mailbot.store.tables import consent_evidence
from tests.people import NOON, event, person
from tests.store.filling import drop_trigger

_TRIGGERS = ("consent_events_no_update", "consent_events_no_delete", "consent_evidence_no_update")


def record(database: Database, *events: ConsentEvent) -> None:
    for one in events:
        with database.write() as conn:
            consent.record(conn, one)


def import_people(database: Database, *people: str) -> None:
    hashes = [person(who).person_hash for who in people]
    with database.write() as conn:
        consent.record_many(
            conn,
            BatchEvent(
                kind=Kind.IMPORTED, source=Source.IMPORT, key="import:1", received_at=NOON,
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
           policy_version, evidence_digest, hash, hash, batch_count, batch_digest
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
