"""What each verdict changes, through a real Dovecot and intake: the list, holds, answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import or_, select, update

from mailbot.core.consent import Reason, Source
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.core.tokens import opt_out_address, sign_opt_out
from mailbot.inbound.filing import Filing
from mailbot.store import campaigns, deliveries, sent_messages
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Connection, Database
from mailbot.store.tables import outbox as outbox_rows
from tests.inbound.desk import Desk
from tests.inbound.letters import (
    HELP,
    TOKEN_KEYS,
    delivery_report,
    letter,
    person,
    spam_report,
)
from tests.store.filling import begin, campaign_under_way, claim, end, state_of

pytestmark = pytest.mark.on_both_engines

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


def reached(database: Database, count: int) -> list[tuple[int, str]]:
    """A campaign that has reached so many, and has two more to reach: row id and Message-ID."""
    people = ["ann@example.net", *(f"c{number}@example.net" for number in range(count + 1))]
    campaign_under_way(database, *people)
    with database.write() as conn:
        ann = outbox_rows.c.person_hash == person("ann@example.net").person_hash
        others = select(outbox_rows.c.id).where(~ann).order_by(outbox_rows.c.id).limit(count - 1)
        conn.execute(
            update(outbox_rows)
            .where(or_(ann, outbox_rows.c.id.in_(others.scalar_subquery())))
            .values(state=State.SENT, finished_at=DatabaseTime())
        )
        named = select(outbox_rows.c.id, outbox_rows.c.message_id).where(
            outbox_rows.c.state == State.SENT
        )
        return [(row.id, row.message_id) for row in conn.execute(named.order_by(~ann)).all()]


def test_complaints_pause_the_campaign_that_they_are_about(desk: Desk) -> None:
    """Each complaint is recorded all the same."""
    for _, message_id in reached(desk.database, 200)[:3]:
        desk.arrive(spam_report(message_id, recipient="somebody@example.net"))
    desk.hear()
    with desk.database.read() as conn:
        paused = campaigns.get(conn, "spring")
    assert paused.because == "3 of 200 complained (1.5 %, at most 0.3 %)"
    assert desk.reasons() == {Reason.COMPLAINT}


def test_delivery_reports_pause_their_campaign_and_who_comes_after_is_not_taken_for_gone(
    desk: Desk,
) -> None:
    """A server that reports everybody as unknown must not take everybody off."""
    messages = reached(desk.database, 200)
    for _, message_id in [*messages[1:12], messages[0]]:  # Ann's is the twelfth
        desk.arrive(delivery_report(message_id, recipient="somebody@example.net"))
    desk.hear()
    with desk.database.read() as conn:
        paused = campaigns.get(conn, "spring")
    assert (paused.hold, paused.undeliverable) == ("undeliverable", 12)
    assert state_of(desk.database, messages[0][0]) is State.BOUNCED
    assert (desk.reasons(), desk.ledger_length()) == (set(), 10)


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


def opt_out_report(returned_message_id: str, *recipients: str) -> bytes:
    report = spam_report(returned_message_id, recipient=", ".join(recipients))
    return report.replace(b"Feedback-Type: abuse", b"Feedback-Type: opt-out")


def test_an_opt_out_report_about_our_mail_opts_its_recipient_out(desk: Desk) -> None:
    _, message_id = sent_to(desk.database, "ann@example.net")
    desk.arrive(opt_out_report(message_id, "ann@example.net", "ben@example.net"))
    desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}
    assert desk.reasons("ben@example.net") == {Reason.HELD}


def test_an_opt_out_report_that_proves_nothing_holds_whom_it_names(desk: Desk) -> None:
    """Anyone can write one, from an address of their own: it would silence fifty customers."""
    desk.change(filing=Filing("keyword", "mailbot-opt-out"))
    uid = desk.arrive(opt_out_report("<made@up.example>", "ann@example.net", "ben@example.net"))
    desk.hear()
    assert desk.reasons() == desk.reasons("ben@example.net") == {Reason.HELD}
    assert {item.person for item in desk.waiting_reviews()} == {person(), person("ben@example.net")}
    assert desk.server.flags(desk.user)[uid] == frozenset()  # nobody was opted out


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
    look = sent_messages.messages_named

    def note(
        conn: Connection, ids: list[str], numbers: list[int]
    ) -> list[sent_messages.SentMessage]:
        asked.append(len(ids))
        return look(conn, ids, numbers)

    monkeypatch.setattr(sent_messages, "messages_named", note)
    replies = [letter("Hi", "a@example.net", f"In-Reply-To: <{n}@x.example>") for n in range(9)]
    desk.server.drop(desk.user, *replies)
    desk.hear()
    assert asked == [9]


# -- deliveries that may still succeed -----------------------------------------------------------


def full_mailbox(message_id: str, recipient: str, status: str = "5.2.2") -> bytes:
    report = delivery_report(message_id, recipient=recipient).decode()
    return (
        report.replace("Status: 5.1.1", f"Status: {status}")
        .replace("550 5.1.1 no such user", f"552 {status} try me another day")
        .encode()
    )


def test_who_bounces_on_so_many_days_is_taken_for_gone(desk: Desk) -> None:
    """A full mailbox may be emptied; on the fifth day nobody believes it any more."""
    _, message_id = sent_to(desk.database, "ann@example.org")
    start = datetime.now(UTC) - timedelta(days=20)
    for day in range(5):
        assert desk.reasons("ann@example.org") == set()
        report = full_mailbox(message_id, "ann@example.org")
        desk.arrive(report, received_at=start + timedelta(days=day))
        desk.hear()
    assert desk.reasons("ann@example.org") == {Reason.UNDELIVERABLE}


def test_many_bounces_of_one_day_are_one_day(desk: Desk) -> None:
    _, message_id = sent_to(desk.database, "ann@example.org")
    for _ in range(7):
        desk.arrive(full_mailbox(message_id, "ann@example.org"))
    desk.hear()
    assert desk.reasons("ann@example.org") == set()


def test_bounces_from_long_ago_are_forgotten(desk: Desk) -> None:
    _, message_id = sent_to(desk.database, "ann@example.org")
    for days_ago in (100, 80, 60, 40, 20):
        report = full_mailbox(message_id, "ann@example.org")
        desk.arrive(report, received_at=datetime.now(UTC) - timedelta(days=days_ago))
    desk.hear()
    assert desk.reasons("ann@example.org") == set()


def test_a_refusal_that_is_about_us_counts_against_nobody(desk: Desk) -> None:
    _, message_id = sent_to(desk.database, "ann@example.org")
    for days_ago in range(8):
        report = full_mailbox(message_id, "ann@example.org", status="5.7.1")
        desk.arrive(report, received_at=datetime.now(UTC) - timedelta(days=days_ago))
    desk.hear()
    assert desk.reasons("ann@example.org") == set()


def test_forged_reports_count_against_nobody(desk: Desk) -> None:
    sent_to(desk.database, "ann@example.org")
    for days_ago in range(8):
        report = full_mailbox("<made-up@shop.example>", "ann@example.org")
        desk.arrive(report, received_at=datetime.now(UTC) - timedelta(days=days_ago))
    desk.hear()
    assert desk.reasons("ann@example.org") == set()
