"""Who may be sent what: the policy table, and nothing else.

Rows are the reasons on the suppression list, columns the kinds of message. A message kind or a
reason that the table does not know is refused: silence must never mean "send".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from mailbot.core.consent import Reason


class MessageKind(StrEnum):
    """What a message is, decided by the template type that made it, never by a free flag."""

    CAMPAIGN = "campaign"  # marketing: special offers
    ORDER_STATUS = "order_status"  # transactional mail about one order
    ACKNOWLEDGEMENT = "acknowledgement"  # "you get no more offers"


@dataclass(frozen=True, slots=True)
class Eligible:
    """Nothing on the list stands in the way."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """The list says no, for this reason (the strictest of those on the list)."""

    reason: Reason


SEND, WITHHOLD = True, False

# The reasons from the strictest down: where several stand side by side, the first withholding
# one is what is told. `erased` is last: it is a kept hash, and says least about why.
#                           campaign   order status  acknowledgement
POLICY: dict[Reason, tuple[bool, bool, bool]] = {
    Reason.UNDELIVERABLE: (WITHHOLD, WITHHOLD, WITHHOLD),
    Reason.COMPLAINT:     (WITHHOLD, SEND,     WITHHOLD),
    Reason.HELD:          (WITHHOLD, SEND,     WITHHOLD),
    Reason.OPT_OUT:       (WITHHOLD, SEND,     SEND),
    Reason.IMPORTED:      (WITHHOLD, SEND,     SEND),
    Reason.ERASED:        (WITHHOLD, SEND,     WITHHOLD),
}  # fmt: skip

_COLUMN = {
    MessageKind.CAMPAIGN: 0,
    MessageKind.ORDER_STATUS: 1,
    MessageKind.ACKNOWLEDGEMENT: 2,
}


def decide(kind: MessageKind, reasons: Collection[Reason]) -> Eligible | Withheld:
    """Whether a message of `kind` may go to a person with these reasons on the list.

    Raises KeyError for a kind or a reason outside the table, so that an unknown one never sends.
    """
    column = _COLUMN[kind]
    if not reasons:
        return Eligible()
    unknown = [reason for reason in reasons if reason not in POLICY]
    if unknown:
        raise KeyError(unknown[0])
    for reason, row in POLICY.items():
        if reason in reasons and row[column] is WITHHOLD:
            return Withheld(reason)
    return Eligible()
