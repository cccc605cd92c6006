"""One mail of a watched folder on its way through intake."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from mailbot.core.inbound_message import InboundMessage
from mailbot.store.reviews import Place


@dataclass(frozen=True, slots=True)
class Mail:
    """`received_at` is the earlier of INTERNALDATE and first sight, never the Date header.

    `is_news` is False for history found by a folder's first scan, and for junk: both are heard,
    and not acknowledged.
    """

    place: Place
    message: InboundMessage
    identity: str
    received_at: datetime
    first_seen_at: datetime
    is_news: bool


def identity_of(
    message: InboundMessage, internal_date: datetime | None, *, is_opt_out: bool = False
) -> str:
    """64 hex digits, the same for a mail in every folder and under every UIDVALIDITY.

    The digest of From, Date, Subject and Message-ID. Two mails without a Message-ID could share
    it, so theirs covers INTERNALDATE as well: a second wish must not pass for a replay. Nor must
    a colleague's, who drags (`is_opt_out`) a mail that was heard before its sender came back.
    """
    if message.message_id and not is_opt_out:
        return message.digest
    when = internal_date.isoformat() if internal_date and not message.message_id else ""
    text = f"{message.digest} {when}{' by staff' if is_opt_out else ''}"
    return hashlib.sha256(text.encode()).hexdigest()


def receipt(internal_date: datetime | None, first_seen_at: datetime) -> datetime:
    """When a wish reached the shop (UTC): an INTERNALDATE in the future is not believed."""
    return min(internal_date, first_seen_at) if internal_date else first_seen_at
