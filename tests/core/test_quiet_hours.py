"""Quiet hours by the clock on the wall, also in the two nights that are longer or shorter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mailbot.core import quiet_hours
from mailbot.core.errors import InputError
from mailbot.core.quiet_hours import QuietHours

BERLIN = "Europe/Berlin"


def hours(text: str, zone: str = BERLIN) -> QuietHours:
    parsed = quiet_hours.parse(text, ZoneInfo(zone))
    assert parsed is not None
    return parsed


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2027-01-10 19:59:59", None),  # 20:59:59 in Berlin
        ("2027-01-10 20:00:00", "2027-01-11 07:00"),
        ("2027-01-11 06:59:59", "2027-01-11 07:00"),
        ("2027-01-11 07:00:00", None),
        ("2027-07-10 19:00:00", "2027-07-11 06:00"),  # summer time
        ("2027-03-28 00:30:00", "2027-03-28 06:00"),  # the night that is an hour shorter
        ("2027-10-30 23:00:00", "2027-10-31 07:00"),  # and the one that is longer
    ],
)
def test_the_night_ends_when_the_clock_there_says_so(moment: str, until: str | None) -> None:
    assert hours("21:00-08:00").until(at(moment)) == (at(until) if until else None)


def test_hours_within_one_day_leave_the_night_alone() -> None:
    noon = hours("12:00-13:30", "UTC")
    assert noon.until(at("2027-01-10 12:10")) == at("2027-01-10 13:30")
    assert noon.until(at("2027-01-10 23:00")) is None
    assert noon.next_at(at("2027-01-10 13:30")) == at("2027-01-11 12:00")


def test_an_end_that_does_not_exist_and_one_that_comes_twice_are_taken_late() -> None:
    night = hours("21:00-02:30")
    assert night.until(at("2027-03-28 00:15")) == at("2027-03-28 01:30")  # 03:30 there
    assert night.until(at("2027-10-31 00:15")) == at("2027-10-31 01:30")  # the second 02:30


def test_a_beginning_that_comes_twice_is_taken_early() -> None:
    assert hours("02:30-06:00").next_at(at("2027-10-30 22:00")) == at("2027-10-31 00:30")


def test_each_second_of_a_year_lies_before_the_next_beginning_or_in_the_quiet() -> None:
    """Hour by hour, over both changes of the clock."""
    night, moment = hours("21:00-08:00"), at("2027-01-01 00:00")
    for _ in range(366 * 24):
        until = night.until(moment)
        local = moment.astimezone(ZoneInfo(BERLIN)).hour
        assert (until is not None) is (local >= 21 or local < 8), moment
        assert night.next_at(moment) > moment
        moment += timedelta(hours=1)


def test_time_awake_leaves_the_quiet_out() -> None:
    night, enough = hours("21:00-08:00", "UTC"), timedelta(hours=2)
    since, until = at("2027-01-10 20:50"), at("2027-01-11 08:05")
    assert night.awake(since, until, enough=enough) == timedelta(minutes=15)
    assert night.awake(at("2020-01-01 09:00"), until, enough=enough) >= enough


@pytest.mark.parametrize("text", ["", "21-8", "25:00-08:00", "08:00-08:00", "21:00", "21:60-22:00"])
def test_what_is_no_span_of_hours_is_told(text: str) -> None:
    with pytest.raises(InputError) as caught:
        quiet_hours.written(text)
    assert "21:00-08:00" in caught.value.next_step


@pytest.mark.parametrize(
    ("text", "stored"),
    [(" 9:00 - 17:30", "09:00-17:30"), ("None", "none"), ("21:00–8:00", "21:00-08:00")],
)
def test_hours_are_stored_in_one_form(text: str, stored: str) -> None:
    assert quiet_hours.written(text) == stored
