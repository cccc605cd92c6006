"""Whether a message that left, or may have left, was allowed by the list that it had looked at.

By sequence numbers, never by clocks: the number says up to which event of the ledger the list was
read, and the events say what stood on it then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from mailbot.core.consent import ADDS, ENDS, Reason
from mailbot.core.eligibility import MessageKind, Withheld, decide
from mailbot.core.standing import PastEvent, reasons_at


class Finding(StrEnum):
    """What is known of one message of a campaign."""

    PROVED = "proved"  # the list allowed it when it was looked at
    LISTED = "listed"  # the list said no: a promise was broken
    BEYOND = "beyond_the_ledger"  # it names more events than there are
    NO_NUMBER = "no_number"  # no look is known
    UNTOLD = "untold"  # an entry of an import may have stood then that is gone, or newer, now


BROKEN = frozenset({Finding.LISTED, Finding.BEYOND})
UNPROVED = frozenset({Finding.NO_NUMBER, Finding.UNTOLD})

# By reason: the first event about many whose entries do not all stand as it left them.
Thinned = Mapping[Reason, int]


def judge_message(
    past: Sequence[PastEvent],
    sequence: int | None,
    *,
    ledger_length: int,
    thinned: Callable[[], Thinned],
) -> Finding:
    """What `sequence`, which the message stores, proves of it.

    `past` holds the person's events in the order of the ledger, those about many by which they
    stand on the list included. The ledger does not name whom an event about many was about: only
    the list does, and it forgets what was ended or renewed; hence `thinned`, asked where needed.
    """
    if sequence is None:
        return Finding.NO_NUMBER
    if not 0 <= sequence <= ledger_length:
        return Finding.BEYOND
    if not past:
        return Finding.PROVED
    if isinstance(decide(MessageKind.CAMPAIGN, reasons_at(past, sequence)), Withheld):
        return Finding.LISTED
    touched = _touched_after(past, sequence)
    if touched and any(first <= sequence for reason, first in thinned().items()
                       if reason in touched):  # fmt: skip
        return Finding.UNTOLD
    return Finding.PROVED


def _touched_after(past: Sequence[PastEvent], sequence: int) -> set[Reason]:
    """The reasons that an event after `sequence` may have ended or renewed."""
    touched: set[Reason] = set()
    for event in past:
        if event.sequence > sequence:
            touched |= ENDS.get(event.kind, frozenset())
            touched |= {ADDS[event.kind]} if event.kind in ADDS else set()
    return touched
