"""How many offers may go out now: a pace without bursts, from one stored moment.

Each message takes the next place on a line of equal intervals. Places that passed unused are lost
but for two seconds' worth, which is what a look once a second may miss: after a pause, or a night,
nothing is made up for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

CATCHES_UP = timedelta(seconds=2)
HOLDS_UP = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Limits:
    """Messages an hour, to everybody and to each recipient domain; None is as fast as it goes."""

    per_hour: int | None = None
    per_hour_and_domain: int | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Pace:
    """At most so many messages an hour; `next_at` is the next free place, None before the first."""

    per_hour: int
    next_at: datetime | None = None

    @property
    def interval(self) -> timedelta:
        """Between two messages."""
        return timedelta(hours=1) / self.per_hour

    def allows(self, now: datetime) -> int:
        """How many messages may start at `now`."""
        first = self._first(now)
        return 0 if first > now else (now - first) // self.interval + 1

    def at_once(self) -> int:
        """How many may wait for a line: what a slow relay holds up goes out in one burst."""
        return max(1, HOLDS_UP // self.interval)

    def took(self, count: int, now: datetime) -> datetime:
        """The next free place once `count` messages have started at `now`."""
        return self._first(now) + self.interval * count

    def _first(self, now: datetime) -> datetime:
        return now if self.next_at is None else max(self.next_at, now - CATCHES_UP)
