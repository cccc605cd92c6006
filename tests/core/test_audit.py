"""What the number that a message stores proves of it."""

from __future__ import annotations

import pytest

from mailbot.core.audit import Finding, Thinned, judge_message
from mailbot.core.consent import Kind, Reason
from mailbot.core.standing import PastEvent
from tests.core.test_standing import HELD, IN, OUT, past

NOTHING: Thinned = {}


@pytest.mark.parametrize(
    ("events", "number", "found"),
    [
        (past(), 0, Finding.PROVED),
        (past((OUT, 0)), 0, Finding.PROVED),  # sent before it was heard
        (past((OUT, 0)), 1, Finding.LISTED),
        (past((OUT, 0), (IN, 20)), 1, Finding.LISTED),
        (past((OUT, 0), (IN, 20)), 2, Finding.PROVED),
        (past((HELD, 0)), 1, Finding.LISTED),
        (past((Kind.UNDELIVERABLE, 0)), 1, Finding.LISTED),
        (past((Kind.ERASED, 0)), 1, Finding.LISTED),
        (past((OUT, 0, "ann+tea")), 1, Finding.LISTED),
        (past((OUT, 0)), None, Finding.NO_NUMBER),
        (past(), 10, Finding.BEYOND),
        (past(), -1, Finding.BEYOND),
    ],
)
def test_the_list_as_it_stood_at_the_number_decides(
    events: list[PastEvent], number: int | None, found: Finding
) -> None:
    assert judge_message(events, number, ledger_length=9, thinned=lambda: NOTHING) is found


@pytest.mark.parametrize(
    ("events", "thinned", "found"),
    [
        # The import of event 1 named somebody who is not there any more: perhaps this person, whom
        # the later opt-in took off.
        (past((OUT, 0), (IN, 20), (IN, 40)), {Reason.IMPORTED: 1}, Finding.UNTOLD),
        (past((OUT, 0), (IN, 20), (IN, 40)), {Reason.IMPORTED: 3}, Finding.PROVED),
        (past((OUT, 0), (IN, 20), (IN, 40)), {Reason.UNDELIVERABLE: 1}, Finding.PROVED),
        # A later opt-out neither ends nor renews what another list had said.
        (past((OUT, 0), (IN, 20), (OUT, 40)), {Reason.IMPORTED: 1}, Finding.PROVED),
        # A later import may have renewed what an earlier one had said.
        (past((OUT, 0), (IN, 20), (Kind.IMPORTED, 40)), {Reason.IMPORTED: 1}, Finding.UNTOLD),
    ],
)
def test_what_an_import_may_have_said_of_whom_it_names_no_more_is_not_taken_for_proved(
    events: list[PastEvent], thinned: Thinned, found: Finding
) -> None:
    assert judge_message(events, 2, ledger_length=9, thinned=lambda: thinned) is found


def test_imports_are_only_asked_for_where_they_may_matter() -> None:
    def asked() -> Thinned:
        raise AssertionError

    assert judge_message([], 4, ledger_length=9, thinned=asked) is Finding.PROVED
    come_back = past((OUT, 0), (IN, 20))
    assert judge_message(come_back, 2, ledger_length=9, thinned=asked) is Finding.PROVED
