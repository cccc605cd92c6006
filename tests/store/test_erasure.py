"""After an erasure nothing readable is left, and the hashes still keep the promise."""

from __future__ import annotations

import itertools
import random
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from sqlalchemy import String, Text, insert, select, text

from mailbot.core.consent import BatchEvent, ConsentEvent, Kind, Reason, Source, batch_digest
from mailbot.core.eligibility import MessageKind, Withheld, decide
from mailbot.core.outbox_states import State
from mailbot.store import (
    campaign_figures,
    campaigns,
    consent,
    deliveries,
    erasure,
    ledger,
    outbox,
    reviews,
    scrubbing,
    sent_messages,
    suppressions,
)
from mailbot.store.campaigns import Member
from mailbot.store.consent import Entry
from mailbot.store.deliveries import DeliveryOutcome
from mailbot.store.engine import Database, now
from mailbot.store.erasure import Erased
from mailbot.store.outbox import ClaimedRow
from mailbot.store.reviews import Place
from mailbot.store.tables import audience_members, consent_evidence, metadata
from mailbot.store.tables import outbox as rows
from tests.people import NOON, address, event, person
from tests.store.filling import begin, campaign_under_way, claim, end, queue_order_status, state_of

MARTHA = "Martha.Quill@shop-lover.example"
PLACE = Place("help", "INBOX", 1, 7)


def erase(database: Database, who: str = MARTHA, key: str = "erase-1") -> Erased:
    with database.write() as conn:
        return erasure.erase(
            conn, person(who), key=key, source=Source.COMMAND_LINE, received_at=now(conn),
            policy_version="1", evidence={"by": "admin", "note": "ticket 4711"},
        )  # fmt: skip


def reasons_of(database: Database, who: str = MARTHA) -> frozenset[Reason]:
    with database.read() as conn:
        return suppressions.reasons(conn, person(who))


_numbers = itertools.count(1)


def fact(kind: Kind, who: str = MARTHA, source: Source = Source.MAIL) -> ConsentEvent:
    """An event whose key names nobody, as real ones do not."""
    number = next(_numbers)
    return event(kind, who, minutes=number, source=source, key=f"fact:{number}")


def live_a_full_life(database: Database, who: str) -> None:
    """Everything that mailbot ever writes about a person, each with the address in its words."""
    quoted = f"550 5.1.1 <{who}>: Recipient address rejected"
    with database.write() as conn:
        consent.record(conn, ConsentEvent(
            Kind.OPT_OUT, Source.MAIL, person(who), "mail:1", NOON, "word-in-subject", "1",
            address=who, evidence={"from": f"Martha <{who}>", "subject": "unsubscribe"},
        ))  # fmt: skip
        consent.record(conn, fact(Kind.COMPLAINT, who))
        entry = Entry(person(who), who)
        consent.record_many(conn, BatchEvent(
            Kind.IMPORTED, Source.IMPORT, "import:1", NOON, "import", "1", 1,
            batch_digest([person(who).person_hash]), {"file": "old-list.csv"},
        ), [entry])  # fmt: skip
        reviews.open_item(
            conn, key="r", person=person(who), place=PLACE, rule="near-miss",
            because=f"{who} wrote something like it",
        )  # fmt: skip
    campaign_under_way(database, who, "bob@example.org", name="spring")
    queue_order_status(database, who, key="order-1")
    queue_order_status(database, who, key="order-2")
    for row in claim(database):
        attempt_id = begin(database, row)
        assert attempt_id is not None
        with database.write() as conn:
            reply = quoted if row.address == who else "450"
            outcome = DeliveryOutcome(row.id, attempt_id, State.DEFERRED, reply, 1)
            deliveries.record_outcomes(conn, [outcome])


def every_cell(database: Database) -> Iterable[tuple[str, str]]:
    with database.read() as conn:
        for table in metadata.sorted_tables:
            for row in conn.execute(select(table)).mappings():
                for name, value in row.items():
                    yield f"{table.name}.{name}", str(value)


def forms(who: str) -> list[str]:
    """What must not be found, folded: the address, and its name alone."""
    return [who.casefold(), who.partition("@")[0].casefold()]


def test_no_table_holds_the_address_of_an_erased_person(database: Database) -> None:
    live_a_full_life(database, MARTHA)
    before = {
        where for where, value in every_cell(database) if forms(MARTHA)[1] in value.casefold()
    }
    assert before == {f"{column.table.name}.{column.name}" for column in scrubbing.READABLE}
    erased = erase(database)
    assert (erased.events, erased.messages, erased.cancelled, erased.audiences) == (2, 3, 3, 1)
    for where, value in every_cell(database):
        for form in forms(MARTHA):
            assert form not in value.casefold(), where


def test_every_text_column_is_one_that_erasure_knows_or_that_holds_no_person() -> None:
    """A new column that may hold an address has to be judged: emptied, or listed here."""
    emptied = {f"{column.table.name}.{column.name}" for column in scrubbing.READABLE}
    about_no_person = {
        "reviews.folder", "watermarks.folder", "shadow_changes.folder",
        "mailbox_leases.blind_because", "campaigns.subject", "campaigns.text_source",
        "campaigns.html_source", "campaigns.because", "imports.file_name", "switches.because",
        "campaign_changes.because", "campaigns.audience_source", "campaigns.audience_query",
        "policy_versions.url", "door_wishes.line", "api_keys.scopes",
    }  # fmt: skip
    free = {
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Text)
        or (not isinstance(column.type, String) and "JSON" in str(column.type))
    }
    assert free == emptied | about_no_person


@pytest.mark.only_on("sqlite", "the database's own files")
def test_no_byte_of_it_stays_in_the_files(database: Database) -> None:
    live_a_full_life(database, MARTHA)
    with database.write() as conn:  # pages that fill, split and empty again
        for number in range(3000):
            consent.record(conn, fact(Kind.OPT_OUT, f"other-{number}@example.org"))
    for number in range(40):
        live_again = f"{number}+{MARTHA}"
        with database.write() as conn:
            consent.record(conn, fact(Kind.OPT_OUT, live_again))
        erase(database, live_again, key=f"e{number}")
    assert local_part_is_in_the_files(database)
    erase(database)
    assert scrubbing.scrub(database, MARTHA)
    assert not local_part_is_in_the_files(database)


def local_part_is_in_the_files(database: Database) -> bool:
    name = Path(str(database.engine.url.database))
    files = [name, Path(f"{name}-wal"), Path(f"{name}-shm")]
    held = b"".join(file.read_bytes() for file in files if file.exists())
    return b"martha.quill@" in held.lower()


@pytest.mark.only_on("sqlite", "the database's own files")
def test_what_an_older_mailbot_left_in_the_file_is_found_and_removed(database: Database) -> None:
    """Before secure_delete was on, a deleted row stayed on its page until that was used again."""
    live_a_full_life(database, MARTHA)
    with database.engine.connect() as conn:
        cursor = conn.connection.cursor()
        cursor.execute("PRAGMA secure_delete = OFF")
        cursor.close()
        conn.execution_options(mailbot_writes=True)
        conn.execute(consent_evidence.delete())
        conn.commit()
    erase(database)
    assert local_part_is_in_the_files(database)
    assert scrubbing.scrub(database, MARTHA)
    assert not local_part_is_in_the_files(database)


@pytest.mark.only_on("sqlite", "the database's own files")
def test_while_another_program_reads_an_older_state_it_says_so(database: Database) -> None:
    live_a_full_life(database, MARTHA)
    with database.read() as older:
        assert ledger.head_sequence(older)
        erase(database)
        assert not scrubbing.scrub(database, MARTHA)
    assert scrubbing.scrub(database, MARTHA)


@pytest.mark.only_on("sqlite", "the database's own files")
def test_a_longer_address_of_somebody_else_makes_no_copy_of_the_database(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.write() as conn:
        consent.record(conn, fact(Kind.OPT_OUT, "joann@example.org"))
    ran: list[str] = []
    run = scrubbing._run

    def remember(one: Database, statement: str) -> list[tuple[int, int, int]]:
        ran.append(statement)
        return run(one, statement)

    monkeypatch.setattr(scrubbing, "_run", remember)
    assert scrubbing.scrub(database, "ann@example.org")
    assert ran == ["PRAGMA wal_checkpoint(TRUNCATE)"]


@pytest.mark.only_on("postgresql", "pg_dump, and the server's own files")
def test_a_new_dump_does_not_hold_it(database: Database) -> None:
    live_a_full_life(database, MARTHA)
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def dump() -> bytes:
        done = subprocess.run(["pg_dump", url], capture_output=True, check=True, timeout=60)
        return done.stdout.lower()

    assert b"martha.quill" in dump()
    erase(database)
    assert scrubbing.scrub(database, MARTHA)
    assert b"martha.quill" not in dump()


def test_the_chain_stays_whole_and_the_story_is_told_by_hashes(database: Database) -> None:
    live_a_full_life(database, MARTHA)
    erase(database)
    with database.read() as conn:
        assert ledger.verify(conn) is None
        told = ledger.story(conn, person(MARTHA))
    assert [one.kind for one in told] == [Kind.OPT_OUT, Kind.COMPLAINT, Kind.ERASED]
    assert [one.address for one in told] == [None, None, None]
    assert told[-1].evidence == {"by": "admin", "note": "ticket 4711"}


def test_every_reason_stays_and_erased_is_one_more(database: Database) -> None:
    live_a_full_life(database, MARTHA)
    erase(database)
    assert reasons_of(database) == {
        Reason.OPT_OUT, Reason.COMPLAINT, Reason.IMPORTED, Reason.ERASED
    }  # fmt: skip


def test_an_opt_in_does_not_end_an_erasure(database: Database) -> None:
    erase(database)
    with database.write() as conn:
        consent.record(conn, ConsentEvent(
            Kind.OPT_IN, Source.COMMAND_LINE, person(MARTHA), "in", now(conn), "by-hand", "1"
        ))  # fmt: skip
    assert reasons_of(database) == {Reason.ERASED}


def test_a_tag_is_erased_with_its_mailbox(database: Database) -> None:
    with database.write() as conn:
        consent.record(conn, fact(Kind.OPT_OUT, "ann+teas@example.org"))
    erase(database, "ann@example.org")
    with database.read() as conn:
        assert conn.execute(select(consent_evidence.c.address)).scalars().all() == [None]
        assert Reason.ERASED in suppressions.reasons(conn, person("ann+teas@example.org"))


def test_a_second_erasure_forgets_what_came_since(database: Database) -> None:
    erase(database)
    with database.write() as conn:
        consent.record(conn, fact(Kind.OPT_OUT))  # she wrote again: a new fact
    with database.read() as conn:
        assert suppressions.of_person(conn, person(MARTHA))[-1].address == MARTHA
    erased = erase(database, key="erase-2")
    assert erased.events == 1
    assert all(forms(MARTHA)[1] not in value.casefold() for _, value in every_cell(database))


def sending_row(database: Database) -> tuple[ClaimedRow, int]:
    queue_order_status(database, MARTHA)
    [row] = claim(database)
    attempt_id = begin(database, row)
    assert attempt_id is not None
    return row, attempt_id


@pytest.mark.parametrize(("outcome", "ends"), [
    (State.SENT, State.SENT),
    (State.BOUNCED, State.BOUNCED),
    (State.DEFERRED, State.CANCELLED),
    (State.QUEUED, State.CANCELLED),
    (State.UNCERTAIN, State.CANCELLED),
])  # fmt: skip
def test_a_message_on_the_wire_is_never_tried_again_and_its_reply_is_not_kept(
    database: Database, outcome: State, ends: State
) -> None:
    row, attempt_id = sending_row(database)
    erase(database)
    assert state_of(database, row.id) is State.SENDING
    assert end(database, row, attempt_id, outcome)
    assert state_of(database, row.id) is ends
    with database.read() as conn:
        [message] = deliveries.messages_to(conn, person(MARTHA))
        assert message.last_reply is None
    assert claim(database) == []


def test_a_message_on_the_wire_of_a_daemon_that_died_is_cancelled(database: Database) -> None:
    row, _ = sending_row(database)
    erase(database)
    with database.write() as conn:
        conn.execute(text("UPDATE outbox SET lease_until = created_at"))
        outbox.recover_expired(conn, resend_after_seconds=0)
        outbox.recover_expired(conn, resend_after_seconds=0)
    assert state_of(database, row.id) is State.CANCELLED


def test_a_row_claimed_before_the_erasure_is_not_begun_after_it(database: Database) -> None:
    queue_order_status(database, MARTHA)
    [row] = claim(database)
    erase(database)
    assert begin(database, row) is None
    assert state_of(database, row.id) is State.CANCELLED


def test_a_delivery_report_that_comes_later_brings_no_address_back(database: Database) -> None:
    row, attempt_id = sending_row(database)
    assert end(database, row, attempt_id, State.SENT)
    erase(database)
    with database.write() as conn:
        assert sent_messages.mark_bounced(conn, [row.id], f"550 {MARTHA} unknown") == 1
        consent.record(conn, fact(Kind.UNDELIVERABLE, source=Source.DELIVERY_REPORT))
    assert reasons_of(database) == {Reason.ERASED, Reason.UNDELIVERABLE}
    assert all(forms(MARTHA)[1] not in value.casefold() for _, value in every_cell(database))


def test_a_new_order_status_that_names_the_address_is_sent(database: Database) -> None:
    erase(database)
    queue_order_status(database, MARTHA, key="order-3")
    [row] = claim(database)
    assert row.address == MARTHA
    assert not isinstance(decide(MessageKind.ORDER_STATUS, {Reason.ERASED}), Withheld)


def test_an_import_or_an_audience_brings_no_address_back(database: Database) -> None:
    erase(database)
    tagged = MARTHA.replace("@", "+x@")
    with database.write() as conn:
        entries = [Entry(person(who), who) for who in (MARTHA, "bob@example.org")]
        consent.record_many(conn, BatchEvent(
            Kind.IMPORTED, Source.IMPORT, "i", NOON, "import", "1", 2,
            batch_digest([entry.person.person_hash for entry in entries]),
        ), entries)  # fmt: skip
        campaign_id = campaigns.create(
            conn, name="spring", subject="s", text_source="t", html_source=None
        )
        campaigns.add_members(conn, campaign_id, [
            Member(line, address(who), person(who), {"name": who})
            for line, who in enumerate([MARTHA, tagged, "cleo@example.org"], 2)
        ])  # fmt: skip
        reachable, excluded = campaign_figures.reach(conn, campaign_id)
        kept = conn.execute(select(audience_members.c.address)).scalars().all()
    assert (reachable, excluded[Reason.ERASED]) == (1, 2)
    assert kept == [None, None, "cleo@example.org"]
    assert all(forms(MARTHA)[1] not in value.casefold() for _, value in every_cell(database))


@pytest.mark.parametrize("seed", range(8))
def test_in_whatever_order_things_come_no_offer_goes_to_somebody_erased(
    database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    campaign_under_way(database, MARTHA, "bob@example.org")
    steps = ["erase", "opt-in", "opt-out", "import", "claim", "campaign", "claim", "report"]
    chance.shuffle(steps)
    erased_at, looked_at = None, []
    for number, step in enumerate(steps):
        if step == "erase":
            erase(database)
            erased_at = number
        elif step == "campaign":
            campaign_under_way(database, MARTHA, name=f"c{number}")
        elif step == "claim":
            looked_at += [(number, row) for row in claim(database) if row.person == person(MARTHA)]
        else:
            kind = {"opt-in": Kind.OPT_IN, "opt-out": Kind.OPT_OUT, "import": Kind.IMPORTED,
                    "report": Kind.UNDELIVERABLE}[step]  # fmt: skip
            with database.write() as conn:
                consent.record(conn, fact(kind, source=Source.IMPORT))
    assert erased_at is not None
    for claimed_at, row in looked_at:
        assert claimed_at < erased_at
        assert begin(database, row) is None, "begun after the erasure"
    with database.read() as conn:
        assert isinstance(
            decide(MessageKind.CAMPAIGN, suppressions.reasons(conn, person(MARTHA))), Withheld
        )


def test_a_row_without_address_that_waits_is_never_claimed_for_sending(database: Database) -> None:
    """Only a fault or a hand could leave one; it must not be composed."""
    with database.write() as conn:
        conn.execute(insert(rows).values(
            kind="order_status", type="shipped", idempotency_key="x", address=None,
            person_hash="0" * 32, untagged_hash="0" * 32, fields={}, priority=0, state="queued",
            not_before=now(conn), created_at=now(conn), message_id="<x@y>",
        ))  # fmt: skip
    assert claim(database) == []
