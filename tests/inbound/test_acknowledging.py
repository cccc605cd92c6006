"""The answer to an opt-out and what comes back to it, through real intake over a real Dovecot.

Robots that answer everything undo nothing; the way back is hers alone, who was opted out.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from mailbot.core.address import parse_address
from mailbot.core.compose import Sender
from mailbot.core.compose import Shop as LetterShop
from mailbot.core.consent import Kind, Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.tokens import TokenKey, TokenKeys, sign_opt_out, sign_undo, undo_address
from mailbot.outbound.acknowledgements import AcknowledgementLetters
from mailbot.outbound.letterhead import Letterhead
from mailbot.store import consent, outbox
from mailbot.store.tables import outbox as rows
from tests.inbound.desk import Desk
from tests.inbound.letters import HELP, SHOP, TOKEN_KEYS, letter, person
from tests.people import NOON, event

ANN, BEN = "ann@example.net", "ben@example.net"
LETTERHEAD = Letterhead(
    LetterShop("Lindenhof Tea", parse_address(HELP), "Lindenhof Tea, 1 Quay, Bristol"),
    Sender("Lindenhof Tea", parse_address("offers@shop.example")),
    Sender("Lindenhof Orders", parse_address("orders@shop.example")),
    TOKEN_KEYS,
)


def minutes_ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def answer(desk: Desk) -> EmailMessage:
    """The one queued acknowledgement, as it would go to the relay."""
    with desk.database.write() as conn:
        [row] = outbox.claim(
            conn, claimed_by="test", lease_seconds=60, limit=2, with_campaigns=False
        )
    outgoing = asyncio.run(AcknowledgementLetters(LETTERHEAD).compose(row))
    assert outgoing.sender == ""
    message = email.message_from_bytes(outgoing.message, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def way_back(message: EmailMessage) -> tuple[str, str]:
    """Address and subject that a mail client takes from the link (RFC 6068)."""
    [link] = re.findall(r"mailto:\S+", str(message.get_content()))
    parts = urlsplit(link)
    return unquote(parts.path), parse_qs(parts.query)["subject"][0]


def opted_out(desk: Desk, *, minutes: float = 30) -> EmailMessage:
    """Ann left so many minutes ago; what she was answered."""
    desk.start()
    desk.arrive(letter("unsubscribe"), received_at=minutes_ago(minutes))
    desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}
    return answer(desk)


def everything(desk: Desk) -> tuple[object, ...]:
    """What no robot may change."""
    who = (ANN, BEN)
    return (
        [desk.reasons(one) for one in who],
        [desk.answers(one) for one in who],
        desk.ledger_length(),
        len(desk.waiting_reviews()),
    )


# -- who is answered ----------------------------------------------------------------------------


def test_an_answer_is_threaded_under_the_wish(desk: Desk) -> None:
    """RFC 5322 §3.6.4: a single In-Reply-To stands for References that are missing."""
    desk.start()
    desk.arrive(letter("unsubscribe", ANN, "In-Reply-To: <offer@shop.example>", message_id="<w@x>"))
    desk.hear()
    message = answer(desk)
    assert message["In-Reply-To"] == "<w@x>"
    assert str(message["References"]).split() == ["<offer@shop.example>", "<w@x>"]
    assert (message["To"], message["From"]) == (ANN, f"Lindenhof Tea <{HELP}>")


def test_the_answer_goes_to_from_and_never_to_reply_to_or_sender(desk: Desk) -> None:
    desk.start()
    desk.arrive(letter("unsubscribe", ANN, f"Reply-To: {BEN}", f"Sender: {BEN}"))
    desk.hear()
    assert (desk.answers(ANN), desk.answers(BEN)) == (1, 0)


SILENT = {
    "a robot's address": ("noreply@example.net", HELP, ()),
    "a list's mail": (ANN, HELP, ("List-Id: <tea.lists.example.net>",)),
    "bulk mail": (ANN, HELP, ("Precedence: Bulk (weekly)",)),
    "a button's mail, marked automatic": (
        ANN, HELP, ("X-Apple-Unsubscribe: true", "Auto-Submitted: auto-replied"),
    ),
    "a mail that was Bcc'd to us": (ANN, "undisclosed-recipients:;", ()),
    "a stranger under another return path": (ANN, HELP, ("Return-Path: <x@evil.example>",)),
    "taken for spam on its way": (ANN, HELP, ("X-Spam-Flag: YES",)),
    "a sender who wants no answer": (ANN, HELP, ("X-Auto-Response-Suppress: All",)),
}  # fmt: skip


@pytest.mark.parametrize(("who", "to", "headers"), SILENT.values(), ids=SILENT.keys())
def test_who_is_heard_and_not_answered(
    desk: Desk, who: str, to: str, headers: tuple[str, ...]
) -> None:
    desk.start()
    desk.arrive(letter("unsubscribe", who, *headers, to=to))
    with capture_logs() as logs:
        desk.hear()
    assert (desk.reasons(who), desk.answers(who)) == ({Reason.OPT_OUT}, 0)
    assert [line["because"] for line in logs if line["event"] == "opt_out_not_acknowledged"]


def test_a_customer_is_answered_under_any_return_path(desk: Desk) -> None:
    """She was mailed before: if somebody forged her name, this is how she learns of it."""
    desk.start()
    with desk.database.write() as conn:
        outbox.enqueue_order_status(
            conn, message_type="shipped", address=parse_address(ANN), person=person(ANN),
            fields={}, idempotency_key="o1", our_domain="shop.example",
        )  # fmt: skip
    desk.arrive(letter("unsubscribe", ANN, "Return-Path: <x@evil.example>"))
    desk.hear()
    assert desk.answers() == 1


def test_history_junk_and_old_mail_are_not_answered(desk: Desk) -> None:
    desk.arrive(letter("unsubscribe", "history@example.net"))
    desk.hear()
    desk.arrive(letter("unsubscribe", "old@example.net"), received_at=minutes_ago(48 * 60 + 1))
    desk.hear()
    desk.hear("Junk", is_junk=True)
    desk.arrive(letter("unsubscribe", "junk@example.net"), folder="Junk")
    desk.hear("Junk", is_junk=True)
    for who in ("history@example.net", "old@example.net", "junk@example.net"):
        assert (desk.reasons(who), desk.answers(who)) == ({Reason.OPT_OUT}, 0)


def test_what_is_nearly_two_days_old_is_still_answered(desk: Desk) -> None:
    desk.start()
    desk.arrive(letter("unsubscribe"), received_at=minutes_ago(47 * 60))
    desk.hear()
    assert desk.answers() == 1


def test_acknowledgements_can_be_switched_off(desk: Desk) -> None:
    desk.change(replace(SHOP, acknowledge_every_days=None))
    desk.start()
    desk.arrive(letter("unsubscribe"))
    desk.hear()
    assert (desk.reasons(), desk.answers()) == ({Reason.OPT_OUT}, 0)


def test_who_is_only_held_is_told_nothing(desk: Desk) -> None:
    """Nobody knows yet what she asked."""
    desk.start()
    desk.arrive(letter("unsubscribe", f"{ANN}, {BEN}"))
    desk.hear()
    assert (desk.reasons(), desk.answers(), desk.answers(BEN)) == ({Reason.HELD}, 0, 0)


def test_ourselves_are_neither_opted_out_nor_answered(desk: Desk) -> None:
    desk.start()
    for who in (HELP, "help+x@shop.example", "offers@shop.example"):
        desk.arrive(letter("unsubscribe", who))
        desk.hear()
        assert (desk.reasons(who), desk.answers(who)) == (set(), 0)


def test_one_mailbox_is_answered_once_a_period_whatever_its_tag(desk: Desk) -> None:
    """A forger must not fill Ann's mailbox through ann+1@, ann+2@ …"""
    desk.start()
    for who in (ANN, "ANN@Example.NET", "ann+1@example.net", "ann+2@example.net"):
        desk.arrive(letter("unsubscribe", who))
    desk.hear()
    with desk.database.read() as conn:
        told = conn.execute(
            select(rows.c.address).where(rows.c.kind == MessageKind.ACKNOWLEDGEMENT)
        ).scalars()
        assert list(told) == [ANN]


# -- robots that answer the answer --------------------------------------------------------------

MARKS = {
    "marked": ("Auto-Submitted: auto-replied",),
    "marked, under a null sender": ("Return-Path: <>", "Auto-Submitted: auto-replied"),
    "marked the old way": ("X-Autoreply: yes", "Precedence: bulk"),
    "not marked at all": (),
}
SUBJECTS: dict[str, Callable[[str], str]] = {
    "our subject": lambda ours: ours,
    "Re: our subject": lambda ours: f"Re: {ours}",
    "Automatic reply": lambda ours: f"Automatic reply: {ours}",
    "one of its own": lambda _: "I am on holiday until Monday",
    "no subject": lambda _: "",
}


@pytest.mark.parametrize("marks", MARKS.values(), ids=MARKS.keys())
def test_a_vacation_robot_undoes_nothing_and_opts_nobody_out(
    desk: Desk, marks: tuple[str, ...]
) -> None:
    """It answers From and Reply-To, quotes our subject, and copies our body with the link in it.

    From Ann's mailbox, and from Ben's, to whom she forwarded. Even where it writes to the very
    address in the link (none does), the word is missing.
    """
    ours = opted_out(desk)
    before = everything(desk)
    text = str(ours.get_content())
    undo, _ = way_back(ours)
    quoted = "".join(f"> {line}\n" for line in text.splitlines())
    thread = (f"In-Reply-To: {ours['Message-ID']}", f"References: {ours['Message-ID']}")
    reply_to = str(ours["Reply-To"])
    for who in (ANN, BEN):
        for subject_of in SUBJECTS.values():
            for to in (HELP, reply_to, undo):
                for body in (text, f"I am away.\n\n{quoted}"):
                    desk.server.drop(desk.user, letter(
                        subject_of(str(ours["Subject"])), who, *thread, *marks, to=to, body=body
                    ))  # fmt: skip
    desk.hear()
    assert desk.intake.heard.by_verdict["opt_out"] == 1, "hers, and no other"
    assert desk.intake.heard.quarantined == 0
    assert everything(desk) == before


@pytest.mark.parametrize(
    "subject", ["Automatic reply: resubscribe", "Out of office: Re: resubscribe", "resubscribe"]
)
def test_a_robot_at_the_undo_address_undoes_nothing_whatever_it_quotes(
    desk: Desk, subject: str
) -> None:
    ours = opted_out(desk)
    before = everything(desk)
    undo, _ = way_back(ours)
    desk.arrive(letter(subject, ANN, "Auto-Submitted: auto-replied", to=undo))
    desk.hear()
    assert everything(desk) == before


def test_a_robot_that_quotes_her_own_wish_is_no_second_wish(desk: Desk) -> None:
    """Marked, with the word in its subject: nothing changes, and nothing is answered again."""
    ours = opted_out(desk)
    before = everything(desk)
    for subject in ("Re: unsubscribe", "Automatic reply: unsubscribe", "AW: unsubscribe (was: x)"):
        desk.arrive(letter(
            subject, ANN, "Auto-Submitted: auto-replied", f"In-Reply-To: {ours['Message-ID']}"
        ))  # fmt: skip
    desk.hear()
    assert everything(desk) == before


# -- the way back -------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [ANN, "Ann <ANN@Example.Net>", "ann+tea@example.net"])
def test_who_follows_the_link_gets_offers_again(desk: Desk, who: str) -> None:
    undo, subject = way_back(opted_out(desk))
    uid = desk.arrive(letter(subject, who, to=undo))
    desk.hear()
    assert uid and desk.reasons() == set()
    out, back = desk.events()
    assert (out.kind, back.kind, back.rule) == (Kind.OPT_OUT, Kind.OPT_IN, "undo")
    assert "undo token" in back.evidence["evidence"]
    assert "notes" not in back.evidence
    assert desk.answers() == 1, "her way back is not answered"


@pytest.mark.parametrize(
    "subject", ["Resubscribe", "RESUBSCRIBE", "Re: resubscribe", " resubscribe."]
)
def test_her_mail_program_may_write_the_word_its_own_way(desk: Desk, subject: str) -> None:
    undo, _ = way_back(opted_out(desk))
    desk.arrive(letter(subject, ANN, to=undo.upper()))
    desk.hear()
    assert desk.reasons() == set()


def test_from_another_address_nothing_changes_and_a_person_looks(desk: Desk) -> None:
    """Who forwards her answer gives the link away: nobody else brings her back with it."""
    undo, subject = way_back(opted_out(desk))
    desk.arrive(letter(subject, BEN, to=undo))
    desk.hear()
    assert (desk.reasons(), desk.reasons(BEN)) == ({Reason.OPT_OUT}, set())
    assert [event.kind for event in desk.events()] == [Kind.OPT_OUT]
    [item] = desk.waiting_reviews()
    assert item.rule == "undo"
    assert "for somebody else" in item.because


@pytest.mark.parametrize(
    "subject", ["", "Thank you", "Re: Automatic answer: you get no more offers"]
)
def test_the_token_without_the_word_does_nothing(desk: Desk, subject: str) -> None:
    ours = opted_out(desk)
    before = everything(desk)
    undo, _ = way_back(ours)
    desk.arrive(letter(subject, ANN, to=undo))
    desk.hear()
    assert everything(desk) == before


def test_the_word_without_the_token_is_a_persons_mail(desk: Desk) -> None:
    """Anyone can write it in anyone's name: staff read it, and mailbot does nothing."""
    opted_out(desk)
    before = everything(desk)
    desk.arrive(letter("resubscribe", ANN))
    desk.hear()
    assert everything(desk) == before


def test_both_words_at_the_undo_address_are_a_wish_to_leave(desk: Desk) -> None:
    undo, _ = way_back(opted_out(desk))
    desk.arrive(letter("unsubscribe, do not resubscribe me", ANN, to=undo))
    desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}
    assert Kind.OPT_IN not in {event.kind for event in desk.events()}


HER_HASH = person(ANN).person_hash
STRANGERS = TokenKeys((TokenKey(1, bytes(32)),))
BAD_TOKENS = {
    "forged": sign_undo(STRANGERS, HER_HASH),
    "cut short": sign_undo(TOKEN_KEYS, HER_HASH)[:-1],
    "of another kind": sign_opt_out(TOKEN_KEYS, HER_HASH),
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_a_token_that_is_not_ours_does_nothing_and_is_noted(desk: Desk, token: str) -> None:
    opted_out(desk)
    before = everything(desk)
    desk.arrive(letter("resubscribe", ANN, to=undo_address(HELP, token)))
    with capture_logs() as logs:
        desk.hear()
    assert everything(desk) == before
    [noted] = [line for line in logs if line.get("notes")]
    assert noted["notes"][0].startswith(f"token {token[:8]}…: ")
    assert token not in str(logs)


def test_a_token_of_a_revoked_key_does_nothing_and_is_noted(desk: Desk) -> None:
    """Whoever has the leaked key could bring everybody back."""
    undo, subject = way_back(opted_out(desk))
    old, new = TokenKey(1, TOKEN_KEYS.keys[0].secret, is_revoked=True), TokenKey(2, bytes(32))
    desk.change(replace(SHOP, token_keys=TokenKeys((old, new))))
    before = everything(desk)
    desk.arrive(letter(subject, ANN, to=undo))
    with capture_logs() as logs:
        desk.hear()
    assert everything(desk) == before
    assert [line["notes"] for line in logs if line.get("notes")] == [
        [f"token {undo.partition('+r-')[2][:8]}…: key 1 is revoked."]
    ]


def test_a_way_back_within_ten_minutes_loses_and_her_story_says_so(desk: Desk) -> None:
    """Leaving stands; the answer told her to wait, and nothing is mailed a second time."""
    ours = opted_out(desk, minutes=15)
    assert "Please wait ten minutes" in str(ours.get_content())
    undo, subject = way_back(ours)
    desk.arrive(letter(subject, ANN, to=undo), received_at=minutes_ago(6))
    with capture_logs() as logs:
        desk.hear()
    assert (desk.reasons(), desk.answers()) == ({Reason.OPT_OUT}, 1)
    [_, back] = desk.events()
    assert back.kind is Kind.OPT_IN
    assert "within ten minutes" in back.evidence["notes"]
    assert "opt_in_lost" in [line["event"] for line in logs]
    desk.arrive(letter(subject, ANN, to=undo))
    desk.hear()
    assert desk.reasons() == set(), "the same link works once she has waited"


def test_an_old_link_works_after_she_left_again(desk: Desk) -> None:
    """Out, back, out: each is heard; the second leaving is not answered within the period."""
    undo, subject = way_back(opted_out(desk, minutes=90))
    desk.arrive(letter(subject, ANN, to=undo), received_at=minutes_ago(60))
    desk.hear()
    desk.arrive(letter("unsubscribe", ANN), received_at=minutes_ago(30))
    desk.hear()
    assert (desk.reasons(), desk.answers()) == ({Reason.OPT_OUT}, 1)
    desk.arrive(letter(subject, ANN, to=undo))
    desk.hear()
    assert desk.reasons() == set()


def test_a_complaint_ends_and_a_dead_mailbox_does_not(desk: Desk) -> None:
    """Her wish undoes wishes; that her mailbox is gone is no wish."""
    undo, subject = way_back(opted_out(desk))
    with desk.database.write() as conn:
        for kind in (Kind.COMPLAINT, Kind.UNDELIVERABLE):
            consent.record(conn, replace(event(kind, ANN), person=person(ANN), received_at=NOON))
    desk.arrive(letter(subject, ANN, to=undo))
    desk.hear()
    assert desk.reasons() == {Reason.UNDELIVERABLE}
