"""No cell is a formula to a spreadsheet."""

from __future__ import annotations

import pytest

from mailbot.core.csv_cells import safe_cell, safe_row


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum(a1)", "\t=1", "\r=1"])
def test_what_a_spreadsheet_would_calculate_gets_an_apostrophe(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "ann@example.org", "a=b", "'quoted", " =1", "1-2"])
def test_everything_else_stays_as_it_is(text: str) -> None:
    assert safe_cell(text) == text


def test_a_row_is_made_of_words_and_nothing_is_empty() -> None:
    assert safe_row([7, None, "=x", -3]) == ["7", "", "'=x", "'-3"]
