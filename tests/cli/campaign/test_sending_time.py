"""Times as people write them, and the two nights a year on which a clock is no good witness."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailbot.cli.campaign.sending_time import read_sending_time
from mailbot.core.errors import InputError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("2026-03-01 09:00", BERLIN, "2026-03-01 08:00"),
        ("2026-07-01T09:00:30", BERLIN, "2026-07-01 07:00"),
        ("2026-07-01 09:00", "UTC", "2026-07-01 09:00"),
        ("2026-07-01 09:00-04:00", None, "2026-07-01 13:00"),
        ("2026-07-01", "Asia/Kolkata", "2026-06-30 18:30"),
        ("2026-10-25 02:30+01:00", None, "2026-10-25 01:30"),
    ],
)
def test_a_time_and_its_zone_are_one_moment(text: str, zone: str | None, moment: str) -> None:
    assert f"{read_sending_time(text, zone, NOW):%Y-%m-%d %H:%M}" == moment


@pytest.mark.parametrize(
    ("text", "zone", "words"),
    [
        ("soon", BERLIN, "is no time"),
        ("2026-02-30 09:00", BERLIN, "is no time"),
        ("2026-03-01 09:00", None, "Add --zone"),
        ("2026-03-01 09:00", "Europe/Berlni", "Did you mean Europe/Berlin?"),
        ("2026-03-01 09:00", "Berlin", "Did you mean Europe/Berlin?"),
        ("2026-03-01 09:00", "../etc/passwd", "is no time zone"),
        ("2026-03-01 09:00+01:00", BERLIN, "Leave --zone out"),
        ("2025-12-31 23:00", "UTC", "is past"),
        ("2026-03-29 02:30", BERLIN, "Write 03:30 or 01:30"),
    ],
)
def test_what_is_no_time_to_come_is_told(text: str, zone: str | None, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_sending_time(text, zone, NOW)
    assert words in str(caught.value)


def test_a_time_that_comes_twice_is_asked_back_and_the_answers_are_told_apart() -> None:
    with pytest.raises(InputError, match="comes twice") as caught:
        read_sending_time("2026-10-25 02:30", BERLIN, NOW)
    first, second = caught.value.next_step.split('"')[1::2]
    moments = [read_sending_time(text, None, NOW) for text in (first, second)]
    assert [f"{moment:%H:%M}" for moment in moments] == ["00:30", "01:30"]
