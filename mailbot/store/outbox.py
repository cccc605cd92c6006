"""The outbox: rows are queued here, claimed under a lease, and given back.

What happens between claim and outcome stands in deliveries.py. Every UPDATE repeats the old
states of core.outbox_states in its WHERE, so a row that moved meanwhile is left alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    func,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from mailbot.core.address import Address
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State, sources_of
from mailbot.core.pace import NO_LIMITS, Limits
from mailbot.core.person import Person
from mailbot.store import damage, leases, paces, switches
from mailbot.store.campaign_attending import IS_GOING_OUT, IS_OPEN
from mailbot.store.columns import DatabaseTime, OneOf, insert_unless_there, locked_in_order
from mailbot.store.engine import now
from mailbot.store.erasure import cancel_erased
from mailbot.store.ledger import head_sequence
from mailbot.store.persons import is_person
from mailbot.store.tables import (
    IS_CLAIMABLE,
    IS_LEASED,
    IS_NO_CAMPAIGN,
    CampaignState,
    campaigns,
    outbox,
)

# Order status goes ahead of every campaign; an acknowledgement is an answer, and waits for nobody.
PRIORITY = {
    MessageKind.ORDER_STATUS: 0,
    MessageKind.ACKNOWLEDGEMENT: 1,
    MessageKind.CAMPAIGN: 2,
}
LATE_ANSWER_LEASES = 5  # so long the daemon that waits for an answer may still write it down
MOST_RESENDS = 3  # of an uncertain order status, under one Message-ID


# What the column's 120 characters leave beside the longest left side, a campaign's 43 digits.
_MESSAGE_ID_DOMAIN: Final = 120 - 43 - len("<@>")


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """One claimed row with what is needed to compose it."""

    id: int
    kind: MessageKind
    campaign_id: int | None
    type: str | None
    address: str | None
    person: Person
    fields: Mapping[str, Any]
    message_id: str
    attempts: int
    created_at: datetime
    damage: str = ""  # what of it cannot be read: it is refused, and told


def new_message_id(domain: str) -> str:
    """A Message-ID nobody can guess: a delivery report that names it has seen our mail."""
    return f"<{secrets.token_hex(16)}@{message_id_domain(domain)}>"


def message_id_domain(domain: str) -> str:
    """What of a domain stands in our Message-IDs: as many of its last labels as the column takes.

    The random left side alone makes an id unique, and nothing asks the DNS for the right one.
    """
    while len(domain) > _MESSAGE_ID_DOMAIN and "." in domain:
        domain = domain.partition(".")[2]
    return domain


def enqueue_order_status(
    conn: Connection,
    *,
    message_type: str,
    address: Address,
    person: Person,
    fields: Mapping[str, object],
    idempotency_key: str,
    our_domain: str,
    content_digest: str | None = None,
) -> bool:
    """Queue one order-status message; False where this idempotency key was handed over before."""
    return _enqueue(
        conn,
        kind=MessageKind.ORDER_STATUS,
        type=message_type,
        address=address,
        person=person,
        fields=fields,
        idempotency_key=idempotency_key,
        our_domain=our_domain,
        content_digest=content_digest,
    )


def content_digest_of(conn: Connection, idempotency_key: str) -> str | None:
    """What was handed over under this key, as its digest; None for what an older mailbot took."""
    found: str | None = conn.execute(
        select(outbox.c.content_digest).where(outbox.c.idempotency_key == idempotency_key)
    ).scalar()
    return found


def enqueue_acknowledgement(
    conn: Connection,
    *,
    address: Address,
    person: Person,
    fields: Mapping[str, object],
    every_days: int,
    our_domain: str,
) -> bool:
    """Queue "you get no more offers", once a mailbox in `every_days`; False where it was told."""
    told = conn.execute(
        select(outbox.c.id).where(
            outbox.c.kind == MessageKind.ACKNOWLEDGEMENT,
            outbox.c.type.is_(None),
            is_person(outbox, person),  # or a forger would fill one mailbox by way of its tags
            outbox.c.created_at > DatabaseTime(-86_400 * every_days),
        ).limit(1)
    ).first()  # fmt: skip
    if told:
        return False
    return _enqueue(
        conn,
        kind=MessageKind.ACKNOWLEDGEMENT,
        type=None,
        address=address,
        person=person,
        fields=fields,
        idempotency_key=None,
        our_domain=our_domain,
    )


CONFIRMATION = "come_back"  # the type of an acknowledgement that asks: is it you?


def enqueue_confirmation(
    conn: Connection, *, address: Address, person: Person, wish_id: str, our_domain: str
) -> None:
    """Queue the mail by whose link a person comes back; how often is the caller's to judge."""
    _enqueue(
        conn,
        kind=MessageKind.ACKNOWLEDGEMENT,
        type=CONFIRMATION,
        address=address,
        person=person,
        fields={"wish": wish_id},
        idempotency_key=None,
        our_domain=our_domain,
    )


def _enqueue(
    conn: Connection,
    *,
    kind: MessageKind,
    type: str | None,
    address: Address,
    person: Person,
    fields: Mapping[str, object],
    idempotency_key: str | None,
    our_domain: str,
    content_digest: str | None = None,
) -> bool:
    at = now(conn)
    row = {
        "kind": kind,
        "type": type,
        "idempotency_key": idempotency_key,
        "address": address.text,
        "person_hash": person.person_hash,
        "untagged_hash": person.untagged_hash,
        "fields": dict(fields),
        "priority": PRIORITY[kind],
        "state": State.QUEUED,
        "not_before": at,
        "created_at": at,
        "message_id": new_message_id(our_domain),
        "content_digest": content_digest,
    }
    return insert_unless_there(conn, outbox, row) == 1


_IS_DUE = and_(IS_CLAIMABLE, outbox.c.not_before <= DatabaseTime(), outbox.c.address.is_not(None))


def _claiming(candidates: Select[int]) -> ReturningUpdate[Any]:
    """Take the first `most` of the candidates for `daemon`, for `lease` seconds."""
    # A CTE is run once: PostgreSQL may run a subquery again for each row, and lock ever more.
    first = candidates.limit(bindparam("most", type_=Integer()))
    chosen = first.with_for_update(skip_locked=True).cte("chosen")
    return (
        update(outbox)
        .where(outbox.c.id.in_(select(chosen.c.id)))
        .values(
            state=State.CLAIMED,
            claimed_by=bindparam("daemon"),
            lease_until=DatabaseTime(bindparam("lease", type_=Float())),
        )
        .returning(
            outbox.c.id, outbox.c.kind, outbox.c.campaign_id, outbox.c.type, outbox.c.address,
            outbox.c.person_hash, outbox.c.untagged_hash, outbox.c.message_id, outbox.c.attempts,
            # Raw: what cannot be read is found out below, for each row by itself.
            cast(outbox.c.fields, Text).label("fields_text"),
            type_coerce(outbox.c.created_at, damage.ReadableMoment()).label("created_at"),
        )
    )  # fmt: skip


# Made once: each of them takes longer to make than to run.
_CLAIM_URGENT = _claiming(
    select(outbox.c.id)
    .where(_IS_DUE, IS_NO_CAMPAIGN)
    .order_by(outbox.c.priority, outbox.c.not_before, outbox.c.id)
)
_CLAIM_OFFERS = _claiming(
    select(outbox.c.id)
    .where(_IS_DUE, outbox.c.campaign_id == bindparam("of_campaign"))
    .order_by(outbox.c.not_before, outbox.c.id)
)
_DUE_OFFERS = (
    select(outbox.c.id, outbox.c.address)
    .where(_IS_DUE, outbox.c.campaign_id == bindparam("of_campaign"))
    .order_by(outbox.c.not_before, outbox.c.id)
    .limit(bindparam("looked_at", type_=Integer()))
    .with_for_update(skip_locked=True)
)
_CLAIM_THESE = _claiming(select(outbox.c.id).where(OneOf(outbox.c.id, "ids")))
_SENDING = (
    select(campaigns.c.id, campaigns.c.per_hour, campaigns.c.per_hour_and_domain)
    .where(IS_GOING_OUT)
    .order_by(campaigns.c.send_at, campaigns.c.id)
)


def claim(
    conn: Connection,
    *,
    claimed_by: str,
    lease_seconds: float,
    limit: int,
    with_campaigns: bool,
    pace: Limits = NO_LIMITS,
    waiting: int = 0,
) -> list[ClaimedRow]:
    """Take up to `limit` due rows under a lease, order status first.

    Without `with_campaigns`, or while marketing is stopped, only order status and
    acknowledgements. Several daemons never get the same row (SKIP LOCKED on PostgreSQL, one
    writer on SQLite). Offers keep to `pace`, of all campaigns together, and to their campaign's
    own; `waiting` is how many rows this daemon has claimed and not begun.
    """
    how = {"daemon": claimed_by, "lease": lease_seconds}
    claimed = _claim_chosen(conn, _CLAIM_URGENT, {**how, "most": limit})
    if not with_campaigns or switches.is_marketing_stopped(conn):
        return claimed
    for campaign in conn.execute(_SENDING).all():
        most = limit - len(claimed)
        if most <= 0:
            break
        own = Limits(campaign.per_hour, campaign.per_hour_and_domain)
        if pace == own == NO_LIMITS:
            claimed += _claim_chosen(
                conn, _CLAIM_OFFERS, {**how, "most": most, "of_campaign": campaign.id}
            )
        elif paces.may_count(conn):
            counting = paces.Counting(conn, campaign.id, pace, own, waiting + len(claimed))
            claimed += _claim_paced(conn, counting, campaign.id, {**how, "most": most})
    return claimed


def _claim_paced(
    conn: Connection, counting: paces.Counting, campaign_id: int, how: Mapping[str, Any]
) -> list[ClaimedRow]:
    most = how["most"] if counting.free is None else min(how["most"], counting.free)
    if most <= 0:
        return []
    looked_at = paces.LOOKED_AT if counting.has_domains else most
    due = conn.execute(_DUE_OFFERS, {"of_campaign": campaign_id, "looked_at": looked_at})
    ids = counting.choose([paces.Candidate(row.id, row.address) for row in due], most)
    return _claim_chosen(conn, _CLAIM_THESE, {**how, "ids": ids}) if ids else []


def _claim_chosen(
    conn: Connection, claiming: ReturningUpdate[Any], values: Mapping[str, object]
) -> list[ClaimedRow]:
    rows = conn.execute(claiming, values).all()
    claimed = [_claimed(row) for row in rows]
    return sorted(claimed, key=lambda row: (PRIORITY[row.kind], row.id))


def _claimed(row: Any) -> ClaimedRow:
    fields = damage.fields_of(row.fields_text)
    attempts = damage.number_of(row.attempts)
    read = {"fields": fields, "created_at": row.created_at, "attempts": attempts}
    unreadable = [name for name, value in read.items() if value is None]
    return ClaimedRow(
        row.id, MessageKind(row.kind), row.campaign_id, row.type, row.address,
        Person(row.person_hash, row.untagged_hash), fields or {}, row.message_id, attempts or 0,
        row.created_at or datetime.now(UTC),
        f"row {row.id} of the outbox is damaged: {', '.join(unreadable)}" if unreadable else "",
    )  # fmt: skip


def extend_leases(
    conn: Connection, ids: Collection[int], *, claimed_by: str, lease_seconds: float
) -> list[int]:
    """The heartbeat: move the leases of these rows that are live and this daemon's; returns them.

    A row that a daemon let go of, or whose claim it never heard of, is not kept alive by the rest:
    its lease runs out, and it is recovered.
    """
    chosen = locked_in_order(
        conn,
        outbox,
        outbox.c.id.in_(sorted(ids)),
        outbox.c.claimed_by == claimed_by,
        outbox.c.state.in_([State.CLAIMED, State.SENDING]),
        outbox.c.lease_until > DatabaseTime(),
    )
    rows = conn.execute(
        update(outbox)
        .where(chosen)
        .values(lease_until=DatabaseTime(lease_seconds))
        .returning(outbox.c.id)
    )
    return list(rows.scalars())


def give_back(
    conn: Connection, ids: Sequence[int], *, claimed_by: str, wait_seconds: float = 0
) -> int:
    """Put claimed rows that were not begun back into the queue; returns how many.

    They are due again when `wait_seconds` are over.
    """
    chosen = locked_in_order(
        conn,
        outbox,
        outbox.c.id.in_(ids),
        outbox.c.state == State.CLAIMED,
        outbox.c.claimed_by == claimed_by,
    )
    later = {"not_before": DatabaseTime(wait_seconds)} if wait_seconds else {}
    return conn.execute(
        update(outbox)
        .where(chosen)
        .values(state=State.QUEUED, claimed_by=None, lease_until=None, **later)
    ).rowcount


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the sweep of expired leases found, as row ids."""

    queued: tuple[int, ...]  # nothing was said to the relay
    uncertain: tuple[int, ...]  # MAIL FROM may have gone out
    resent: tuple[int, ...]  # order status, queued again under the same Message-ID


def recover_expired(conn: Connection, *, resend_after_seconds: float) -> Recovered:
    """Take over what daemons left behind whose leases ran out, or make no sense.

    A claimed row goes back to the queue. A row in `sending` is uncertain: order status is queued
    again (RFC 5322 §3.6.4: one Message-ID, so that a reader can drop the twin), at most
    MOST_RESENDS times, once a late answer would have come; marketing and acknowledgements wait
    for a person.
    """
    # A daemon that lives and holds such a row by a lease that makes no sense cannot begin it any
    # more; what it has begun finds its attempt by a late answer.
    is_over = and_(IS_LEASED, leases.is_over(outbox.c.lease_until))
    queued = _leave(conn, State.CLAIMED, is_over, State.QUEUED)
    uncertain = _leave(conn, State.SENDING, is_over, State.UNCERTAIN)
    cancel_erased(conn, uncertain)
    return Recovered(queued, uncertain, resend_uncertain(conn, resend_after_seconds))


def _leave(
    conn: Connection, old: State, condition: ColumnElement[bool], new: State
) -> tuple[int, ...]:
    # Nobody knows whether the lost attempt looked at the list: an older number would be no proof.
    lost = {"finished_at": DatabaseTime(), "list_sequence": None}
    finished = lost if new is State.UNCERTAIN else {}
    chosen = locked_in_order(conn, outbox, outbox.c.state == old, condition)
    rows = conn.execute(
        update(outbox)
        .where(chosen)
        .values(state=new, claimed_by=None, lease_until=None, **finished)
        .returning(outbox.c.id)
    )
    return tuple(sorted(rows.scalars()))


def resend_uncertain(conn: Connection, after_seconds: float) -> tuple[int, ...]:
    """Queue again what order status is uncertain for so long, at most MOST_RESENDS times each.

    Returns the row ids.
    """
    chosen = locked_in_order(
        conn,
        outbox,
        outbox.c.state == State.UNCERTAIN,
        outbox.c.kind == MessageKind.ORDER_STATUS,
        outbox.c.campaign_id.is_(None),  # as it is for every order status: finds the index
        outbox.c.resends < MOST_RESENDS,
        outbox.c.finished_at <= DatabaseTime(-after_seconds),
    )
    rows = conn.execute(
        update(outbox)
        .where(chosen)
        .values(
            state=State.QUEUED,
            resends=outbox.c.resends + 1,
            not_before=DatabaseTime(),
            finished_at=None,
        )
        .returning(outbox.c.id)
    )
    return tuple(sorted(rows.scalars()))


def withhold_marketing_of(conn: Connection, person: Person, reason: str) -> int:
    """Withhold the person's waiting marketing rows, for the console's truth; returns how many.

    Run in a transaction of its own after the opt-out's: the guarantee is the look before sending.
    """
    waiting = sources_of(State.WITHHELD) - {State.SENDING}
    chosen = locked_in_order(
        conn,
        outbox,
        is_person(outbox, person),
        outbox.c.kind == MessageKind.CAMPAIGN,
        outbox.c.state.in_(sorted(waiting)),
    )
    return conn.execute(
        update(outbox)
        .where(chosen)
        .values(
            state=State.WITHHELD,
            withheld_reason=reason,
            list_sequence=head_sequence(conn),
            claimed_by=None,
            lease_until=None,
            finished_at=DatabaseTime(),
        )
    ).rowcount


def count_by_state(conn: Connection) -> dict[tuple[MessageKind, State], int]:
    """How many rows of each kind stand in each state."""
    rows = conn.execute(
        select(outbox.c.kind, outbox.c.state, func.count()).group_by(outbox.c.kind, outbox.c.state)
    )
    return {(MessageKind(kind), State(state)): count for kind, state, count in rows}


def oldest_waiting_at(conn: Connection, *, is_paced: bool = False) -> datetime | None:
    """Since when the oldest row waits that could go out; None where there is none.

    What waits for quiet hours, a pause or a pace is left out; `is_paced` where all campaigns
    together have one.
    """
    could_go = select(campaigns.c.id).where(
        campaigns.c.state == CampaignState.SENDING, IS_OPEN,
        campaigns.c.per_hour.is_(None), campaigns.c.per_hour_and_domain.is_(None),
    )  # fmt: skip
    oldest: datetime | None = conn.execute(
        select(func.min(outbox.c.not_before)).where(
            IS_CLAIMABLE,
            outbox.c.not_before <= DatabaseTime(),
            IS_NO_CAMPAIGN if is_paced else or_(IS_NO_CAMPAIGN, outbox.c.campaign_id.in_(could_go)),
        )
    ).scalar()
    return oldest
