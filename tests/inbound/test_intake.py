"""Intake's story against a real Dovecot: recognise, record, suppress, acknowledge, advance."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from mailbot.config import MailboxSettings
from mailbot.core.consent import ConsentEvent, Kind, Reason, Source
from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import StoreUnavailable
from mailbot.core.inbound_message import InboundMessage
from mailbot.core.outbox_states import State
from mailbot.core.recognition import recognise
from mailbot.core.tokens import opt_out_address, sign_opt_out
from mailbot.core.verdicts import Facts, Verdict
from mailbot.inbound import intake as intake_module
from mailbot.inbound.folders import WatchedFolder
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.intake import Intake
from mailbot.store import consent, deliveries, mailboxes, outbox, reviews, suppressions
from mailbot.store.engine import Connection, Database
from mailbot.store.tables import outbox as outbox_rows
from tests.inbound.letters import (
    HELP,
    SHOP,
    TOKEN_KEYS,
    delivery_report,
    letter,
    person,
    spam_report,
)
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.scripted_imap import ScriptedImap
from tests.store.filling import begin, campaign_under_way, claim, end, state_of

ACCOUNT = "help at 127.0.0.1"


class Desk:
    """The mailbox, the database and intake of one test, with short questions to each."""

    def __init__(
        self, server: Dovecot, user: str, settings: MailboxSettings, database: Database
    ) -> None:
        self.server, self.user, self.database = server, user, database
        self.settings = settings
        self.intake = Intake(ACCOUNT, SHOP, database)

    def arrive(self, message: bytes, **how: object) -> int:
        """A mail comes in; returns its UID."""
        return self.server.deliver(self.user, message, **how)  # type: ignore[arg-type]

    def hear(self, folder: str = "INBOX", *, is_junk: bool = False) -> None:
        """One look at a folder over a new connection."""
        with Mailbox(self.settings, PASSWORD) as mailbox:
            self.intake.hear(mailbox, WatchedFolder(folder, is_junk=is_junk))

    def start(self) -> None:
        """The first scan of an empty mailbox: whatever comes from now on is news."""
        self.hear()

    def reasons(self, address: str = "ann@example.net") -> set[Reason]:
        with self.database.read() as conn:
            return set(suppressions.reasons(conn, person(address)))

    def events(self, address: str = "ann@example.net") -> list[consent.StoryEvent]:
        with self.database.read() as conn:
            return consent.story(conn, person(address))

    def ledger_length(self) -> int:
        with self.database.read() as conn:
            return consent.head_sequence(conn)

    def last_uid(self, folder: str = "INBOX") -> int:
        with Mailbox(self.settings, PASSWORD) as mailbox:
            state = mailbox.examine(folder)
        with self.database.read() as conn:
            return mailboxes.watermark(conn, ACCOUNT, folder, state.uidvalidity).last_uid

    def answers(self, address: str = "ann@example.net") -> int:
        """How many acknowledgements are queued for this person."""
        with self.database.read() as conn:
            stories = deliveries.messages_to(conn, person(address))
        return sum(story.kind is MessageKind.ACKNOWLEDGEMENT for story in stories)

    def waiting_reviews(self) -> list[reviews.ReviewItem]:
        with self.database.read() as conn:
            return reviews.waiting(conn)


@pytest.fixture
def desk(shared_server: Dovecot, user: str, settings: MailboxSettings, database: Database) -> Desk:
    """Everything a test needs, its mailbox empty."""
    return Desk(shared_server, user, settings, database)


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


def test_who_may_have_asked_in_a_poison_mail_is_held(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Doubt is resolved for the customer: no marketing until a person has looked."""
    monkeypatch.setattr(intake_module, "recognise", failing(RecursionError()))
    desk.arrive(letter("unsubscribe"))
    desk.hear()
    assert desk.reasons() == {Reason.HELD}
    assert [item.person for item in desk.waiting_reviews()] == [person()]


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


# -- the answer ----------------------------------------------------------------------------------


def test_a_wish_is_answered_once_in_a_while(desk: Desk) -> None:
    """The second mail of the same person is recorded and not answered again."""
    desk.start()
    desk.arrive(letter("unsubscribe", message_id="<wish@example.net>"))
    desk.hear()
    desk.arrive(letter("unsubscribe!!"))
    desk.hear()
    assert (len(desk.events()), desk.answers()) == (2, 1)
    with desk.database.read() as conn:
        fields = conn.execute(
            select(outbox_rows.c.fields).where(outbox_rows.c.kind == MessageKind.ACKNOWLEDGEMENT)
        ).scalar_one()
    assert fields == {"in_reply_to": "<wish@example.net>", "references": ["<wish@example.net>"]}


def test_history_is_heard_and_not_answered(desk: Desk) -> None:
    """What stood in the folder before mailbot came would only be surprised by an answer."""
    desk.arrive(letter("unsubscribe"))
    desk.hear()
    assert (desk.reasons(), desk.answers()) == ({Reason.OPT_OUT}, 0)


@pytest.mark.parametrize(
    ("mail", "is_junk", "age_hours"),
    [
        (letter("unsubscribe"), True, 0),
        (letter("unsubscribe"), False, 49),
        (letter("unsubscribe", "Ann <ann@example.net>", "List-Id: <tea.example.net>"), False, 0),
        (letter("unsubscribe", "Ann <ann@example.net>", "Precedence: list"), False, 0),
    ],
    ids=["from junk", "older than two days", "a list", "bulk"],
)
def test_what_is_heard_and_not_answered(
    desk: Desk, mail: bytes, is_junk: bool, age_hours: int
) -> None:
    """Junk, old mail and lists: on the list, without a word back."""
    desk.start()
    desk.arrive(mail, received_at=datetime.now(UTC) - timedelta(hours=age_hours))
    desk.hear(is_junk=is_junk)
    assert (desk.reasons(), desk.answers()) == ({Reason.OPT_OUT}, 0)


def test_a_robots_address_is_not_answered(desk: Desk) -> None:
    """noreply@ is heard; writing to it would only bounce."""
    desk.start()
    desk.arrive(letter("unsubscribe", "No Reply <noreply@example.net>"))
    desk.hear()
    assert desk.reasons("noreply@example.net") == {Reason.OPT_OUT}
    assert desk.answers("noreply@example.net") == 0


# -- other verdicts ------------------------------------------------------------------------------


def test_an_auto_reply_quoting_the_word_changes_nothing(desk: Desk) -> None:
    """Out of office: "Re: … unsubscribe" by a machine is nobody's wish."""
    headers = ("Auto-Submitted: auto-replied", "In-Reply-To: <campaign@shop.example>")
    desk.arrive(letter("Automatic reply: how to unsubscribe", "Ann <ann@example.net>", *headers))
    desk.hear()
    assert (desk.reasons(), desk.ledger_length()) == (set(), 0)
    assert desk.intake.heard.by_verdict == {"auto_reply": 1}


def test_a_token_opts_its_owner_out_whatever_the_subject(desk: Desk) -> None:
    """Some clients send the List-Unsubscribe mail with an empty subject, from another address."""
    token = sign_opt_out(TOKEN_KEYS, person("ann@example.net").person_hash)
    desk.arrive(letter("", "Ann <ann.work@example.org>", to=opt_out_address(HELP, token)))
    desk.hear()
    assert desk.reasons("ann@example.net") == {Reason.OPT_OUT}
    assert desk.reasons("ann.work@example.org") == {Reason.OPT_OUT}


def test_the_several_senders_of_a_token_mail_are_held_beside_its_owner(desk: Desk) -> None:
    token = sign_opt_out(TOKEN_KEYS, person("owner@example.net").person_hash)
    both = "Ann <ann@example.net>, Bob <bob@example.net>"
    desk.arrive(letter("", both, to=opt_out_address(HELP, token)))
    desk.hear()
    assert desk.reasons("owner@example.net") == {Reason.OPT_OUT}
    assert desk.reasons("ann@example.net") == desk.reasons("bob@example.net") == {Reason.HELD}


def test_marketing_that_waits_is_withheld_after_an_opt_out(desk: Desk) -> None:
    """For the console's truth; the guarantee is the look before sending."""
    campaign_under_way(desk.database, "ann@example.net", "ben@example.net")
    desk.arrive(letter("unsubscribe"))
    desk.hear()
    with desk.database.read() as conn:
        ann = deliveries.messages_to(conn, person())[0]
        ben = deliveries.messages_to(conn, person("ben@example.net"))[0]
    assert (ann.state, ann.withheld_reason) == (State.WITHHELD, Reason.OPT_OUT)
    assert ben.state is State.QUEUED


def sent_to(database: Database, address: str) -> tuple[int, str]:
    """One campaign mail that the relay took: its outbox id and Message-ID."""
    campaign_under_way(database, address)
    (row,) = claim(database)
    attempt = begin(database, row)
    assert attempt is not None
    end(database, row, attempt, State.SENT)
    return row.id, row.message_id


def test_a_report_about_our_mail_makes_its_recipient_undeliverable(desk: Desk) -> None:
    """The body is fetched for it; the row is marked as bounced."""
    row_id, message_id = sent_to(desk.database, "ann@example.net")
    desk.arrive(delivery_report(message_id, recipient="ann@example.net"))
    desk.hear()
    assert state_of(desk.database, row_id) is State.BOUNCED
    assert desk.reasons() == {Reason.UNDELIVERABLE}
    assert desk.events()[0].source == Source.DELIVERY_REPORT


def test_a_forged_report_silences_nobody(desk: Desk) -> None:
    """It names a customer, and no message that we sent."""
    sent_to(desk.database, "ann@example.net")
    desk.arrive(delivery_report("<guessed@shop.example>", recipient="ann@example.net"))
    desk.hear()
    assert (desk.reasons(), desk.ledger_length()) == (set(), 0)


def test_a_spam_report_about_our_mail_is_a_complaint_of_its_recipient(desk: Desk) -> None:
    """Never of the From, which is the provider's; the report names the address once more."""
    _, message_id = sent_to(desk.database, "ann@example.net")
    desk.arrive(spam_report(message_id, recipient="ann@example.net"))
    desk.hear()
    assert desk.reasons() == {Reason.COMPLAINT}
    assert desk.reasons("feedback@provider.example") == set()
    assert (desk.waiting_reviews(), desk.answers()) == ([], 0)


def test_a_spam_report_that_proves_nothing_holds_whom_it_names(desk: Desk) -> None:
    """An address alone can be made up: no marketing until a person has looked."""
    desk.arrive(spam_report("<stranger@elsewhere.example>", recipient="ann@example.net"))
    desk.hear()
    assert desk.reasons() == {Reason.HELD}
    assert [item.person for item in desk.waiting_reviews()] == [person()]


def test_whoever_answers_anothers_message_leaves_and_the_other_is_asked_about(desk: Desk) -> None:
    """Ben answered what Ann had forwarded: Ben is out at once, Ann is held."""
    _, message_id = sent_to(desk.database, "ann@example.net")
    reply = f"In-Reply-To: {message_id}"
    desk.arrive(letter("Re: Spring offers - unsubscribe", "Ben <ben@example.net>", reply))
    desk.hear()
    assert desk.reasons("ben@example.net") == {Reason.OPT_OUT}
    assert desk.reasons("ann@example.net") == {Reason.HELD}
    assert [item.person for item in desk.waiting_reviews()] == [person("ann@example.net")]


def test_unrelated_mail_leaves_nothing_but_the_watermark(desk: Desk) -> None:
    """Order questions, card numbers: nothing of it is stored."""
    last = desk.arrive(letter("Where is my order 4711?", body="My card is 4111 1111 1111 1111"))
    desk.hear()
    assert (desk.ledger_length(), desk.waiting_reviews(), desk.last_uid()) == (0, [], last)
    assert desk.intake.heard.by_verdict == {"unrelated": 1}


def test_an_address_with_odd_text_around_it_is_stored_clean(desk: Desk) -> None:
    """NUL and lone surrogates would be refused by PostgreSQL; the wish must not depend on it."""
    desk.arrive(letter("unsubscribe \x00 now", '"A\x00nn" <ann@example.net>'))
    desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}
    assert all("\x00" not in text for text in desk.events()[0].evidence.values())


def test_messages_named_is_asked_once_a_batch(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first scan of many thousand mails costs one look-up for each five hundred."""
    asked: list[int] = []
    look = outbox.messages_named

    def note(conn: Connection, ids: list[str], numbers: list[int]) -> list[outbox.SentMessage]:
        asked.append(len(ids))
        return look(conn, ids, numbers)

    monkeypatch.setattr(outbox, "messages_named", note)
    replies = [letter("Hi", "a@example.net", f"In-Reply-To: <{n}@x.example>") for n in range(9)]
    desk.server.drop(desk.user, *replies)
    desk.hear()
    assert asked == [9]
