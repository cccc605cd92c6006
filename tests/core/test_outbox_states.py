"""One table of states and edges, and what it promises."""

from __future__ import annotations

import pytest

from mailbot.core.errors import TransitionError
from mailbot.core.outbox_states import CLAIMABLE, FINAL, TRANSITIONS, State, check, sources_of


def reachable(start: State) -> set[State]:
    seen, ahead = {start}, [start]
    while ahead:
        for target in TRANSITIONS[ahead.pop()] - seen:
            seen.add(target)
            ahead.append(target)
    return seen


def test_every_state_has_its_line_in_the_table_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(State)
    assert reachable(State.QUEUED) == set(State)


def test_nothing_is_sent_without_an_attempt_begun_before() -> None:
    assert sources_of(State.SENT) == {State.SENDING, State.UNCERTAIN}
    assert sources_of(State.SENDING) == {State.CLAIMED}


def test_what_was_sent_is_never_queued_again() -> None:
    assert reachable(State.SENT) == {State.SENT, State.BOUNCED}


def test_withheld_and_cancelled_are_final() -> None:
    assert {State.WITHHELD, State.CANCELLED} <= FINAL


def test_every_row_that_waits_can_be_withheld() -> None:
    assert sources_of(State.WITHHELD) == {
        State.QUEUED, State.CLAIMED, State.SENDING, State.DEFERRED
    }  # fmt: skip
    assert sources_of(State.CLAIMED) == CLAIMABLE


def test_an_edge_outside_the_table_is_an_error_that_names_both_states() -> None:
    check(State.QUEUED, State.CLAIMED)
    with pytest.raises(TransitionError, match="withheld to queued"):
        check(State.WITHHELD, State.QUEUED)
