"""The states of one outbox row, and the only edges between them.

No other code changes a state: the store's statements take their old states from `sources_of`.
"""

from __future__ import annotations

from enum import StrEnum

from mailbot.core.errors import TransitionError


class State(StrEnum):
    """Where one message to one recipient stands."""

    QUEUED = "queued"  # waits for its time
    CLAIMED = "claimed"  # a daemon holds a lease; nothing was said to the relay
    SENDING = "sending"  # the attempt is committed; MAIL FROM may have gone out
    SENT = "sent"  # the relay answered 250 to the final dot
    DEFERRED = "deferred"  # 4xx, or lost before DATA; tried again at not_before
    BOUNCED = "bounced"  # the mailbox or its domain does not exist
    REJECTED = "rejected"  # any other 5xx about this message
    EXPIRED = "expired"  # 4xx until the end
    WITHHELD = "withheld"  # the list said no; reason and list sequence are stored
    UNCERTAIN = "uncertain"  # lost, timed out or killed from DATA on
    CANCELLED = "cancelled"  # its campaign was cancelled, or its person erased


TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.CLAIMED, State.WITHHELD, State.CANCELLED}),
    State.CLAIMED: frozenset({
        State.QUEUED,  # lease expired, campaign paused, daemon stopping
        State.SENDING, State.WITHHELD, State.CANCELLED,
    }),
    State.SENDING: frozenset({
        State.SENT, State.DEFERRED, State.BOUNCED, State.REJECTED, State.EXPIRED,
        State.WITHHELD,  # the last look
        State.QUEUED,  # the relay had trouble with us, or the lease ran out before DATA
        State.CANCELLED,  # the last look found its campaign cancelled
        State.UNCERTAIN,
    }),
    State.DEFERRED: frozenset({State.CLAIMED, State.WITHHELD, State.CANCELLED}),
    State.UNCERTAIN: frozenset({
        State.SENT,  # a late answer, or a person's word
        State.BOUNCED,
        State.QUEUED,  # order status resent; marketing only by a person
        State.CANCELLED,
    }),
    State.SENT: frozenset({State.BOUNCED}),  # a delivery report came later
    State.BOUNCED: frozenset(),
    State.REJECTED: frozenset(),
    State.EXPIRED: frozenset(),
    State.WITHHELD: frozenset(),
    State.CANCELLED: frozenset(),
}  # fmt: skip

FINAL = frozenset(state for state, targets in TRANSITIONS.items() if not targets)
CLAIMABLE = frozenset({State.QUEUED, State.DEFERRED})


def sources_of(target: State) -> frozenset[State]:
    """The states from which `target` may be reached in one step."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)


def check(old: State, new: State) -> None:
    """Raise TransitionError unless TRANSITIONS has the edge old → new."""
    if new not in TRANSITIONS[old]:
        raise TransitionError(f"an outbox row cannot go from {old} to {new}")
