"""Counts that name nobody."""

from __future__ import annotations

from mailbot.core.cells import in_cells
from mailbot.core.consent import Reason


def test_large_cells_are_shown_and_small_ones_together() -> None:
    counts = {Reason.HELD: 4, Reason.OPT_OUT: 5, Reason.COMPLAINT: 1, Reason.IMPORTED: 900}
    assert in_cells(counts) == {"imported": 900, "opt_out": 5, "fewer_than_5_each": 5}
    assert list(in_cells(counts)) == ["imported", "opt_out", "fewer_than_5_each"]


def test_one_person_is_counted_and_the_reason_is_not_told() -> None:
    assert in_cells({Reason.COMPLAINT: 1}) == {"fewer_than_5_each": 1}


def test_nobody_is_no_cell() -> None:
    assert in_cells({}) == {}
    assert in_cells({Reason.OPT_OUT: 0}) == {}
