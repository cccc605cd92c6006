"""One message's way, step by step: attempt, look, MAIL, RCPT, lease, DATA, outcome.

The order of the steps is the guarantee (invariants 2 and 4): the attempt is durable before the
look, the look is at most a second old when MAIL FROM goes out, and nobody begins DATA whose lease
may have run out, or whose MAIL FROM may have gone out later than that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mailbot.core.eligibility import MessageKind, Withheld, decide
from mailbot.core.errors import RelayLost
from mailbot.core.outbox_states import State
from mailbot.core.smtp_replies import (
    Outcome,
    Reply,
    Stage,
    Welcome,
    judge,
    judge_loss,
    welcome,
)
from mailbot.store.deliveries import DeliveryOutcome, Look
from mailbot.store.outbox import ClaimedRow
from mailbot.store.tables import CampaignState

LONGEST_LOOK_AGE = 1.0  # seconds between the look and MAIL FROM (invariant 2)


def boot_seconds() -> float:
    """CLOCK_BOOTTIME: goes on while the machine is suspended, as leases in the database do."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One composed message with its envelope. `sender` is "" for the null reverse path."""

    sender: str
    recipient: str
    message: bytes
    needs_smtputf8: bool = False


class Relay(Protocol):
    """What delivery needs of a connection; outbound.smtp.RelayConnection is one."""

    async def mail(self, sender: str, *, size: int, smtputf8: bool, recipient: str) -> Reply: ...
    async def rcpt(self, recipient: str) -> Reply: ...
    async def data(self, message: bytes) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """A look at the list, and when it was asked for by the boot clock.

    `distrust` says why the list is not to be believed for marketing, "" while all is well.
    """

    look: Look
    asked_at: float
    distrust: str = ""

    def is_fresh(self) -> bool:
        """Whether MAIL FROM may still go out on it."""
        return boot_seconds() - self.asked_at < LONGEST_LOOK_AGE


class Looking(Protocol):
    """Asks the list about the row that is on its way."""

    async def __call__(self) -> Seen: ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claimed row on its way. `is_lease_sure` answers by this machine's own boot clock."""

    row: ClaimedRow
    attempt_id: int
    is_lease_sure: Callable[[], bool]

    def ends(self, state: State, reply: str = "", look: Look | None = None) -> DeliveryOutcome:
        return DeliveryOutcome(
            self.row.id, self.attempt_id, state, reply, look.list_sequence if look else None
        )


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of an attempt, and what it says about the relay.

    `outcome` is None where the row is not ours any more: then nothing may be written. A
    transaction that is not `is_clean` needs RSET, one not `is_connected` a new connection.
    `welcome` is what was said about our pace.
    """

    outcome: DeliveryOutcome | None
    said: Outcome | None = None
    reply: str = ""
    welcome: Welcome = Welcome.UNSAID
    is_clean: bool = True
    is_connected: bool = True


class Stopped(asyncio.CancelledError):
    """The daemon's stop time-out ran out in the middle of a transaction, at `stage`."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(f"stopped at {stage}")
        self.stage = stage


async def deliver(
    relay: Relay, attempt: Attempt, outgoing: Outgoing, looking: Looking
) -> Delivered:
    """Take one begun attempt through its SMTP transaction. Never raises for what the relay does.

    Raises StoreError where the list cannot be read (nothing was sent), Stopped when cancelled.
    """
    stage, seen = Stage.MAIL, None
    try:
        seen = await _fresh_look(attempt, looking)
        refusal = _refusal(attempt, seen)
        if refusal is not None:
            return Delivered(refusal)
        reply = await relay.mail(
            outgoing.sender, size=len(outgoing.message), smtputf8=outgoing.needs_smtputf8,
            recipient=outgoing.recipient,
        )  # fmt: skip
        is_in_time = seen is not None and seen.is_fresh()  # MAIL FROM went out before its answer
        if reply.code // 100 == 2:
            stage = Stage.RCPT
            reply = await relay.rcpt(outgoing.recipient)
        if stage is Stage.RCPT and reply.code // 100 == 2:
            if not is_in_time and attempt.is_lease_sure():
                # Held up in between, by whatever: the list may have grown before MAIL FROM.
                seen = await _fresh_look(attempt, looking)
                refusal = _refusal(attempt, seen)
                if refusal is not None:
                    return Delivered(refusal, is_clean=False)
            if not attempt.is_lease_sure():
                # Frozen or cut off: somebody else may have this row by now. Nothing was sent.
                late = attempt.ends(State.QUEUED, "the lease ran out before DATA", _look_of(seen))
                return Delivered(late, is_connected=False)
            stage = Stage.DOT
            reply = await relay.data(outgoing.message)
    except RelayLost as lost:
        said = judge_loss(Stage(lost.stage))
        outcome = attempt.ends(_STATE_AFTER[said], lost.what, _look_of(seen))
        return Delivered(outcome, said, lost.what, is_clean=False, is_connected=False)
    except asyncio.CancelledError:
        raise Stopped(stage) from None
    said = judge(stage, reply)
    outcome = attempt.ends(_STATE_AFTER[said], str(reply), _look_of(seen))
    return Delivered(
        outcome, said, str(reply), welcome(stage, reply),
        is_clean=said is Outcome.SENT, is_connected=reply.code != 421,
    )  # fmt: skip


async def _fresh_look(attempt: Attempt, looking: Looking) -> Seen | None:
    """A look less than a second old under a sure lease; None where the machine is too slow."""
    for _ in range(3):
        seen = await looking()
        if seen.is_fresh() and attempt.is_lease_sure():
            return seen
    return None


def _look_of(seen: Seen | None) -> Look | None:
    return seen.look if seen is not None else None


def _refusal(attempt: Attempt, seen: Seen | None) -> DeliveryOutcome | None:
    """Why this row must not go out now; None where nothing stands in its way."""
    if seen is None:
        return attempt.ends(State.QUEUED, "no look at the list was less than a second old")
    row, look = attempt.row, seen.look
    if not look.is_ours:
        # Nothing was sent. Written only while nobody has taken the row over.
        return attempt.ends(State.QUEUED, "the lease was lost before the look")
    if seen.distrust and row.kind is MessageKind.CAMPAIGN:
        return attempt.ends(State.QUEUED, seen.distrust, look)
    decision = decide(row.kind, look.reasons)
    if isinstance(decision, Withheld):
        return DeliveryOutcome(
            row.id, attempt.attempt_id, State.WITHHELD, "", look.list_sequence, decision.reason
        )
    if row.kind is not MessageKind.CAMPAIGN:
        return None
    if look.campaign_state is CampaignState.CANCELLED:
        return attempt.ends(State.CANCELLED, "the campaign was cancelled", look)
    if look.campaign_state is not CampaignState.SENDING:
        return attempt.ends(State.QUEUED, f"the campaign is {look.campaign_state}", look)
    if look.is_marketing_stopped:
        return attempt.ends(State.QUEUED, "marketing is stopped", look)
    if look.is_quiet:
        return attempt.ends(State.QUEUED, "its quiet hours have begun", look)
    return None


_STATE_AFTER = {
    Outcome.SENT: State.SENT,
    Outcome.DEFERRED: State.DEFERRED,
    Outcome.BOUNCED: State.BOUNCED,
    Outcome.REJECTED: State.REJECTED,
    Outcome.RELAY_TROUBLE: State.QUEUED,
    Outcome.UNCERTAIN: State.UNCERTAIN,
}
