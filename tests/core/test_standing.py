"""What stood on the list at a moment of the ledger, by the rules by which the list is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mailbot.core.consent import Kind, Reason, Source
from mailbot.core.standing import PastEvent, reasons_at
from tests.people import NOON


def past(*events: tuple[Kind, float] | tuple[Kind, float, str]) -> list[PastEvent]:
    """(kind, minutes after noon, whose) each, in the order of the ledger."""
    return [
        PastEvent(number, kind, Source.MAIL, who[0] if who else "ann",
                  NOON + timedelta(minutes=minutes))
        for number, (kind, minutes, *who) in enumerate(events, start=1)
    ]  # fmt: skip


OUT, IN, HELD = Kind.OPT_OUT, Kind.OPT_IN, Kind.HELD


@pytest.mark.parametrize(
    ("events", "at", "standing"),
    [
        (past((OUT, 0)), 0, {}),
        (past((OUT, 0)), 1, {Reason.OPT_OUT: 1}),
        (past((OUT, 0), (IN, 20)), 1, {Reason.OPT_OUT: 1}),
        (past((OUT, 0), (IN, 20)), 2, {}),
        (past((OUT, 0), (IN, 5)), 2, {Reason.OPT_OUT: 1}),  # too soon after, by mail
        (past((IN, 20), (OUT, 0)), 2, {}),  # heard late
        (past((OUT, 0), (OUT, 30), (IN, 20)), 3, {Reason.OPT_OUT: 2}),  # renewed
        (past((HELD, 0), (OUT, 1)), 2, {Reason.OPT_OUT: 2}),
        (past((HELD, 0), (Kind.RELEASED, 1)), 2, {}),
        (past((Kind.UNDELIVERABLE, 0), (IN, 60)), 2, {Reason.UNDELIVERABLE: 1}),
        (past((Kind.UNDELIVERABLE, 0), (Kind.REACHABLE, 60)), 2, {}),
        (past((OUT, 0, "ann+tea"), (IN, 20, "ann")), 2, {}),
        (past((OUT, 0), (Kind.ERASED, 1), (IN, 60)), 3, {Reason.ERASED: 2}),
    ],
)
def test_what_stood_then(events: list[PastEvent], at: int, standing: dict[Reason, int]) -> None:
    assert reasons_at(events, at) == standing
