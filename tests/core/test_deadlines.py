"""By when a request has to be acted on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from mailbot.core.deadlines import deadlines, is_weekday, legally_due_at, next_deadline


def without(*holidays: str) -> Callable[[date], bool]:
    days = {date.fromisoformat(day) for day in holidays}
    return lambda day: is_weekday(day) and day not in days


THANKSGIVING = without("2026-11-26")  # and Friday is a business day
CHRISTMAS_IN_GERMANY = without("2026-12-25", "2027-01-01")  # the 26th is a Saturday
QUEBEC = without("2026-06-24", "2026-07-01")


@pytest.mark.parametrize(
    ("received", "calendar", "due"),
    [
        ("2026-03-02", is_weekday, "2026-03-16"),  # a Monday: two weeks
        ("2026-03-06", is_weekday, "2026-03-20"),  # a Friday
        ("2026-03-07", is_weekday, "2026-03-20"),  # a Saturday counts from Monday on
        ("2026-03-08", is_weekday, "2026-03-20"),
        ("2026-11-20", is_weekday, "2026-12-04"),
        ("2026-11-20", THANKSGIVING, "2026-12-07"),
        ("2026-11-26", THANKSGIVING, "2026-12-10"),  # received on the holiday itself
        ("2026-12-18", CHRISTMAS_IN_GERMANY, "2027-01-05"),
        ("2026-06-19", QUEBEC, "2026-07-07"),
    ],
)
def test_ten_business_days_begin_after_the_day_of_receipt(
    received: str, calendar: Callable[[date], bool], due: str
) -> None:
    at = datetime.fromisoformat(f"{received}T15:30:00+00:00")
    assert legally_due_at(at, calendar) == datetime.fromisoformat(f"{due}T15:30:00+00:00")


def test_a_holiday_never_brings_the_end_nearer() -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    for day in range(60):
        at = start + timedelta(days=day)
        assert legally_due_at(at, THANKSGIVING) >= legally_due_at(at, is_weekday)


def test_the_deadlines_come_in_their_order() -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    ends = [(one.name, one.at - at) for one in deadlines(at, is_weekday)]
    assert ends == [
        ("our target", timedelta(minutes=5)),
        ("our alarm", timedelta(hours=24)),
        ("Gmail and Yahoo", timedelta(hours=48)),
        ("CAN-SPAM and CASL", timedelta(days=14)),
    ]


@pytest.mark.parametrize(
    ("after", "name"),
    [
        (timedelta(0), "our target"),
        (timedelta(minutes=5), "our alarm"),
        (timedelta(hours=24), "Gmail and Yahoo"),
        (timedelta(hours=47), "Gmail and Yahoo"),
        (timedelta(hours=48), "CAN-SPAM and CASL"),
        (timedelta(days=14), None),
    ],
)
def test_the_next_deadline_is_the_first_to_come(after: timedelta, name: str | None) -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    found = next_deadline(at, at + after, is_weekday)
    assert (found.name if found else None) == name


def test_a_calendar_without_business_days_ends() -> None:
    with pytest.raises(ValueError, match="business"):
        legally_due_at(datetime(2026, 3, 2, tzinfo=UTC), lambda day: False)
