"""A time as a person writes it, "2027-03-01 09:00" and "Europe/Berlin": the moment that is meant.

Twice a year a clock shows a time that does not exist, or one that comes twice: both are asked back.
"""

from __future__ import annotations

import difflib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from mailbot.config import Settings
from mailbot.core import quiet_hours
from mailbot.core.errors import InputError
from mailbot.store.campaigns import SendingPlan

_EXAMPLE = 'Write it like --at "2027-03-01 09:00" --zone Europe/Berlin.'


def read_sending_time(text: str, zone_name: str | None, now: datetime) -> datetime:
    """The moment in UTC. Raises InputError: unreadable, past, without zone, skipped or doubled."""
    try:
        written = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(f"“{text}” is no time.", where="--at", next_step=_EXAMPLE) from error
    if written.tzinfo is None:
        if zone_name is None:
            what = f"“{text}” is another moment in each time zone."
            raise InputError(what, where="--at", next_step="Add --zone, like --zone Europe/Berlin.")
        moment = _in_zone(written, _zone(zone_name))
    elif zone_name is not None:
        what = "the time names its offset from UTC already."
        raise InputError(what, where="--zone", next_step="Leave --zone out.")
    else:
        moment = written.astimezone(UTC)
    if moment < now - timedelta(seconds=1):
        raise InputError(
            f"{moment:%Y-%m-%d %H:%M} UTC is past; it is {now:%Y-%m-%d %H:%M} UTC now.",
            where="--at",
            next_step="Write a time to come, or --now.",
        )
    return moment


def read_plan(
    settings: Settings,
    quiet: str | None,
    zone_name: str | None,
    per_hour: int | None,
    per_hour_and_domain: int | None,
) -> SendingPlan:
    """How a campaign is sent, the hours of the settings where none are said. Raises InputError."""
    zone = _zone(zone_name).key if zone_name is not None else settings.campaigns.zone
    try:
        hours = settings.campaigns.quiet_hours if quiet is None else quiet_hours.written(quiet)
    except InputError as error:
        raise InputError(error.what, where="--quiet", next_step=error.next_step) from error
    return SendingPlan(hours, zone, per_hour, per_hour_and_domain)


def _zone(name: str) -> ZoneInfo:
    known = available_timezones()
    if name in known:
        return ZoneInfo(name)
    folded = {zone.casefold(): zone for zone in known}
    cities = {zone.rpartition("/")[2].casefold(): zone for zone in sorted(known)}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.7)
    guess = cities.get(name.casefold().replace(" ", "_")) or (folded[near[0]] if near else "")
    if not known:
        advice = "This machine knows no time zones: install the package tzdata, or write an offset."
    else:
        advice = f"Did you mean {guess}?" if guess else "Write one like Europe/Berlin or UTC."
    raise InputError(f"“{name}” is no time zone.", where="--zone", next_step=advice)


def _in_zone(written: datetime, zone: ZoneInfo) -> datetime:
    early = written.replace(tzinfo=zone, fold=0)
    late = written.replace(tzinfo=zone, fold=1)
    first, second = early.astimezone(UTC), late.astimezone(UTC)
    if first == second:
        return first
    if first > second:  # PEP 495: in a gap the later reading is the earlier moment
        raise InputError(
            f"{written:%H:%M} does not exist on {written:%Y-%m-%d} in {zone.key}: the clocks are "
            "put forward then.",
            where="--at",
            next_step=f"Write {first.astimezone(zone):%H:%M} or {second.astimezone(zone):%H:%M}.",
        )
    raise InputError(
        f"{written:%H:%M} comes twice on {written:%Y-%m-%d} in {zone.key}: the clocks are put back "
        "then.",
        where="--at",
        next_step=f'Say which without --zone: --at "{early.isoformat(" ", "minutes")}" for the '
        f'first, --at "{late.isoformat(" ", "minutes")}" for the second.',
    )
