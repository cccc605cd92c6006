"""When to try again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.backoff import (
    LONGEST_STEP_ASIDE,
    LONGEST_WAIT,
    next_after_trouble_at,
    next_attempt_at,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
jitters = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), jitters)
def test_the_wait_is_minutes_at_first_and_hours_at_most(attempts: int, jitter: float) -> None:
    waited = next_attempt_at(attempts, NOON, jitter) - NOON
    assert timedelta(minutes=3) < waited <= LONGEST_WAIT * 1.25


@given(st.integers(1, 50), jitters)
def test_more_failures_never_wait_less(attempts: int, jitter: float) -> None:
    assert next_attempt_at(attempts, NOON, jitter) <= next_attempt_at(attempts + 1, NOON, jitter)


def test_rows_that_failed_together_are_spread() -> None:
    assert next_attempt_at(3, NOON, 0.0) < next_attempt_at(3, NOON, 0.9)


def test_a_message_is_tried_about_twenty_times_in_three_days() -> None:
    at, tries = NOON, 0
    while at < NOON + timedelta(days=3):
        tries += 1
        at = next_attempt_at(tries, at, 0.5)
    assert 18 <= tries <= 28


@given(st.integers(1, 10_000), jitters)
def test_trouble_about_us_waits_less_than_what_a_recipient_said(
    attempts: int, jitter: float
) -> None:
    waited = next_after_trouble_at(attempts, NOON, jitter) - NOON
    assert timedelta(seconds=45) <= waited <= LONGEST_STEP_ASIDE * 1.25
    assert waited < next_attempt_at(attempts, NOON, jitter) - NOON


def test_trouble_that_goes_on_comes_back_ever_more_rarely() -> None:
    waits = [next_after_trouble_at(attempts, NOON, 0.5) - NOON for attempts in range(1, 8)]
    assert [wait // timedelta(minutes=1) for wait in waits] == [1, 2, 4, 8, 16, 30, 30]
