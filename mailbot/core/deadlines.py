"""The legal clock: by when a request must have been acted on, counted from its receipt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

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


# From receipt to the list, where nothing is in doubt: a poll, a slow server, and some more.
TARGET: Final = timedelta(minutes=5)
ALARM: Final = timedelta(hours=24)
PROVIDERS: Final = timedelta(hours=48)  # Gmail's and Yahoo's sender guidelines of 2024
BUSINESS_DAYS: Final = 10  # CAN-SPAM: 15 U.S.C. 7704(a)(4)(A), 16 CFR 316.4; CASL: s. 11(3)

IsBusinessDay = Callable[[date], bool]


@dataclass(frozen=True, slots=True)
class Deadline:
    """One end of time, and who set it."""

    name: str
    at: datetime


def deadlines(received_at: datetime, is_business_day: IsBusinessDay) -> tuple[Deadline, ...]:
    """Every deadline of a request, the first one first."""
    return (
        Deadline("our target", received_at + TARGET),
        Deadline("our alarm", received_at + ALARM),
        Deadline("Gmail and Yahoo", received_at + PROVIDERS),
        Deadline("CAN-SPAM and CASL", legally_due_at(received_at, is_business_day)),
    )


def next_deadline(
    received_at: datetime, now: datetime, is_business_day: IsBusinessDay
) -> Deadline | None:
    """The first that is still to come; None where all are past."""
    ends = deadlines(received_at, is_business_day)
    return next((end for end in sorted(ends, key=lambda end: end.at) if end.at > now), None)


def legally_due_at(received_at: datetime, is_business_day: IsBusinessDay) -> datetime:
    """The same hour on the tenth business day after the day of receipt (UTC).

    The law gives the whole of that day; the hour leaves room for the shop's own time zone.
    Raises ValueError for a calendar with no ten business days within a year.
    """
    day, left = received_at.date(), BUSINESS_DAYS
    for _ in range(366):
        day += timedelta(days=1)
        left -= is_business_day(day)
        if not left:
            return datetime.combine(day, received_at.timetz())
    raise ValueError("a calendar without business days")


def is_weekday(day: date) -> bool:
    """Monday to Friday: a business day where no country's holidays are known."""
    return day.weekday() < 5
