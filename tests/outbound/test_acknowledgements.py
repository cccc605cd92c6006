"""The answer to an opt-out: its fields, its words, its way back, and its envelope on the wire."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import replace
from email.message import EmailMessage
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from mailbot.core.compose import Shop
from mailbot.core.inbound_message import read_message
from mailbot.core.recognition import recognise
from mailbot.core.tokens import tokens_in, verify_undo
from mailbot.core.verdicts import AutoReply, Facts, Unrelated
from mailbot.data import load_vocabulary
from mailbot.outbound.acknowledgements import AcknowledgementLetters
from mailbot.outbound.delivery import Outgoing
from mailbot.outbound.letterhead import Letterhead
from mailbot.store import outbox
from mailbot.store.engine import Database
from tests.outbound.conftest import LETTERHEAD, House, until
from tests.outbound.sending import ANN, is_over, opt_out
from tests.people import address, person
from tests.servers.scripted_smtp import ScriptedSmtp

VOCABULARY = load_vocabulary()
FACTS = Facts(
    help_address="help@shop.example",
    own_domains=frozenset({"shop.example"}),
    token_keys=LETTERHEAD.token_keys,
    vocabulary=VOCABULARY,
)
NAMES = {
    "of ASCII": "Lindenhof Tea",
    "of umlauts": "Teehaus Jäger & Söhne GmbH",
    "of another script": "リンデンホフ茶舗",
    "very long": "The Honourable Company of Merchants Trading into All Teas of the East, Ltd.",
}


def queue(database: Database, *references: str) -> None:
    """The row that intake leaves behind."""
    opt_out(database)
    with database.write() as conn:
        assert outbox.enqueue_acknowledgement(
            conn, address=address(ANN), person=person(ANN),
            fields={"in_reply_to": references[-1] if references else "",
                    "references": list(references)},
            every_days=30, our_domain="shop.example",
        )  # fmt: skip


async def composed(
    database: Database, *references: str, letterhead: Letterhead = LETTERHEAD
) -> Outgoing:
    """The answer to a mail of that Message-ID, the last of `references`."""
    queue(database, *references)
    with database.write() as conn:
        [row] = outbox.claim(
            conn, claimed_by="test", lease_seconds=60, limit=1, with_campaigns=False
        )
    return await AcknowledgementLetters(letterhead).compose(row)


def read(outgoing: Outgoing) -> EmailMessage:
    message = email.message_from_bytes(outgoing.message, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def links(message: EmailMessage) -> list[str]:
    return re.findall(r"mailto:\S+", str(message.get_content()))


# -- the header ---------------------------------------------------------------------------------


async def test_its_header_is_this_and_nothing_else(database: Database) -> None:
    """RFC 3834 §3.1. No List-Unsubscribe: it is no offer. No Precedence, which §3.1.8 leaves."""
    outgoing = await composed(database, "<first@x>", "<wish@example.org>")
    message = read(outgoing)
    assert dict(message.items()) == {
        "From": "Lindenhof Tea <help@shop.example>",
        "To": ANN,
        "Reply-To": "help@shop.example",
        "Subject": "Automatic answer: you get no more offers from Lindenhof Tea",
        "Date": message["Date"],
        "Message-ID": message["Message-ID"],
        "In-Reply-To": "<wish@example.org>",
        "References": "<first@x> <wish@example.org>",
        "Auto-Submitted": "auto-replied",
        "X-Auto-Response-Suppress": "All",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "quoted-printable",
    }
    assert (outgoing.sender, outgoing.recipient) == ("", ANN)


async def test_an_answer_to_a_mail_without_an_id_names_none(database: Database) -> None:
    message = read(await composed(database))
    assert (message["In-Reply-To"], message["References"]) == (None, None)


async def test_no_word_of_the_vocabulary_stands_in_its_subject(database: Database) -> None:
    """Nor once a robot has put its own prefix before it and something after."""
    subject = str(read(await composed(database))["Subject"])
    for before in ("", "Re: ", "AW: ", "Fwd: ", "Automatic reply: ", "Auto: ", "[Ticket 12] "):
        for after in ("", " (was: hello)", " [SEC=OFFICIAL]", "?", "!"):
            quoted = f"{before}{subject}{after}"
            assert VOCABULARY.find(quoted) is None, quoted
            assert VOCABULARY.find_come_back(quoted) is None, quoted
            verdict = recognise(
                read_message(f"From: {ANN}\nSubject: {quoted}\n\nhi".encode()), FACTS
            )
            assert isinstance(verdict, (Unrelated, AutoReply)), (quoted, verdict)


async def test_none_of_its_lines_would_ask_for_anything_as_a_subject(database: Database) -> None:
    """Nor as the first line of a mail without a subject."""
    for line in str(read(await composed(database)).get_content()).splitlines():
        assert VOCABULARY.find(line) is None, line
        verdict = recognise(read_message(f"From: {ANN}\nSubject:\n\n{line}\n".encode()), FACTS)
        assert isinstance(verdict, Unrelated), (line, verdict)


async def test_our_own_intake_takes_it_for_a_robots(database: Database) -> None:
    """Whoever runs mailbot as well does not answer it."""
    other = Facts(help_address="help@b.example", vocabulary=VOCABULARY)
    assert isinstance(recognise(read_message((await composed(database)).message), other), AutoReply)


# -- the words ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
async def test_it_goes_through_the_oldest_server_unchanged(database: Database, name: str) -> None:
    """7 bit, lines of at most 78, no bare line ends, whatever the shop is called."""
    shop = Shop(name, address("help@shop.example"), f"{name}, 1 Quay, Bristol")
    outgoing = await composed(
        database, "<wish@example.org>", letterhead=replace(LETTERHEAD, shop=shop)
    )
    assert outgoing.message.isascii()
    lines = outgoing.message.split(b"\r\n")
    assert max(map(len, lines)) <= 78
    assert not any(b"\n" in line or b"\r" in line for line in lines)
    message = read(outgoing)
    assert name in str(message["Subject"])
    assert f"no more offers from {name}." in str(message.get_content())
    assert str(message.get_content()).count(f"{name}, 1 Quay, Bristol") == 1


async def test_it_says_what_happens_in_plain_words(database: Database) -> None:
    """No more offers, from now on; order status goes on; how to come back, once."""
    message = read(await composed(database))
    text = " ".join(str(message.get_content()).split())
    assert (
        "as you asked, you get no more offers from Lindenhof Tea. This holds from now on." in text
    )
    assert "you will still get the mails about that order" in text
    assert "This answer came automatically." in text
    assert text.count("mailto:") == 1
    assert message.get_content_type() == "text/plain"
    assert len(text) < 1_000


async def test_it_wins_nobody_back(database: Database) -> None:
    """It is no offer: nothing to buy, to read, to look at, to regret."""
    text = str(read(await composed(database)).get_content()).lower()
    wooing = (
        r"sorry|sad|miss(?:ed|ing)?|discount|voucher|sale|special|exclusive|reconsider|stay|sure"
    )
    assert re.search(rf"\b(?:{wooing})\b|https?:|www\.|[!%€$£]", text) is None


# -- the way back -------------------------------------------------------------------------------


async def test_a_mail_client_gets_the_very_address_out_of_the_link(database: Database) -> None:
    """RFC 6068 §2 and §5: a plus may stand as it is, and only %HH is decoded."""
    [link] = links(read(await composed(database)))
    parts = urlsplit(link)
    to = unquote(parts.path)
    assert (parts.scheme, parse_qs(parts.query)) == ("mailto", {"subject": ["resubscribe"]})
    assert re.fullmatch(r"help\+r-[a-z2-7]{47}@shop\.example", to)
    assert "%" not in link, "some programs take the text of a link for the address"
    [token] = tokens_in([address(to)], "r")
    found = verify_undo(LETTERHEAD.token_keys, token)
    assert (found.person_hash, found.is_revoked) == (person(ANN).person_hash, False)


async def test_the_link_brings_back_and_a_program_that_loses_the_plus_does_nothing(
    database: Database,
) -> None:
    """`help r-TOKEN@…`, as a form decoder makes of it, is nobody's address."""
    [link] = links(read(await composed(database)))
    to = unquote(urlsplit(link).path)
    for recipient, name in ((to, "opt_in"), (to.replace("+", " "), "unrelated")):
        raw = f"From: {ANN}\nTo: {recipient}\nSubject: resubscribe\n\n".encode()
        assert recognise(read_message(raw), FACTS).name == name


async def test_the_token_stands_in_the_body_once_and_in_no_header(database: Database) -> None:
    """A robot answers to From, Reply-To or the envelope: none of them undoes anything."""
    outgoing = await composed(database, "<wish@example.org>")
    message = read(outgoing)
    assert "+r-" not in str(message.items())
    assert str(message.get_content()).count("help+r-") == 1
    assert b"help+u-" not in outgoing.message


# -- the wire -----------------------------------------------------------------------------------


async def test_it_goes_out_under_the_null_sender_to_her_alone(house: House) -> None:
    """RFC 3834 §3.3: it cannot bounce back, and no robot can answer the envelope."""
    queue(house.database, "<wish@example.org>")
    with ScriptedSmtp() as server:
        house.relay.port = server.port
        async with house.sending():
            await until(is_over(house.database))
    said = [line for line in server.heard if line.startswith(("MAIL", "RCPT"))]
    assert [line.split()[:2] for line in said] == [["MAIL", "FROM:<>"], ["RCPT", f"TO:<{ANN}>"]]
    [body] = server.bodies
    header, _, _ = body.partition(b"\r\n\r\n")
    assert b"\r\nAuto-Submitted: auto-replied\r\n" in header
    assert b"return-path:" not in header.lower()
