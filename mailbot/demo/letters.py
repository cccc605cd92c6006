"""The dozen mails that customers (and their robots) write to help@, as raw bytes.

Each stands beside what it should come to, so that the demo can check itself: `verdict` is
recognition's name for it. Who answers a campaign answers the very message the relay brought.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.header import Header
from email.utils import format_datetime, formataddr

from mailbot.demo import cast
from mailbot.demo.cast import Customer


@dataclass(frozen=True, slots=True)
class Received:
    """The campaign mail a customer answers to, as the relay delivered it."""

    subject: str
    message_id: str
    return_path: str
    unsubscribe_address: str


NO_OFFER = Received("", "", "", "")


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail to help@: who writes, how it should be understood, and how to write it.

    `write(now, received)` gives the bytes; `received` is the offer that this customer got, or
    NO_OFFER. `age` is how long before the demo it arrived, `flags` what a colleague has marked it
    with since.
    """

    writer: Customer
    verdict: str
    write: Callable[[datetime, Received], bytes]
    age: timedelta = timedelta(0)
    flags: str = ""


def _mail(
    writer: Customer,
    now: datetime,
    subject: str,
    *body: str,
    to: str = cast.HELP,
    headers: tuple[str, ...] = (),
) -> bytes:
    """What a mail program sends; `subject` is the header's raw text, `headers` are whole lines."""
    domain = writer.address.rpartition("@")[2]
    lines = (
        f"Return-Path: <{writer.address}>",
        f"Date: {format_datetime(now)}",
        f"From: {formataddr((writer.name, writer.address))}",
        f"To: {to}",
        f"Message-ID: <{now:%Y%m%d%H%M%S%f}@{domain}>",
        f"Subject: {subject}",
        *headers,
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        *body,
        "",
    )
    return "\r\n".join(lines).encode()


def _answering(received: Received) -> tuple[str, ...]:
    return (f"In-Reply-To: {received.message_id}", f"References: {received.message_id}")


def _anna(now: datetime, _: Received) -> bytes:
    shouted = Customer(cast.ANNA.name, "Anna.Berger@Mailbox.EXAMPLE")
    return _mail(shouted, now, "unsubscribe")


def _tom(now: datetime, _: Received) -> bytes:
    return _mail(cast.TOM, now, "Please UNSUBSCRIBE me, thanks", "Nothing personal!", "Tom")


def _zoe(now: datetime, _: Received) -> bytes:
    subject = Header("Unsubscribe svp, désolée ☕", "utf-8").encode()
    return _mail(cast.ZOE, now, subject, "Merci d'avance,", "Zoë")


def _peter(now: datetime, _: Received) -> bytes:
    return _mail(cast.PETER, now, "Unsubscribe", "No more newsletters, please. P. Novak")


def _marta(now: datetime, _: Received) -> bytes:
    return _mail(
        cast.MARTA, now, "Where is my order 1047?", "Hello, I ordered last Monday.", "Marta"
    )


def _luca(now: datetime, _: Received) -> bytes:
    return _mail(
        cast.LUCA, now, "Wholesale prices for 40 rooms", "Do you deliver to hotels?", "Luca Ferri"
    )


def _priya(now: datetime, _: Received) -> bytes:
    return _mail(
        cast.PRIYA, now, "How do I subscribe to your newsletter?", "I loved the Assam.", "Priya"
    )


def _oskar(now: datetime, _: Received) -> bytes:
    return _mail(
        cast.OSKAR, now, "Broken tin", "The Darjeeling arrived all over the parcel.", "Oskar"
    )


def _jonas(now: datetime, received: Received) -> bytes:
    return _mail(
        cast.JONAS,
        now,
        f"Re: {received.subject} - unsubscribe",
        "Too many mails for me. Greetings, Jonas",
        headers=_answering(received),
    )


def _ines(now: datetime, received: Received) -> bytes:
    """Some mail programs' unsubscribe button: to the token address, with an empty subject."""
    return _mail(cast.INES, now, "", to=received.unsubscribe_address)


def _henrik(now: datetime, received: Received) -> bytes:
    return _mail(
        cast.HENRIK,
        now,
        f"Out of office: {received.subject} (to unsubscribe, see below)",
        "I am back on Monday. This is an automatic answer.",
        headers=("Auto-Submitted: auto-replied", *_answering(received)),
    )


def _margaret(now: datetime, received: Received) -> bytes:
    """The report of a mail server whose user has gone (RFC 3464)."""
    domain = cast.MARGARET.address.rpartition("@")[2]
    lines = (
        "Return-Path: <>",
        f"Date: {format_datetime(now)}",
        f"From: Mail Delivery System <MAILER-DAEMON@{domain}>",
        f"To: {received.return_path}",
        f"Message-ID: <{now:%Y%m%d%H%M%S%f}@{domain}>",
        "Subject: Undelivered Mail Returned to Sender",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=report",
        "",
        "--report",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        f"I could not deliver your message to {cast.MARGARET.address}: no such user.",
        "",
        "--report",
        "Content-Type: message/delivery-status",
        "",
        f"Reporting-MTA: dns; mx.{domain}",
        "",
        f"Final-Recipient: rfc822; {cast.MARGARET.address}",
        "Action: failed",
        "Status: 5.1.1",
        f"Diagnostic-Code: smtp; 550 5.1.1 <{cast.MARGARET.address}>: no such user",
        "",
        "--report",
        "Content-Type: text/rfc822-headers",
        "",
        f"From: {cast.SHOP_NAME} <{cast.OFFERS}>",
        f"To: {cast.MARGARET.address}",
        f"Subject: {received.subject}",
        f"Message-ID: {received.message_id}",
        "",
        "--report--",
        "",
    )
    return "\r\n".join(lines).encode()


# Stood in help@ before mailbot was switched on, and a colleague has read it: it still counts.
EARLIER = (
    Letter(cast.PETER, "opt_out", _peter, age=timedelta(days=6), flags="(\\Seen)"),
)  # fmt: skip
MORNING = (
    Letter(cast.ANNA, "opt_out", _anna),
    Letter(cast.MARTA, "unrelated", _marta),
    Letter(cast.TOM, "opt_out", _tom),
    Letter(cast.LUCA, "unrelated", _luca),
    Letter(cast.ZOE, "opt_out", _zoe),
    Letter(cast.PRIYA, "unrelated", _priya),
)
ANSWERS = (
    Letter(cast.HENRIK, "auto_reply", _henrik),
    Letter(cast.JONAS, "opt_out", _jonas),
    Letter(cast.MARGARET, "bounce", _margaret),
    Letter(cast.INES, "opt_out", _ines),
    Letter(cast.OSKAR, "unrelated", _oskar),
)
