"""`mailbot campaign status NAME --watch`: one look a second until the campaign has ended."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, sleep
from typing import Final

from rich.live import Live

from mailbot.cli.campaign import story
from mailbot.cli.campaign.watch_screen import as_line, as_screen
from mailbot.cli.showing import console, print_json_line
from mailbot.core.cells import in_cells
from mailbot.core.outbox_states import State
from mailbot.core.pace import NO_LIMITS, Limits
from mailbot.store import campaigns, paces, switches
from mailbot.store.campaign_figures import CampaignTally, Progress
from mailbot.store.campaigns import Campaign
from mailbot.store.engine import Database, now
from mailbot.store.tables import CampaignState

_EVERY: Final = 1.0  # seconds between two looks
_RATE_OVER: Final = 10.0  # seconds
_CANCELLING: Final = 5.0  # seconds without one more row cancelled: nobody does it now
_OVER: Final = frozenset({CampaignState.DONE, CampaignState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Seen:
    """One look. `rate` is messages settled a second lately, None where that is not known yet."""

    at: datetime
    campaign: Campaign
    progress: Progress
    is_marketing_stopped: bool
    rate: float | None
    still_for: float  # seconds since a number last moved
    limits: Limits = NO_LIMITS  # the strictest that hold for it
    next_place_at: datetime | None = None  # on its pace

    @property
    def is_over(self) -> bool:
        """Nothing more will change by itself."""
        is_waiting = self.progress.waiting and self.still_for < _CANCELLING  # to be cancelled
        return self.campaign.state in _OVER and not is_waiting

    @property
    def waiting(self) -> int:
        """Who is still to be written to, in the outbox or not there yet."""
        if self.campaign.state in _OVER:
            return 0
        progress = self.progress
        on_the_way = (progress.by_state.get(one, 0) for one in (State.CLAIMED, State.SENDING))
        return progress.unexpanded + progress.waiting + sum(on_the_way)

    @property
    def quiet_until(self) -> datetime | None:
        """When the quiet hours end that it waits for, or will."""
        return story.quiet_until(self.campaign, self.at)

    @property
    def waits_for_pace(self) -> bool:
        """No message may go right now."""
        return (
            self.campaign.state is CampaignState.SENDING
            and self.next_place_at is not None
            and self.next_place_at > self.at
        )

    @property
    def seconds_left(self) -> float | None:
        """At the present rate, or at its pace where that is slower; None where nothing moves."""
        if self.campaign.state is not CampaignState.SENDING or self.quiet_until is not None:
            return None
        pace = self.limits.per_hour / 3600 if self.limits.per_hour else None
        if self.rate:
            return self.waiting / (min(self.rate, pace) if pace else self.rate)
        return self.waiting / pace if pace and self.waits_for_pace else None

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        rate, left = self.rate, self.seconds_left
        return {
            "at": self.at,
            "name": self.campaign.name,
            "state": self.campaign.state,
            "because": self.campaign.because,
            "marketing_stopped": self.is_marketing_stopped,
            "audience": self.progress.audience,
            "expanded": self.progress.expanded,
            "waiting": self.waiting,
            "by_state": dict(self.progress.by_state),
            "withheld": in_cells(self.progress.withheld),
            "rate_per_second": None if rate is None else round(rate, 1),
            "seconds_left": None if left is None else round(left),
            "waits_until": self.quiet_until,
            "per_hour": self.limits.per_hour,
            "per_hour_and_domain": self.limits.per_hour_and_domain,
            "next_place_at": self.next_place_at if self.waits_for_pace else None,
        }


class Pace:
    """How fast it goes, from what the last looks saw."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()  # when, and how many were settled
        self._moved_at: float | None = None
        self._last: Progress | None = None

    def note(self, progress: Progress, at: float) -> None:
        """One look, `at` seconds of a clock that only goes forward."""
        if progress != self._last:
            self._last, self._moved_at = progress, at
        self._seen.append((at, progress.settled))
        while at - self._seen[0][0] > _RATE_OVER:
            self._seen.popleft()

    @property
    def rate(self) -> float | None:
        """Messages settled a second over the last ten; None before the second look."""
        (began, before), (at, settled) = self._seen[0], self._seen[-1]
        return max(0.0, (settled - before) / (at - began)) if at > began else None

    @property
    def still_for(self) -> float:
        """Seconds since a number last moved."""
        return self._seen[-1][0] - (self._moved_at or self._seen[-1][0])


def watch(database: Database, name: str, of_all: Limits, *, as_json: bool) -> None:
    """Show the campaign until it has ended, or Ctrl-C. `of_all` is the pace of the settings.

    Raises NotFoundError, StoreError.
    """
    looks = _looks(database, name, of_all)
    try:
        if as_json:
            for seen in looks:
                print_json_line(seen.as_json())
        elif sys.stdout.isatty():
            _show_live(looks)
        else:
            _print_changes(looks)
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            sys.stderr.write(f"\nThe watching ended; “{name}” is as it was.\n")


def _looks(database: Database, name: str, of_all: Limits) -> Iterator[Seen]:
    with database.read() as conn:
        tally = CampaignTally(campaigns.get(conn, name).id)
    pace = Pace()
    while True:
        began = monotonic()
        with database.read() as conn:
            campaign, progress = campaigns.get(conn, name), tally.look(conn)
            at, is_stopped = now(conn), switches.is_marketing_stopped(conn)
            place = paces.next_place(conn, _paced(campaign, of_all))
        pace.note(progress, began)
        seen = Seen(
            at, campaign, progress, is_stopped, pace.rate, pace.still_for,
            _strictest(campaign, of_all), place,
        )  # fmt: skip
        yield seen
        if seen.is_over:
            return
        sleep(max(0.0, began + _EVERY - monotonic()))


def _paced(campaign: Campaign, of_all: Limits) -> list[int]:
    """Whose places it takes."""
    both = ((paces.EVERYBODY, of_all.per_hour), (campaign.id, campaign.per_hour))
    return [scope for scope, per_hour in both if per_hour]


def _strictest(campaign: Campaign, of_all: Limits) -> Limits:
    def least(*several: int | None) -> int | None:
        return min((one for one in several if one), default=None)

    return Limits(
        least(of_all.per_hour, campaign.per_hour),
        least(of_all.per_hour_and_domain, campaign.per_hour_and_domain),
    )


def _show_live(looks: Iterator[Seen]) -> None:
    screen = console()
    with Live(console=screen, auto_refresh=False) as live:
        for seen in looks:
            live.update(as_screen(seen, screen.width), refresh=True)


def _print_changes(looks: Iterator[Seen]) -> None:
    told: tuple[object, ...] = ()
    for seen in looks:
        changing = (
            seen.campaign.state, seen.is_marketing_stopped, seen.progress, seen.quiet_until,
        )  # fmt: skip
        if changing != told:
            told = changing
            sys.stdout.write(as_line(seen) + "\n")
            sys.stdout.flush()
