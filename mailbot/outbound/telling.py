"""What became of messages, told to the log: what somebody may have to look at, one by one.

Of a campaign that goes well only numbers are told, each few seconds: a line a message would cost
more than the message, and `mailbot why` knows each one.
"""

from __future__ import annotations

from collections import Counter

import structlog

from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.outbound.settlement import Ended

log = structlog.get_logger()

_EVENTS = {
    State.SENT: "message_sent",
    State.WITHHELD: "message_withheld",
    State.DEFERRED: "message_deferred",
    State.BOUNCED: "message_bounced",
    State.REJECTED: "message_rejected",
    State.EXPIRED: "message_expired",
    State.UNCERTAIN: "message_uncertain",
    State.QUEUED: "message_queued_again",
    State.CANCELLED: "message_cancelled",
}
_WORTH_A_LOOK = frozenset({State.REJECTED, State.EXPIRED, State.UNCERTAIN})
# An order the customer is not told about: the shop has to know.
_ORDER_WORTH_A_LOOK = _WORTH_A_LOOK | {State.BOUNCED, State.WITHHELD}


class Telling:
    """Tells of outcomes as they are recorded, and keeps count of a campaign's plain successes."""

    def __init__(self) -> None:
        self._sent: Counter[int] = Counter()  # campaign id → messages since it was told

    def tell(self, ended: Ended, state: State | None) -> None:
        """`state` is None where the row was taken over meanwhile."""
        row, outcome = ended.attempt.row, ended.outcome
        if state is State.SENT and row.campaign_id is not None:
            self._sent[row.campaign_id] += 1
            return
        bound = log.bind(
            outbox_id=row.id,
            message_kind=row.kind,
            person=row.person.person_hash[:12],
            list_sequence=outcome.list_sequence,
        )
        why = outcome.withheld_reason or outcome.reply
        is_order = row.kind is MessageKind.ORDER_STATUS
        if state is None:
            bound.warning("outcome_came_late", outcome=outcome.state, why=why)
        elif state in (_ORDER_WORTH_A_LOOK if is_order else _WORTH_A_LOOK):
            bound.warning(_EVENTS[state], why=why)
        else:
            bound.info(_EVENTS[state], why=why)

    def tell_counts(self) -> None:
        """How many messages of each campaign were sent since the last time."""
        for campaign_id, count in self._sent.items():
            log.info("campaign_messages_sent", campaign_id=campaign_id, count=count)
        self._sent.clear()
