"""What stood on the list at a moment of the ledger: its events replayed by the rules of the list.

The list itself only knows now; a message was sent or withheld by what it was then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from mailbot.core.consent import (
    ADDS,
    ENDED_BY_OPT_IN,
    ENDS,
    Kind,
    Reason,
    Source,
    is_opt_in_too_late,
)


@dataclass(frozen=True, slots=True)
class PastEvent:
    """As much of an event about one person as decides what it did to the list."""

    sequence: int
    kind: Kind
    source: Source
    person_hash: str
    received_at: datetime


def reasons_at(events: Iterable[PastEvent], sequence: int) -> dict[Reason, int]:
    """The reasons that stood when the ledger had `sequence` events, and the event behind each.

    `events` are those of one mailbox, with and without +tag, in the order of the ledger. A hold
    counts as ended by the first decision, though a second mail in review may have kept it.
    """
    standing: dict[tuple[str, Reason], PastEvent] = {}
    opt_ins: list[PastEvent] = []
    for event in events:
        if event.sequence > sequence:
            break
        reason = ADDS.get(event.kind)
        if reason in ENDED_BY_OPT_IN and any(_is_newer(one, event) for one in opt_ins):
            continue
        for key, since in list(standing.items()):
            if key[1] in ENDS.get(event.kind, ()) and not is_opt_in_too_late(
                event.kind, event.source, since.received_at, event.received_at
            ):
                del standing[key]
        if event.kind is Kind.OPT_IN:
            opt_ins.append(event)
        if reason is not None:
            before = standing.get((event.person_hash, reason))
            if before is None or before.received_at < event.received_at:
                standing[event.person_hash, reason] = event
    found: dict[Reason, int] = {}
    for (_, reason), since in standing.items():
        found[reason] = max(since.sequence, found.get(reason, 0))
    return found


def _is_newer(opt_in: PastEvent, event: PastEvent) -> bool:
    """Whether the opt-in was received later than `event`, which arrived here after it."""
    return not is_opt_in_too_late(Kind.OPT_IN, opt_in.source, event.received_at, opt_in.received_at)
