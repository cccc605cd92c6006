"""A campaign's hours as they are stored, and what keeps it from starting or going on at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mailbot.core import quiet_hours
from mailbot.core.errors import InputError
from mailbot.core.quiet_hours import QuietHours

LATE: Final = "late"
UNKNOWN_ZONE: Final = "unknown_zone"
LATE_AFTER: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a campaign is paused and asks: in one word, and in a sentence for a person."""

    hold: str
    because: str


def are_set(hours: str | None) -> bool:
    """Whether there are any."""
    return hours is not None and hours != quiet_hours.NO_QUIET_HOURS


def of(hours: str | None, zone: str | None) -> QuietHours | None:
    """The quiet hours, None where there are none. Raises InputError: this machine has no zones."""
    if hours is None or not are_set(hours):
        return None
    try:
        return quiet_hours.parse(hours, ZoneInfo(zone or "UTC"))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(
            f"the time zone {zone} is not known on this machine.",
            next_step="Install the package tzdata.",
        ) from error


def open_until(hours: str | None, zone: str | None, at: datetime) -> datetime | None:
    """From when on no offer goes out: `at` itself within quiet hours; None is never.

    Where the zone is not known nothing goes out either.
    """
    try:
        quiet = of(hours, zone)
    except InputError:
        return at
    if quiet is None:
        return None
    return at if quiet.until(at) else quiet.next_at(at)


def fault(
    hours: str | None, zone: str | None, since: datetime | None, at: datetime
) -> Fault | None:
    """Whether a campaign that was to be under way `since` then needs a person's word at `at`.

    Quiet hours in between do not count.
    """
    try:
        quiet = of(hours, zone)
    except InputError as error:
        return Fault(UNKNOWN_ZONE, str(error))
    if since is None or at - since <= LATE_AFTER:
        return None
    missed = at - since
    if quiet is not None and quiet.awake(since, at, enough=LATE_AFTER * 2) <= LATE_AFTER:
        return None
    return Fault(
        LATE,
        f"nobody sent it since {since:%Y-%m-%d %H:%M} UTC, {_span(missed)} ago: is it still right?",
    )


def _span(length: timedelta) -> str:
    hours = int(length.total_seconds()) // 3600
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
