"""When to try again."""

from __future__ import annotations

from datetime import datetime, timedelta

# The first retry soon (greylisting asks for minutes), then ever rarer: about 20 tries in 3 days.
FIRST_WAIT = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=4)

# A row whose sender the relay refused: about us, so soon again, and yet behind the other rows.
FIRST_STEP_ASIDE = timedelta(minutes=1)
LONGEST_STEP_ASIDE = timedelta(minutes=30)


def next_attempt_at(attempts: int, now: datetime, jitter: float) -> datetime:
    """When to try a message again after `attempts` (≥ 1) deferred ones.

    `jitter` in [0, 1) spreads rows that failed together: the wait is between 75 % and 125 % of
    5 minutes, doubled each time, at most 4 hours.
    """
    return now + wait(attempts, FIRST_WAIT, LONGEST_WAIT, jitter)


def next_after_trouble_at(attempts: int, now: datetime, jitter: float) -> datetime:
    """When a row goes again that met trouble about us, after `attempts` (≥ 1) before this one.

    1 minute, doubled each time, at most 30, ± 25 %. Without a wait it would stay the oldest row,
    and so ask for all the others each time the breaker lets one through.
    """
    return now + wait(attempts, FIRST_STEP_ASIDE, LONGEST_STEP_ASIDE, jitter)


def wait(failures: int, first: timedelta, longest: timedelta, jitter: float) -> timedelta:
    """Exponential back-off: `first` doubled with each failure, at most `longest`, ± 25 %."""
    doublings = min(max(failures, 1) - 1, 32)  # 2**32 of anything is past every limit here
    plain = min(first * 2**doublings, longest)
    seconds: float = plain.total_seconds() * (0.75 + 0.5 * jitter)
    return timedelta(seconds=seconds)
