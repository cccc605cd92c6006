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

from mailbot.cli.campaign.watch_screen import as_line, as_screen
from mailbot.cli.showing import console, print_json_line
from mailbot.core.cells import in_cells
from mailbot.core.outbox_states import State
from mailbot.store import campaigns, switches
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
    def seconds_left(self) -> float | None:
        """At the present rate; None where nothing moves."""
        if not self.rate or self.campaign.state is not CampaignState.SENDING:
            return None
        return self.waiting / self.rate

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


def watch(database: Database, name: str, *, as_json: bool) -> None:
    """Show the campaign until it has ended, or Ctrl-C. Raises NotFoundError, StoreError."""
    looks = _looks(database, name)
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


def _looks(database: Database, name: str) -> Iterator[Seen]:
    with database.read() as conn:
        tally = CampaignTally(campaigns.get(conn, name).id)
    pace = Pace()
    while True:
        began = monotonic()
        with database.read() as conn:
            campaign, progress = campaigns.get(conn, name), tally.look(conn)
            at, is_stopped = now(conn), switches.is_marketing_stopped(conn)
        pace.note(progress, began)
        seen = Seen(at, campaign, progress, is_stopped, pace.rate, pace.still_for)
        yield seen
        if seen.is_over:
            return
        sleep(max(0.0, began + _EVERY - monotonic()))


def _show_live(looks: Iterator[Seen]) -> None:
    screen = console()
    with Live(console=screen, auto_refresh=False) as live:
        for seen in looks:
            live.update(as_screen(seen, screen.width), refresh=True)


def _print_changes(looks: Iterator[Seen]) -> None:
    told: tuple[object, ...] = ()
    for seen in looks:
        changing = (seen.campaign.state, seen.is_marketing_stopped, seen.progress)
        if changing != told:
            told = changing
            sys.stdout.write(as_line(seen) + "\n")
            sys.stdout.flush()
