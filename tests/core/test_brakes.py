"""When a campaign stops itself."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from mailbot.core.brakes import Trouble, braked, needed_to_go_on, relay_doubted_since
from tests.people import NOON

COMPLAINTS, UNDELIVERABLE = Trouble.COMPLAINTS, Trouble.UNDELIVERABLE


@pytest.mark.parametrize(
    ("trouble", "events", "sent", "stops"),
    [
        (COMPLAINTS, 2, 200, False),  # 1 %, and two people are not many
        (COMPLAINTS, 3, 199, False),
        (COMPLAINTS, 3, 200, True),
        (COMPLAINTS, 3, 1000, False),  # 0.3 % exactly
        (COMPLAINTS, 3, 999, True),
        (UNDELIVERABLE, 10, 200, False),  # 5 % exactly
        (UNDELIVERABLE, 11, 200, True),
        (UNDELIVERABLE, 9, 9, False),
        (UNDELIVERABLE, 10, 10, True),  # a relay that refuses everybody
        (UNDELIVERABLE, 10, 20, False),
        (UNDELIVERABLE, 10, 19, True),
        (COMPLAINTS, 0, 0, False),
    ],
)
def test_the_brake_holds_above_its_share(
    trouble: Trouble, events: int, sent: int, stops: bool
) -> None:
    assert (braked(trouble, events, sent) is not None) is stops


@pytest.mark.parametrize("trouble", Trouble)
@pytest.mark.parametrize("events", [3, 4, 10, 333, 10_000])
def test_so_many_sent_are_enough_to_go_on_and_one_less_is_not(
    trouble: Trouble, events: int
) -> None:
    enough = needed_to_go_on(trouble, events)
    assert braked(trouble, events, enough) is None
    assert braked(trouble, events, enough - 1) is not None or enough <= 200


def test_it_says_why_with_the_numbers() -> None:
    found = braked(UNDELIVERABLE, 12, 210)
    assert found is not None
    assert found.because == "12 of 210 cannot be delivered (5.7 %, at most 5 %)"


def minutes(*numbers: int) -> list[datetime]:
    """So many minutes after noon, newest first."""
    return [NOON + timedelta(minutes=number) for number in sorted(numbers, reverse=True)]


@pytest.mark.parametrize(
    ("refused", "taken", "since"),
    [
        (range(9), [], None),  # nine people may all be gone
        (range(10), [], 0),
        (range(10), range(1, 10), 0),  # nine were taken since
        (range(10), range(10), None),
        (range(10), range(-100, 0), 0),  # all of them before
        (range(0, 1000, 100), range(1000), None),  # one in a hundred
        (range(20), [], 10),  # the newest ten
        (range(10), range(50, 60), None),  # the relay was mended
    ],
)
def test_a_relay_is_doubted_at_ten_refusals_with_fewer_taken_since_the_first(
    refused: range, taken: range, since: int | None
) -> None:
    doubted = relay_doubted_since(minutes(*refused), minutes(*taken))
    assert doubted == (None if since is None else NOON + timedelta(minutes=since))
