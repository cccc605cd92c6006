"""Intake's story against a real Dovecot: recognise, record, suppress, acknowledge, advance."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mailbot.core.consent import ConsentEvent, Kind, Reason, Source
from mailbot.core.errors import StoreUnavailable
from mailbot.core.inbound_message import InboundMessage
from mailbot.core.recognition import Mentions, mentions, recognise
from mailbot.core.verdicts import Facts, Verdict
from mailbot.inbound import facts as facts_module
from mailbot.inbound import intake as intake_module
from mailbot.inbound.folders import WatchedFolder
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.quarantine import quarantine
from mailbot.store import consent, mailboxes, reviews
from mailbot.store.engine import Connection, Database
from mailbot.store.reviews import Place
from tests.inbound.desk import ACCOUNT, Desk
from tests.inbound.letters import (
    SHOP,
    delivery_report,
    letter,
    person,
)
from tests.servers.dovecot import PASSWORD
from tests.servers.scripted_imap import ScriptedImap

pytestmark = pytest.mark.on_both_engines


def failing(error: BaseException) -> Callable[..., None]:
    """A function that raises."""

    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


# -- invariant 1: an opt-out is never lost ------------------------------------------------------


def test_an_opt_out_is_on_the_list_with_its_evidence(desk: Desk) -> None:
    """Event, suppression and watermark, in one look."""
    uid = desk.arrive(letter("Please UNSUBSCRIBE me"))
    desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}
    (event,) = desk.events()
    assert (event.kind, event.source, event.rule) == (Kind.OPT_OUT, Source.MAIL, "word-in-subject")
    assert event.address == "ann@example.net"
    assert event.evidence["Subject"] == "Please UNSUBSCRIBE me"
    assert event.policy_version == "7"
    assert desk.last_uid() == uid


def test_the_suppression_is_committed_before_the_watermark_moves(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another connection sees the person on the list while the watermark is about to move."""
    seen: list[set[Reason]] = []
    advance = mailboxes.advance

    def look_then_advance(conn: Connection, *place: object) -> None:
        seen.append(desk.reasons())
        advance(conn, *place)  # type: ignore[arg-type]

    desk.start()
    monkeypatch.setattr(mailboxes, "advance", look_then_advance)
    desk.arrive(letter("unsubscribe"))
    desk.hear()
    assert seen == [{Reason.OPT_OUT}]


def test_a_crash_between_commit_and_watermark_is_replayed_without_a_twin(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mail is heard again; the ledger and the outbox have it once."""
    desk.start()
    desk.arrive(letter("unsubscribe"))
    with monkeypatch.context() as crash:
        crash.setattr(mailboxes, "advance", failing(SystemExit()))
        with pytest.raises(SystemExit):
            desk.hear()
    assert desk.last_uid() == 0
    assert desk.reasons() == {Reason.OPT_OUT}
    desk.hear()
    assert (len(desk.events()), desk.answers(), desk.last_uid()) == (1, 1, 1)


def test_a_replay_from_the_beginning_changes_nothing(desk: Desk) -> None:
    """Watermarks forgotten: everything is read again, and nothing is recorded again."""
    desk.start()
    desk.arrive(letter("unsubscribe"))
    desk.arrive(letter("Unsubscribe", "", message_id="<no-from@example.net>"))
    desk.hear()
    before = (desk.ledger_length(), desk.answers(), len(desk.waiting_reviews()))
    with desk.database.write() as conn:
        mailboxes.forget(conn, ACCOUNT)
    desk.hear()
    assert (desk.ledger_length(), desk.answers(), len(desk.waiting_reviews())) == before


def test_a_changed_uidvalidity_is_scanned_again_without_twins(desk: Desk) -> None:
    """A restored mailbox numbers its mails anew (RFC 3501 §2.3.1.1): old ones are no news."""
    desk.start()
    desk.arrive(letter("unsubscribe"))
    desk.hear()
    desk.server.change_uidvalidity(desk.user)
    desk.arrive(letter("unsubscribe", "Ben <ben@example.net>"))
    assert desk.last_uid() == 0
    desk.hear()
    assert (len(desk.events()), desk.answers()) == (1, 1)
    assert desk.reasons("ben@example.net") == {Reason.OPT_OUT}
    assert desk.answers("ben@example.net") == 1


def test_one_mail_in_two_folders_is_one_event(desk: Desk) -> None:
    """A human moved it to another watched folder."""
    mail = letter("unsubscribe")
    desk.server.create(desk.user, "Done")
    desk.arrive(mail)
    desk.hear()
    desk.arrive(mail, folder="Done")
    desk.hear("Done")
    assert len(desk.events()) == 1


def test_two_mails_without_a_message_id_are_two_wishes(desk: Desk) -> None:
    """Out, in again, out again with the same bytes: the second wish is no replay of the first."""
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    mail = letter("unsubscribe", message_id="")
    desk.arrive(mail, received_at=noon)
    desk.hear()
    back = ConsentEvent(
        kind=Kind.OPT_IN, source=Source.CONSOLE, person=person(), key="console:1",
        received_at=noon + timedelta(days=1), rule="console", policy_version="7",
    )  # fmt: skip
    with desk.database.write() as conn:
        consent.record(conn, back)
    assert desk.reasons() == set()
    desk.arrive(mail, received_at=noon + timedelta(days=2))
    desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}


def test_an_outage_of_the_database_is_not_taken_for_bad_mail(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is quarantined, the watermark stays, and the next look hears the mail."""
    desk.arrive(letter("unsubscribe"))
    with monkeypatch.context() as outage:
        outage.setattr(consent, "record", failing(StoreUnavailable("the disk is full")))
        with pytest.raises(StoreUnavailable):
            desk.hear()
    assert (desk.intake.heard.quarantined, desk.last_uid()) == (0, 0)
    desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}


def test_the_watermark_moves_batch_by_batch(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long scan that breaks off goes on where its last whole batch ended."""
    monkeypatch.setattr(intake_module, "FETCH_BATCH", 2)
    desk.server.drop(desk.user, *[letter(f"Tea {number}") for number in range(5)])
    moved: list[int] = []
    advance = mailboxes.advance

    def note(conn: Connection, account: str, folder: str, uidvalidity: int, uid: int) -> None:
        moved.append(uid)
        advance(conn, account, folder, uidvalidity, uid)

    monkeypatch.setattr(mailboxes, "advance", note)
    desk.hear()
    assert moved[:3] == [2, 4, 5]
    assert desk.last_uid() == 5


# -- invariant 5: help@ belongs to humans -------------------------------------------------------


def test_flags_stay_as_the_humans_left_them_and_read_mail_is_heard(desk: Desk) -> None:
    """Read, flagged and answered mail counts like any other; nothing is marked as read."""
    desk.arrive(letter("unsubscribe"), flags="\\Seen \\Flagged \\Answered")
    desk.arrive(letter("Where is my order?", "Ben <ben@example.net>"))
    desk.arrive(delivery_report("<x@shop.example>", recipient="carl@example.net"))
    before = desk.server.flags(desk.user)
    desk.hear()
    assert desk.server.flags(desk.user) == before
    assert desk.reasons() == {Reason.OPT_OUT}


# -- invariant 7: bad mail is a value -----------------------------------------------------------


def test_poison_is_quarantined_and_the_next_mail_is_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that raises stops nothing; the reason names the error, not the mail's text."""

    def fragile(message: InboundMessage, facts: Facts) -> Verdict:
        if message.subject.startswith("poison"):
            raise ValueError(f"cannot stomach {message.from_text}")
        return recognise(message, facts)

    monkeypatch.setattr(intake_module, "recognise", fragile)
    desk.arrive(letter("poison", "Carl <carl@example.net>"))
    last = desk.arrive(letter("unsubscribe"))
    desk.hear()
    (item,) = desk.waiting_reviews()
    assert (item.rule, item.person, item.place.uid) == ("quarantine", None, 1)
    assert "ValueError" in item.because
    assert "carl" not in item.because
    assert desk.reasons() == {Reason.OPT_OUT}
    assert (desk.intake.heard.quarantined, desk.last_uid()) == (1, last)


def test_a_mail_that_poisons_the_looking_up_of_facts_stops_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done for a batch at once: one mail must not take its neighbours with it."""

    def poisoned(message: InboundMessage, facts: Facts) -> Mentions:
        if message.subject == "poison":
            raise RuntimeError("no mail")
        return mentions(message, facts)

    monkeypatch.setattr(facts_module, "mentions", poisoned)
    desk.arrive(letter("poison", "Ben <ben@example.net>"))
    desk.arrive(letter("unsubscribe"))
    desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}


def test_who_may_have_asked_in_a_poison_mail_is_held(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Doubt is resolved for the customer: no marketing until a person has looked."""
    monkeypatch.setattr(intake_module, "recognise", failing(RecursionError()))
    desk.arrive(letter("unsubscribe"))
    desk.hear()
    assert desk.reasons() == {Reason.HELD}
    assert [item.person for item in desk.waiting_reviews()] == [person()]


def test_a_poison_mail_asks_in_every_language(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "recognise", failing(RecursionError()))
    desk.arrive(letter("Newsletter abbestellen"))
    desk.hear()
    assert desk.reasons() == {Reason.HELD}


def test_a_poison_mail_holds_no_colleague_and_no_crowd(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stops the reader may as well name everybody."""
    monkeypatch.setattr(intake_module, "recognise", failing(RecursionError()))
    crowd = ", ".join(f"victim{n}@example.net" for n in range(40))
    desk.arrive(letter("unsubscribe", f"eve@shop.example, {crowd}"))
    desk.hear()
    assert desk.reasons("eve@shop.example") == set()
    assert len(desk.waiting_reviews()) == 20


def test_whatever_a_server_says_of_a_mail_can_be_stored(database: Database) -> None:
    """PostgreSQL takes no NUL, and the scan would stop at that mail for ever."""
    with database.write() as conn:
        quarantine(conn, Place(ACCOUNT, "INBOX", 1, 1), "corrupt\0mail", SHOP)
        (item,) = reviews.waiting(conn)
    assert item.because == "corrupt\ufffdmail"


def test_a_mail_that_the_server_cannot_read_is_quarantined(desk: Desk) -> None:
    """A corrupt file on the server: its reason is kept, and the scan goes on."""
    refusal = {"FETCH": b"%s NO [SERVERBUG] corrupt mail\r\n"}
    with ScriptedImap(refusal) as server:
        broken = desk.settings.model_copy(update={"port": server.port})
        with Mailbox(broken, PASSWORD) as mailbox:
            desk.intake.hear(mailbox, WatchedFolder("INBOX"))
    (item,) = desk.waiting_reviews()
    assert "corrupt mail" in item.because
    with desk.database.read() as conn:
        assert mailboxes.watermark(conn, ACCOUNT, "INBOX", 9).last_uid == 1


def test_a_mail_whose_header_is_not_given_is_quarantined_and_not_passed_over(desk: Desk) -> None:
    """An opt-out may stand in it: a person looks."""
    without = {"FETCH": b"* 1 FETCH (UID 1 FLAGS () BODY[HEADER]<0> NIL)\r\n%s OK done\r\n"}
    with ScriptedImap(without) as server:
        broken = desk.settings.model_copy(update={"port": server.port})
        with Mailbox(broken, PASSWORD) as mailbox:
            desk.intake.hear(mailbox, WatchedFolder("INBOX"))
    (item,) = desk.waiting_reviews()
    assert "no header" in item.because


def test_bytes_that_are_no_mail_stop_nothing(desk: Desk) -> None:
    """8-bit garbage, NUL, bare CR, no header at all, a megabyte of subject."""
    for broken in (
        b"\xff\xfe\x80 garbage\r\r\n\n\x81",
        b"Subject: \xe9\xe9 unsub\rscribe\nFrom: <<<<@>>>>\n\nx",
        b"\n\n\n",
        b"From: a@example.net\nSubject: " + b"x" * 1_000_000 + b"\n\n",
        b"From: " + b"(" * 4_000 + b"\nSubject: unsubscribe\n\n",
    ):
        desk.arrive(broken)
    last = desk.arrive(letter("unsubscribe"))
    desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}
    assert desk.last_uid() == last
    assert desk.intake.heard.quarantined == 0


# -- invariant 8: receipt ------------------------------------------------------------------------


def test_receipt_is_internaldate_and_never_the_date_header(desk: Desk) -> None:
    """The legal clock runs from when the mail arrived, whatever its writer's clock says."""
    long_ago = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    desk.arrive(letter("unsubscribe"), received_at=long_ago)
    desk.hear()
    assert desk.events()[0].received_at == long_ago
