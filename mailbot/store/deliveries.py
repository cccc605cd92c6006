"""From claim to outcome: the attempt, the look before sending, and what the relay said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, case, insert, select, update

from mailbot.core.consent import Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State, sources_of
from mailbot.core.person import Person
from mailbot.store.columns import DatabaseTime
from mailbot.store.erasure import cancel_erased
from mailbot.store.persons import is_named, is_person
from mailbot.store.switches import STOPS_MARKETING
from mailbot.store.tables import (
    CampaignState,
    campaigns,
    delivery_attempts,
    ledger_head,
    outbox,
    suppressions,
    switches,
)


def begin_attempt(
    conn: Connection, outbox_id: int, *, claimed_by: str, lease_seconds: float
) -> int | None:
    """Move a claimed row to `sending` and write its attempt; None where the lease is not ours.

    Returns the attempt's id. To be committed before MAIL FROM (invariant 4).
    """
    still_ours = (
        select(outbox.c.id)
        .where(
            outbox.c.id == outbox_id,
            outbox.c.state == State.CLAIMED,
            outbox.c.claimed_by == claimed_by,
            outbox.c.lease_until > DatabaseTime(),
        )
        .with_for_update()
    )
    if conn.execute(still_ours).first() is None:
        return None
    attempt_id: int = conn.execute(
        insert(delivery_attempts)
        .values(outbox_id=outbox_id, daemon=claimed_by, started_at=DatabaseTime())
        .returning(delivery_attempts.c.id)
    ).scalar_one()
    conn.execute(
        update(outbox)
        .where(outbox.c.id == outbox_id)
        .values(
            state=State.SENDING,
            attempt_id=attempt_id,
            attempts=outbox.c.attempts + 1,
            lease_until=DatabaseTime(lease_seconds),
        )
    )
    return attempt_id


@dataclass(frozen=True, slots=True)
class Look:
    """What one statement on the primary saw, immediately before MAIL FROM."""

    reasons: frozenset[Reason]
    list_sequence: int
    is_ours: bool  # the row still stands in `sending` under our live lease
    campaign_state: CampaignState | None
    is_marketing_stopped: bool


# One statement, so that reasons, sequence, switch, campaign and lease are of one snapshot. Order
# status only asks for the exact address: a +tag that bounces must not silence the plain one.
_LOOK = select(
    outbox.c.kind,
    outbox.c.person_hash,
    and_(outbox.c.state == State.SENDING, outbox.c.lease_until > DatabaseTime()).label("is_live"),
    outbox.c.claimed_by,
    campaigns.c.state.label("campaign_state"),
    ledger_head.c.sequence,
    switches.c.is_on,  # of those that are; NULL where none is
    suppressions.c.reason,
    suppressions.c.person_hash.label("listed_hash"),
).select_from(
    outbox.join(ledger_head, ledger_head.c.id == 1)
    .outerjoin(campaigns, campaigns.c.id == outbox.c.campaign_id)
    .outerjoin(switches, and_(switches.c.name.in_(STOPS_MARKETING), switches.c.is_on))
    .outerjoin(
        suppressions,
        is_named(suppressions, outbox.c.person_hash, outbox.c.untagged_hash),
    )
)


def look_before_sending(conn: Connection, outbox_id: int, *, claimed_by: str) -> Look:
    """Read the list, its sequence number, the campaign, the switch and the lease at once.

    `conn` must be a fresh snapshot of the primary, opened for this look.
    """
    rows = conn.execute(_LOOK.where(outbox.c.id == outbox_id)).all()
    first = rows[0]
    is_marketing = first.kind == MessageKind.CAMPAIGN
    return Look(
        reasons=frozenset(
            Reason(row.reason)
            for row in rows
            if row.reason is not None and (is_marketing or row.listed_hash == row.person_hash)
        ),
        list_sequence=first.sequence,
        is_ours=bool(first.is_live) and first.claimed_by == claimed_by,
        campaign_state=CampaignState(first.campaign_state) if first.campaign_state else None,
        is_marketing_stopped=bool(first.is_on),
    )


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What became of one attempt. `list_sequence` is None only where no look was reached."""

    outbox_id: int
    attempt_id: int
    state: State
    reply: str = ""
    list_sequence: int | None = None
    withheld_reason: Reason | None = None
    not_before: datetime | None = None  # for deferred, and for queued where it must wait


def record_outcome(conn: Connection, outcome: DeliveryOutcome) -> bool:
    """Write what became of an attempt; False where the row was taken over meanwhile.

    A late answer finds its row by the attempt's id, and may turn `uncertain` into `sent`. Where the
    person was erased meanwhile, the reply, which may name the address, is not kept, and a message
    that would be tried again is cancelled.
    """
    # Only a plain answer may come late; a retry of an uncertain row is decided elsewhere.
    late = {State.UNCERTAIN} if outcome.state in (State.SENT, State.BOUNCED) else set()
    possible = sources_of(outcome.state) & ({State.SENDING} | late)
    values: dict[str, object] = {
        "state": outcome.state,
        "claimed_by": None,
        "lease_until": None,
        "last_reply": case((outbox.c.address.is_not(None), outcome.reply)),
        "withheld_reason": outcome.withheld_reason,
        "finished_at": None,
    }
    if outcome.list_sequence is not None:
        values["list_sequence"] = outcome.list_sequence
    if outcome.not_before is not None:
        values["not_before"] = outcome.not_before
    if outcome.state not in (State.DEFERRED, State.QUEUED):
        values["finished_at"] = DatabaseTime()
    moved = conn.execute(
        update(outbox)
        .where(
            outbox.c.id == outcome.outbox_id,
            outbox.c.attempt_id == outcome.attempt_id,
            outbox.c.state.in_(sorted(possible)),
        )
        .values(**values)
    ).rowcount
    # Whether it moved or not: the row is locked before its attempts, as erasure does it.
    is_erased: bool = conn.execute(
        select(outbox.c.address.is_(None)).where(outbox.c.id == outcome.outbox_id).with_for_update()
    ).scalar_one()
    conn.execute(
        update(delivery_attempts)
        .where(delivery_attempts.c.id == outcome.attempt_id)
        .values(
            finished_at=DatabaseTime(),
            outcome=outcome.state,
            reply=None if is_erased else outcome.reply,
            list_sequence=outcome.list_sequence,
        )
    )
    if is_erased:
        cancel_erased(conn, [outcome.outbox_id])
    return moved == 1


@dataclass(frozen=True, slots=True)
class MessageStory:
    """One message to one person, for `why`."""

    outbox_id: int
    kind: MessageKind
    campaign: str | None
    type: str | None
    state: State
    created_at: datetime
    finished_at: datetime | None
    attempts: int
    list_sequence: int | None
    withheld_reason: Reason | None
    last_reply: str | None


def messages_to(conn: Connection, person: Person) -> list[MessageStory]:
    """Every message to a person, oldest first."""
    rows = conn.execute(
        select(outbox, campaigns.c.name)
        .select_from(outbox.outerjoin(campaigns, campaigns.c.id == outbox.c.campaign_id))
        .where(is_person(outbox, person))
        .order_by(outbox.c.id)
    )
    return [
        MessageStory(
            row.id, MessageKind(row.kind), row.name, row.type, State(row.state), row.created_at,
            row.finished_at, row.attempts, row.list_sequence,
            Reason(row.withheld_reason) if row.withheld_reason else None, row.last_reply,
        )
        for row in rows
    ]  # fmt: skip
