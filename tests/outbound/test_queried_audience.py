"""What a letter shows of a database's values."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest

from mailbot.outbound.queried_audience import as_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), ("Zoë", "Zoë"), (7, "7"), (True, "true"), (Decimal("12.50"), "12.50"),
        (Decimal("1E+3"), "1000"), (2.0, "2"), (0.1, "0.1"), (date(2027, 3, 1), "2027-03-01"),
        (datetime(2027, 3, 1, 9, tzinfo=UTC), "2027-03-01 09:00:00+00:00"),
        (time(9, 5), "09:05:00"),
        (b"Zo\xc3\xab", "Zoë"), (["a", 1], '["a", 1]'), ({"ä": None}, '{"ä": null}'),
    ],
)  # fmt: skip
def test_values_become_text_as_people_write_them(value: object, text: str) -> None:
    assert as_text(value) == text
