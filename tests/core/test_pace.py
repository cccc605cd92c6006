"""A pace: so many an hour, evenly, and nothing made up for after a pause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbot.core.pace import Pace

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def sent(per_hour: int, seconds: list[float]) -> int:
    """How many go out where a claim comes at each of these seconds."""
    pace, total = Pace(per_hour), 0
    for second in seconds:
        now = NOON + timedelta(seconds=second)
        allowed = pace.allows(now)
        pace, total = Pace(per_hour, pace.took(allowed, now)), total + allowed
    return total


@pytest.mark.parametrize("per_hour", [1, 7, 3600, 90_000, 5_000_000])
def test_an_hour_of_claims_sends_what_an_hour_may(per_hour: int) -> None:
    steps = [0.9 * step for step in range(4000)]
    assert per_hour * 0.99 <= sent(per_hour, steps) <= per_hour + 1


def test_claims_that_come_late_lose_nothing() -> None:
    assert sent(7200, [1.3 * step for step in range(1000)]) >= 2 * 1.3 * 999


def test_after_a_pause_there_is_no_burst() -> None:
    before = sent(7200, [0.0, 1.0])
    assert sent(7200, [0.0, 1.0, 7200.0]) - before <= 5  # two seconds of it


def test_a_place_that_is_not_free_yet_waits() -> None:
    pace = Pace(60, NOON + timedelta(seconds=60))
    assert pace.allows(NOON + timedelta(seconds=59)) == 0
    assert pace.allows(NOON + timedelta(seconds=60)) == 1
