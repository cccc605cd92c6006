"""The legal clock as `mailbot status` shows it: what waits, how fast it goes, what is due next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mailbot.cli.showing import counted, moment, span
from mailbot.config import Settings
from mailbot.config.business_days import business_days
from mailbot.core.deadlines import ALARM, Deadline, deadlines, next_deadline
from mailbot.store import answer_times
from mailbot.store.answer_times import AnswerTimes, OpenRequest
from mailbot.store.engine import Connection

WITHIN: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class LegalClock:
    """`next` is None where no request is open, or all its deadlines are past."""

    open: OpenRequest | None
    next: Deadline | None
    all: tuple[Deadline, ...]
    times: AnswerTimes
    country: str | None

    def as_json(self) -> dict[str, object]:
        """Plain values; times to the list in seconds."""
        times = self.times
        return {
            "oldest_open_request": None
            if self.open is None
            else {
                "review": self.open.review_id,
                "received_at": self.open.received_at,
                "deadlines": {one.name: one.at for one in self.all},
                "next_deadline": self.next.name if self.next else None,
            },
            "opt_outs_by_mail": {
                "days": WITHIN.days,
                "count": times.count,
                "seconds_median": times.median.total_seconds()
                if times.median is not None
                else None,
                "seconds_p99": times.p99.total_seconds() if times.p99 is not None else None,
                "history": times.history,
            },
            "holidays_of": self.country,
        }


def look_at_clock(conn: Connection, settings: Settings, at: datetime) -> LegalClock:
    """What the store says now."""
    is_business_day = business_days(settings)
    oldest = answer_times.oldest_open(conn)
    country = "-".join(filter(None, (settings.shop.country, settings.shop.subdivision)))
    return LegalClock(
        open=oldest,
        next=next_deadline(oldest.received_at, at, is_business_day) if oldest else None,
        all=deadlines(oldest.received_at, is_business_day) if oldest else (),
        times=answer_times.answer_times(conn, WITHIN),
        country=country or None,
    )


def needs(clock: LegalClock, at: datetime) -> list[str]:
    """What needs a person: a mail that waits past our alarm, and by when."""
    if clock.open is None or at < clock.open.received_at + ALARM:
        return []
    what = (
        f"review {clock.open.review_id} waits for {span(at - clock.open.received_at)}: "
        "it may be a request"
    )
    if clock.next is None:
        return [f"{what}, and every deadline is past"]
    left = span(clock.next.at - at)
    until = f"ends in {left}, at {moment(clock.next.at)} UTC"
    return [f"{what}; the time that {clock.next.name} give {until}"]


def lines(clock: LegalClock, at: datetime) -> list[str]:
    """The section of `mailbot status`, a sentence a line."""
    told = []
    if clock.open is None:
        told.append("No request waits.")
    else:
        age = span(at - clock.open.received_at)
        told.append(
            f"The oldest open request was received {age} ago (review {clock.open.review_id})."
        )
        if clock.next is not None:
            told.append(f"Next: {clock.next.name}, {moment(clock.next.at)} UTC.")
        days = f"with the holidays of {clock.country}" if clock.country else "Monday to Friday"
        told.append(
            f"Ten business days (CAN-SPAM, CASL; {days}) end {moment(clock.all[-1].at)} UTC."
        )
    told += _times(clock.times)
    return told


def _times(times: AnswerTimes) -> list[str]:
    if not times.count and not times.history:
        return [f"No opt-out by mail in the last {WITHIN.days} days."]
    told = []
    if times.median is not None and times.p99 is not None:
        told.append(
            f"{counted(times.count, 'opt-out')} by mail in {WITHIN.days} days, from receipt to the "
            f"list: half within {span(times.median)}, 99 of 100 within {span(times.p99)}."
        )
    if times.history:
        told.append(f"{times.history:,} more came before mailbot first read the mailbox.")
    return told
