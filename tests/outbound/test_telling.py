"""The log of sending: each order by itself, a campaign that goes well by its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from mailbot.core.consent import Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.outbound.delivery import Attempt
from mailbot.outbound.settlement import Ended
from mailbot.outbound.telling import Telling
from mailbot.store.deliveries import DeliveryOutcome
from mailbot.store.outbox import ClaimedRow
from tests.outbound.sending import ANN
from tests.people import person

Events = list[Any]


@pytest.fixture
def told() -> Iterator[Events]:
    with structlog.testing.capture_logs() as events:
        yield events


def ended(kind: MessageKind, state: State, reply: str = "250 ok") -> Ended:
    campaign = 7 if kind is MessageKind.CAMPAIGN else None
    row = ClaimedRow(
        1, kind, campaign, None, ANN, person(ANN), {}, "<1@shop.example>", 0,
        datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    reason = Reason.OPT_OUT if state is State.WITHHELD else None
    outcome = DeliveryOutcome(1, 2, state, reply, 3, withheld_reason=reason)
    return Ended(Attempt(row, 2, lambda: True), outcome)


def test_a_campaign_that_goes_well_is_told_by_numbers(told: Events) -> None:
    telling = Telling()
    for _ in range(3):
        telling.tell(ended(MessageKind.CAMPAIGN, State.SENT), State.SENT)
    assert told == []
    telling.tell_counts()
    telling.tell_counts()
    [event] = told
    assert (event["event"], event["campaign_id"], event["count"]) == (
        "campaign_messages_sent", 7, 3
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "state", "level"), [
    (MessageKind.ORDER_STATUS, State.SENT, "info"),
    (MessageKind.ORDER_STATUS, State.BOUNCED, "warning"),
    (MessageKind.ORDER_STATUS, State.WITHHELD, "warning"),
    (MessageKind.CAMPAIGN, State.WITHHELD, "info"),
    (MessageKind.CAMPAIGN, State.DEFERRED, "info"),
    (MessageKind.CAMPAIGN, State.UNCERTAIN, "warning"),
    (MessageKind.CAMPAIGN, State.REJECTED, "warning"),
])  # fmt: skip
def test_what_somebody_may_have_to_look_at_is_told_by_itself(
    told: Events, kind: MessageKind, state: State, level: str
) -> None:
    Telling().tell(ended(kind, state, "said"), state)
    [event] = told
    assert event["log_level"] == level
    assert event["event"] == f"message_{state}"
    assert event["why"] == ("opt_out" if state is State.WITHHELD else "said")
    assert ANN not in str(event)


def test_an_answer_for_a_row_that_was_taken_over_is_told_as_late(told: Events) -> None:
    Telling().tell(ended(MessageKind.CAMPAIGN, State.SENT), None)
    [event] = told
    assert (event["event"], event["outcome"]) == ("outcome_came_late", State.SENT)
