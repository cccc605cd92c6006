"""The hours in which no offer goes out, by the clock on the wall: "21:00-08:00" in Europe/Berlin.

Where a clock is put forward or back within them, the quiet lasts as long as either reading asks
for: a campaign that waits an hour more wakes nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from mailbot.core.errors import InputError

NO_QUIET_HOURS = "none"

_WRITTEN = re.compile(r"\s*(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})\s*")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Each day from `begins` to `ends`, the end not included, as clocks in `zone` show it."""

    begins: time
    ends: time
    zone: tzinfo

    def until(self, moment: datetime) -> datetime | None:
        """When the quiet hours end that `moment` lies in, in UTC; None where it lies in none."""
        for start, end in self._around(moment):
            if start <= moment < end:
                return end
        return None

    def next_at(self, moment: datetime) -> datetime:
        """When the next quiet hours begin after `moment`, in UTC."""
        return min(start for start, _ in self._around(moment) if start > moment)

    def awake(self, since: datetime, until: datetime, *, enough: timedelta) -> timedelta:
        """How much of the time between lies outside quiet hours; not counted on from `enough`."""
        total, at = timedelta(0), since
        while at < until and total < enough:
            quiet_until = self.until(at)
            if quiet_until is not None:
                at = quiet_until
                continue
            pause_at = min(self.next_at(at), until)
            total += pause_at - at
            at = pause_at
        return total

    def _around(self, moment: datetime) -> list[tuple[datetime, datetime]]:
        today = moment.astimezone(self.zone).date()
        return [self._of(today + _DAY * days) for days in (-1, 0, 1, 2)]

    def _of(self, day: date) -> tuple[datetime, datetime]:
        """The quiet hours that begin on `day`, in UTC."""
        last = day if self.ends > self.begins else day + _DAY
        begins = [self._in_utc(day, self.begins, fold) for fold in (0, 1)]
        ends = [self._in_utc(last, self.ends, fold) for fold in (0, 1)]
        return min(begins), max(ends)

    def _in_utc(self, day: date, at: time, fold: int) -> datetime:
        return datetime.combine(day, at.replace(fold=fold), self.zone).astimezone(UTC)


def written(text: str) -> str:
    """Quiet hours as they are stored: "21:00-08:00", or NO_QUIET_HOURS. Raises InputError."""
    if text.strip().lower() == NO_QUIET_HOURS:
        return NO_QUIET_HOURS
    begins, ends = _times(text)
    return f"{begins:%H:%M}-{ends:%H:%M}"


def parse(text: str, zone: tzinfo) -> QuietHours | None:
    """The quiet hours of "21:00-08:00"; None for NO_QUIET_HOURS. Raises InputError."""
    if text.strip().lower() == NO_QUIET_HOURS:
        return None
    return QuietHours(*_times(text), zone)


def _times(text: str) -> tuple[time, time]:
    found = _WRITTEN.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        first, first_minute, last, last_minute = map(int, found.groups())
        begins, ends = time(first, first_minute), time(last, last_minute)
    except ValueError as error:
        raise InputError(
            f"{text[:40]!r} is no span of hours.",
            next_step='Write it like "21:00-08:00", or "none".',
        ) from error
    if begins == ends:
        raise InputError(
            f"{text[:40]!r} would be quiet all day: nothing would ever be sent.",
            next_step='Write when the quiet begins and when it ends, like "21:00-08:00".',
        )
    return begins, ends
