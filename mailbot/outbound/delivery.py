"""One message's way, step by step: attempt, look, MAIL, RCPT, lease, DATA, outcome.

The order of the steps is the guarantee (invariants 2 and 4): the attempt is durable before the
look, the look is at most a second old when MAIL FROM goes out, and nobody whose lease may have run
out begins DATA.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from mailbot.core.backoff import next_attempt_at
from mailbot.core.consent import ConsentEvent, Kind, Source
from mailbot.core.eligibility import MessageKind, Withheld, decide
from mailbot.core.errors import RelayLost
from mailbot.core.outbox_states import State
from mailbot.core.smtp_replies import Outcome, Reply, Stage, judge, judge_loss
from mailbot.store import consent, deliveries
from mailbot.store.deliveries import DeliveryOutcome, Look
from mailbot.store.engine import Connection, Database, now
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

    async def mail(self, sender: str, *, size: int, smtputf8: bool) -> Reply: ...
    async def rcpt(self, recipient: str) -> Reply: ...
    async def data(self, message: bytes) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claimed row on its way. `is_lease_sure` answers by this machine's own boot clock."""

    row: ClaimedRow
    attempt_id: int
    claimed_by: str
    is_lease_sure: Callable[[], bool]

    def ends(self, state: State, reply: str = "", look: Look | None = None) -> DeliveryOutcome:
        return DeliveryOutcome(
            self.row.id, self.attempt_id, state, reply, look.list_sequence if look else None
        )


@dataclass(slots=True)
class ListMemory:
    """How far this process has seen the ledger grow: one that is shorter now is another one.

    So it is after a failover to a server that lagged behind, or with a backup put in place under a
    running daemon; opt-outs may be missing. `went_back` says so, "" while all is well.
    """

    furthest: int = 0
    went_back: str = ""

    def is_trusted(self, sequence: int, known_before: int) -> bool:
        """Take note of a look's `sequence`; `known_before` is `furthest` from before that look."""
        if sequence < known_before:
            self.went_back = (
                f"the ledger ends at event {sequence}, and this daemon has seen {known_before}: "
                "what was recorded since is missing"
            )
            return False
        self.furthest = max(self.furthest, sequence)
        return True


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of an attempt, and what it says about the relay.

    `outcome` is None where the row is not ours any more: then nothing may be written. A
    transaction that is not `is_clean` needs RSET, one not `is_connected` a new connection.
    """

    outcome: DeliveryOutcome | None
    said: Outcome | None = None
    reply: str = ""
    is_clean: bool = True
    is_connected: bool = True


class Stopped(asyncio.CancelledError):
    """The daemon's stop time-out ran out in the middle of a transaction, at `stage`."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(f"stopped at {stage}")
        self.stage = stage


async def deliver(
    database: Database, relay: Relay, attempt: Attempt, outgoing: Outgoing, memory: ListMemory
) -> Delivered:
    """Take one begun attempt through its SMTP transaction. Never raises for what the relay does.

    Raises StoreError where the list cannot be read (nothing was sent), Stopped when cancelled.
    """
    stage = Stage.MAIL
    try:
        known = memory.furthest
        look = await _fresh_look(database, attempt)
        if look is None:
            slow = "no look at the list was less than a second old"
            return Delivered(attempt.ends(State.QUEUED, slow))
        if not look.is_ours:
            # Nothing was said. Written only while nobody has taken the row over.
            return Delivered(attempt.ends(State.QUEUED, "the lease was lost before MAIL"))
        is_trusted = memory.is_trusted(look.list_sequence, known)
        if not is_trusted and attempt.row.kind is MessageKind.CAMPAIGN:
            return Delivered(attempt.ends(State.QUEUED, memory.went_back, look))
        refusal = _refusal(attempt, look)
        if refusal is not None:
            return Delivered(refusal)
        reply = await relay.mail(
            outgoing.sender, size=len(outgoing.message), smtputf8=outgoing.needs_smtputf8
        )
        if reply.code // 100 == 2:
            stage = Stage.RCPT
            reply = await relay.rcpt(outgoing.recipient)
        if stage is Stage.RCPT and reply.code // 100 == 2:
            if not attempt.is_lease_sure():
                # Frozen or cut off: somebody else may have this row by now. Nothing was sent.
                late = attempt.ends(State.QUEUED, "the lease ran out before DATA", look)
                return Delivered(late, is_connected=False)
            stage = Stage.DOT
            reply = await relay.data(outgoing.message)
    except RelayLost as lost:
        said = judge_loss(Stage(lost.stage))
        outcome = attempt.ends(_STATE_AFTER[said], lost.what, look)
        return Delivered(outcome, said, lost.what, is_clean=False, is_connected=False)
    except asyncio.CancelledError:
        raise Stopped(stage) from None
    said = judge(stage, reply)
    outcome = attempt.ends(_STATE_AFTER[said], str(reply), look)
    return Delivered(
        outcome, said, str(reply), is_clean=said is Outcome.SENT, is_connected=reply.code != 421
    )


async def _fresh_look(database: Database, attempt: Attempt) -> Look | None:
    """A look less than a second old under a sure lease; None where the machine is too slow."""
    for _ in range(3):
        before = boot_seconds()
        look = await database.look(
            lambda conn: deliveries.look_before_sending(
                conn, attempt.row.id, claimed_by=attempt.claimed_by
            )
        )
        if boot_seconds() - before < LONGEST_LOOK_AGE and attempt.is_lease_sure():
            return look
    return None


def _refusal(attempt: Attempt, look: Look) -> DeliveryOutcome | None:
    """Why this row must not go out now; None where nothing stands in its way."""
    row = attempt.row
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
    return None


_STATE_AFTER = {
    Outcome.SENT: State.SENT,
    Outcome.DEFERRED: State.DEFERRED,
    Outcome.BOUNCED: State.BOUNCED,
    Outcome.REJECTED: State.REJECTED,
    Outcome.RELAY_TROUBLE: State.QUEUED,
    Outcome.UNCERTAIN: State.UNCERTAIN,
}


@dataclass(frozen=True, slots=True)
class Settlement:
    """How outcomes are written down: how long a message is tried, and under which policy."""

    retry_for: timedelta
    policy_version: str


def settle(
    conn: Connection, attempt: Attempt, outcome: DeliveryOutcome, settlement: Settlement
) -> State | None:
    """Record an outcome: when to try again, and who turned out undeliverable.

    Returns the state reached, or None where the row was taken over meanwhile.
    """
    row = attempt.row
    if outcome.state is State.DEFERRED:
        outcome = _deferred(conn, row, outcome, settlement)
    if not deliveries.record_outcome(conn, outcome):
        return None
    if outcome.state is State.BOUNCED:
        consent.record(conn, ConsentEvent(
            kind=Kind.UNDELIVERABLE,
            source=Source.RELAY,
            person=row.person,
            key=f"relay:{row.id}:{attempt.attempt_id}",
            received_at=now(conn),
            rule="relay-refused-recipient",
            policy_version=settlement.policy_version,
            address=row.address,
            evidence={"reply": outcome.reply, "message_id": row.message_id},
        ))  # fmt: skip
    return outcome.state


def _deferred(
    conn: Connection, row: ClaimedRow, outcome: DeliveryOutcome, settlement: Settlement
) -> DeliveryOutcome:
    at = now(conn)
    next_at = next_attempt_at(row.attempts + 1, at, random.random())
    is_over = next_at > row.created_at + settlement.retry_for
    return DeliveryOutcome(
        row.id, outcome.attempt_id, State.EXPIRED if is_over else State.DEFERRED, outcome.reply,
        outcome.list_sequence, not_before=None if is_over else next_at,
    )  # fmt: skip
