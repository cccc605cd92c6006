"""When a mail was received, and what makes two mails one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mailbot.core.inbound_message import read_message
from mailbot.inbound.mail import identity_of, receipt
from tests.inbound.letters import letter

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_receipt_is_the_earlier_of_internaldate_and_first_sight() -> None:
    """A mailbox whose clock is ahead is not believed; one that tells no date neither."""
    assert receipt(NOON - HOUR, NOON) == NOON - HOUR
    assert receipt(NOON + HOUR, NOON) == NOON
    assert receipt(None, NOON) == NOON


def test_a_mail_with_a_message_id_is_one_wherever_and_whenever_it_stands() -> None:
    """Moved, copied, restored: INTERNALDATE may change, the mail does not."""
    mail = read_message(letter("unsubscribe", message_id="<one@example.net>"), is_whole=False)
    assert identity_of(mail, NOON) == identity_of(mail, NOON + HOUR) == identity_of(mail, None)


def test_mails_without_a_message_id_are_told_apart_by_their_arrival() -> None:
    """Some machines write neither Message-ID nor Date."""
    mail = read_message(letter("unsubscribe", message_id=""), is_whole=False)
    assert identity_of(mail, NOON) == identity_of(mail, NOON)
    assert identity_of(mail, NOON) != identity_of(mail, NOON + HOUR)
