"""The legal clock: by when a request must have been acted on."""

from __future__ import annotations

from datetime import datetime, timedelta

# A request in review becomes an opt-out when nobody decided within a day: half of the 48 hours
# that Gmail's and Yahoo's sender rules allow, far below the ten business days of CAN-SPAM
# (16 CFR 316.4) and CASL (s. 11(3)).
REVIEW_WITHIN = timedelta(hours=24)

# Older mail is history: it is heard, but an acknowledgement would only surprise.
ACKNOWLEDGE_WITHIN = timedelta(hours=48)


def review_due_at(opened_at: datetime) -> datetime:
    """When an undecided review item becomes an opt-out: a day after we first saw the mail."""
    return opened_at + REVIEW_WITHIN


def is_worth_acknowledging(received_at: datetime, now: datetime) -> bool:
    """Whether a request is recent enough to be answered."""
    return now - received_at <= ACKNOWLEDGE_WITHIN
