"""Mails to help@ for the tests of this folder, as raw bytes."""

from __future__ import annotations

from itertools import count

from mailbot.core.address import parse_address
from mailbot.core.person import Person, PersonKey
from mailbot.core.tokens import TokenKey, TokenKeys
from mailbot.data import load_vocabulary
from mailbot.inbound.shop import Shop

PERSON_KEY = PersonKey(bytes(range(32)))
TOKEN_KEYS = TokenKeys((TokenKey(1, bytes(range(32, 64))),))
HELP = "help@shop.example"
SHOP = Shop(
    help_address=parse_address(HELP),
    own_domains=frozenset({"shop.example"}),
    policy_version="7",
    person_key=PERSON_KEY,
    token_keys=TOKEN_KEYS,
    acknowledge_every_days=30,
    vocabulary=load_vocabulary(),
)

_numbers = count(1)


def letter(
    subject: str,
    who: str = "Ann <ann@example.net>",
    *headers: str,
    to: str = HELP,
    body: str = "Thank you.",
    message_id: str | None = None,
) -> bytes:
    """What a customer writes; its Message-ID is new unless given ("" leaves it out)."""
    if message_id is None:
        message_id = f"<{next(_numbers)}@example.net>"
    lines = [
        f"From: {who}",
        f"To: {to}",
        f"Subject: {subject}",
        "Date: Mon, 23 Nov 2026 08:00:00 +0000",
        *([f"Message-ID: {message_id}"] if message_id else []),
        *headers,
        "",
        body,
        "",
    ]
    return "\n".join(lines).encode()


def person(address: str = "ann@example.net") -> Person:
    """Whom the list knows by this address."""
    return PERSON_KEY.identify(parse_address(address))


def delivery_report(returned_message_id: str, *, recipient: str, return_path: str = HELP) -> bytes:
    """A standard report (RFC 3464): the mailbox does not exist."""
    return f"""\
From: MAILER-DAEMON@mx.example.org
To: {return_path}
Subject: Undelivered Mail Returned to Sender
Date: Mon, 23 Nov 2026 08:00:00 +0000
Message-ID: <{next(_numbers)}@mx.example.org>
Return-Path: <>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=B

--B
Content-Type: text/plain

Your offer with the word unsubscribe could not be delivered.

--B
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--B
Content-Type: text/rfc822-headers

Message-ID: {returned_message_id}
Subject: Spring offers

--B--
""".encode()


def spam_report(returned_message_id: str, *, recipient: str) -> bytes:
    """A feedback report (RFC 5965) of a provider whose customer pressed "this is spam"."""
    return f"""\
From: feedback@provider.example
To: {HELP}
Subject: Abuse report: unsubscribe
Date: Mon, 23 Nov 2026 08:00:00 +0000
Message-ID: <{next(_numbers)}@provider.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=B

--B
Content-Type: text/plain

This is an abuse report.

--B
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Provider/1.0
Version: 1
Original-Rcpt-To: {recipient}

--B
Content-Type: message/rfc822

From: offers@shop.example
Message-ID: {returned_message_id}
Subject: Spring offers

Tea.

--B--
""".encode()
