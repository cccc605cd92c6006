"""What `campaign status` says of a campaign beside its numbers: what it waits for, who did what."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from mailbot.cli.showing import console, moment, printable, table, words
from mailbot.core.brakes import Trouble
from mailbot.core.cells import in_cells
from mailbot.core.errors import InputError
from mailbot.store import campaign_hours
from mailbot.store.campaign_changes import CampaignChange
from mailbot.store.campaign_tests import CampaignTest
from mailbot.store.campaigns import Campaign
from mailbot.store.tables import CampaignState

_GOES_OUT: Final = frozenset({CampaignState.SCHEDULED, CampaignState.SENDING})


def needs(campaign: Campaign) -> str | None:
    """What it asks of a person, in a sentence; None where it asks nothing."""
    if campaign.state is not CampaignState.PAUSED or campaign.hold is None:
        return None
    name = shlex.quote(campaign.name)
    option = " --despite-brake" if campaign.hold in set(Trouble) else ""
    return (
        f"“{campaign.name}” waits for an answer: {campaign.because}. Go on: mailbot campaign "
        f"resume {name}{option}; or end it: mailbot campaign cancel {name}"
    )


def quiet_until(campaign: Campaign, at: datetime) -> datetime | None:
    """When the quiet hours end that it waits for at that time."""
    if campaign.state not in _GOES_OUT:
        return None
    if campaign.send_at is not None:
        at = max(at, campaign.send_at)
    try:
        return campaign.quiet_until(at)
    except InputError:
        return None  # a tick pauses it, and says so


def told(campaign: Campaign, at: datetime) -> Iterator[str]:
    """When and how fast it goes out."""
    until = quiet_until(campaign, at)
    if until is not None:
        waits = "It waits" if campaign.state is CampaignState.SENDING else "It will wait"
        yield f"{waits} for its quiet hours to end: {in_zone(until, campaign.zone)}"
    if campaign_hours.are_set(campaign.quiet_hours):
        yield f"Quiet hours: {campaign.quiet_hours} ({campaign.zone})"
    paces = []
    if campaign.per_hour:
        paces.append(f"at most {campaign.per_hour:,} an hour")
    if campaign.per_hour_and_domain:
        paces.append(f"at most {campaign.per_hour_and_domain:,} an hour to each domain")
    if paces:
        yield f"Pace: {', '.join(paces)}"
    against = _against(campaign)
    if against:
        since = f" since {moment(campaign.counted_from)} UTC" if campaign.counted_from else ""
        counted = ", ".join(f"{count:,} {words(name)}" for name, count in against.items())
        yield f"Against it{since}: {counted}"
    asks = needs(campaign)
    if asks is not None:
        yield asks


def _against(campaign: Campaign) -> dict[str, int]:
    counts = {
        Trouble.COMPLAINTS: campaign.complaints,
        Trouble.UNDELIVERABLE: campaign.undeliverable,
    }
    return in_cells({trouble: count for trouble, count in counts.items() if count})


def in_zone(at: datetime, zone: str | None) -> str:
    """A moment by a clock there, and in UTC."""
    if zone is None or zone == "UTC":
        return f"{moment(at)} UTC"
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone} ({moment(at)} UTC)"


def show_history(changes: list[CampaignChange], tests: list[CampaignTest]) -> None:
    """Who changed its state or sent it to the team, and when."""
    lines = [(change.at, change.by, str(change.state), change.because or "–") for change in changes]
    lines += [
        (test.at, test.by, "test mail", f"to the team: {test.sent} of {test.recipients} sent")
        for test in tests
    ]
    if not lines:
        return
    shown = table("When (UTC)", "Who", "What", "Because", wide="Because")
    for at, by, what, because in sorted(lines, key=lambda line: line[0]):
        shown.add_row(f"{at:%Y-%m-%d %H:%M:%S}", printable(by), what, printable(because))
    screen = console()
    screen.print()
    screen.print(shown)


def as_json(campaign: Campaign, at: datetime) -> Mapping[str, object]:
    """Plain values."""
    return {
        "zone": campaign.zone,
        "quiet_hours": campaign.quiet_hours,
        "waits_until": quiet_until(campaign, at),
        "per_hour": campaign.per_hour,
        "per_hour_and_domain": campaign.per_hour_and_domain,
        "against_it": _against(campaign),
        "counted_from": campaign.counted_from,
        "hold": campaign.hold,
        "needs_a_person": needs(campaign),
    }


def history_as_json(
    events: Sequence[CampaignChange] | Sequence[CampaignTest],
) -> list[Mapping[str, object]]:
    """Plain values, oldest first."""
    return [asdict(event) for event in events]
