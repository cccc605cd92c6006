"""What `mailbot review --json` prints."""

from __future__ import annotations

from datetime import datetime

from mailbot.cli.review.screen import MOST_LINES, main_headers
from mailbot.cli.showing import printable
from mailbot.core.deadlines import IsBusinessDay, legally_due_at
from mailbot.core.errors import MailbotError
from mailbot.core.reading.first_lines import first_lines
from mailbot.inbound.review import Decided, Decider
from mailbot.inbound.review_mail import FoundMail, MissingMail
from mailbot.store.reviews import ReviewItem
from mailbot.store.tables import ReviewState


def item_as_json(
    item: ReviewItem, at: datetime, is_business_day: IsBusinessDay
) -> dict[str, object]:
    """Plain values; `due_in_seconds` is None where no end is set, or it is decided."""
    waits = item.state is ReviewState.OPEN and item.person is not None
    return {
        "id": item.id,
        "state": item.state,
        "address": item.address,
        "person_hash": item.person.person_hash if item.person else None,
        "rule": item.rule,
        "because": item.because,
        "account": item.place.account,
        "folder": item.place.folder,
        "uidvalidity": item.place.uidvalidity,
        "uid": item.place.uid,
        "received_at": item.counts_from,
        "legally_due_at": legally_due_at(item.counts_from, is_business_day),
        "opened_at": item.opened_at,
        "due_at": item.due_at if item.person else None,
        "due_in_seconds": int((item.due_at - at).total_seconds()) if waits else None,
        "decided_at": item.decided_at,
        "decided_by": item.decided_by,
    }


def mail_as_json(mail: FoundMail | MissingMail, failure: MailbotError | None) -> dict[str, object]:
    """`mail`, or None and `mail_missing_because`."""
    if isinstance(mail, MissingMail):
        because = str(failure) if failure else mail.because
        return {"mail": None, "mail_missing_because": because}
    text = first_lines(mail.message, MOST_LINES)
    return {
        "mail": {
            "folder": mail.folder,
            "was_moved": mail.was_moved,
            "headers": main_headers(mail.message),
            "first_lines": [printable(line) for line in text.lines],
            "has_more": text.has_more,
        },
        "mail_missing_because": None,
    }


def decided_as_json(decided: Decided, decider: Decider) -> dict[str, object]:
    """One object a decision."""
    item = decided.item
    return {
        "id": item.id,
        "is_done": True,
        "state": decided.state,
        "by": decider.by,
        "address": item.address,
        "person_hash": item.person.person_hash if item.person else None,
        "event": decided.sequence,
        "reasons": sorted(decided.reasons),
        "still_open": list(decided.also_held_by),
        "offers_withheld": decided.withheld,
    }
