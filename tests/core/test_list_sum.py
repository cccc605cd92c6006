"""The sum goes by what stands on the list, not by how it came there."""

from __future__ import annotations

import pytest

from mailbot.core.list_sum import ListSum, SummedEntry

ANN: SummedEntry = ("a" * 32, "opt_out", "a" * 32, 1)
BOB: SummedEntry = ("b" * 32, "imported", "c" * 32, 2)


def test_order_does_not_matter_and_what_comes_and_goes_leaves_no_trace() -> None:
    both = ListSum().changed(gone=(), come=[ANN, BOB])
    assert both == ListSum().changed((), [BOB]).changed((), [ANN])
    assert both.changed([BOB], ()) == ListSum().changed((), [ANN])
    assert both.changed([ANN, BOB], ()) == ListSum()
    assert ListSum().changed([ANN], [BOB]).changed((), [ANN]) == ListSum().changed((), [BOB])


@pytest.mark.parametrize(
    "other",
    [
        ("d" * 32, "opt_out", "a" * 32, 1),
        ("a" * 32, "held", "a" * 32, 1),
        ("a" * 32, "opt_out", "d" * 32, 1),
        ("a" * 32, "opt_out", "a" * 32, 7),
    ],
)
def test_each_column_of_an_entry_counts(other: SummedEntry) -> None:
    assert ListSum().changed((), [other]).digest != ListSum().changed((), [ANN]).digest


def test_the_same_entry_twice_is_not_none() -> None:
    assert ListSum().changed((), [ANN, ANN]) != ListSum()


def test_the_sum_is_read_as_it_was_written() -> None:
    for one in (ListSum(), ListSum().changed((), [ANN, BOB])):
        assert ListSum.of_text(one.text) == one
    assert ListSum().text == "0:0"
    assert len(ListSum().changed((), [ANN, BOB]).text) < 400, "the column's width"


@pytest.mark.parametrize("text", ["", "1", "x:0", "1:", "1:xyz"])
def test_what_is_no_sum_is_none(text: str) -> None:
    assert ListSum.of_text(text) is None


def test_the_bytes_are_those_of_the_manual() -> None:
    """Written once, they never change: each event of each ledger holds a digest of them."""
    assert ListSum().changed((), [ANN, BOB]).digest == (
        "c32c2c03cba63464f26bcc33f2f45a7e3898ed1b9aaa493b230f11f61e47a31e"
    )
