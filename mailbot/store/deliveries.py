"""From claim to outcome: the attempt, the look before sending, and what the relay said."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Float,
    String,
    and_,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    update,
)

from mailbot.core.consent import Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State, sources_of
from mailbot.core.person import Person
from mailbot.store.campaign_attending import IS_OPEN
from mailbot.store.columns import DatabaseTime, OneOf, UtcDateTime
from mailbot.store.erasure import cancel_erased
from mailbot.store.persons import is_named, is_person
from mailbot.store.prepared import Prepared
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

_IDS, _DAEMON, _LEASE = "ids", "daemon", "lease_seconds"  # bound in the statements below

_STILL_OURS = Prepared(
    select(outbox.c.id)
    .where(
        OneOf(outbox.c.id, _IDS),
        outbox.c.state == State.CLAIMED,
        outbox.c.claimed_by == bindparam(_DAEMON),
        outbox.c.lease_until > DatabaseTime(),
    )
    .order_by(outbox.c.id)
    .with_for_update()
)
_ATTEMPTS = Prepared(
    insert(delivery_attempts)
    .from_select(
        ["outbox_id", "daemon", "started_at"],
        select(outbox.c.id, bindparam(_DAEMON, type_=String()), DatabaseTime()).where(
            OneOf(outbox.c.id, _IDS)
        ),
    )
    .returning(delivery_attempts.c.outbox_id, delivery_attempts.c.id)
)
_latest = delivery_attempts.alias("latest")
_BEGUN = Prepared(
    update(outbox)
    .where(OneOf(outbox.c.id, _IDS))
    .values(
        state=State.SENDING,
        attempt_id=select(func.max(_latest.c.id))
        .where(_latest.c.outbox_id == outbox.c.id)
        .scalar_subquery(),
        attempts=outbox.c.attempts + 1,
        lease_until=DatabaseTime(bindparam(_LEASE, type_=Float())),
    )
)


def begin_attempts(
    conn: Connection, outbox_ids: Collection[int], *, claimed_by: str, lease_seconds: float
) -> dict[int, int]:
    """Move claimed rows to `sending` and write their attempts; returns row id → attempt id.

    A row whose lease is not ours any more is left out. To be committed before MAIL FROM
    (invariant 4).
    """
    daemon = {_DAEMON: claimed_by}
    ours = [row_id for (row_id,) in _STILL_OURS.rows(conn, {_IDS: outbox_ids, **daemon})]
    if not ours:
        return {}
    begun = dict(_ATTEMPTS.rows(conn, {_IDS: ours, **daemon}))
    _BEGUN.run(conn, {_IDS: ours, _LEASE: lease_seconds})
    return begun


@dataclass(frozen=True, slots=True)
class Look:
    """What one statement on the primary saw, immediately before MAIL FROM."""

    reasons: frozenset[Reason]
    list_sequence: int
    is_ours: bool  # the row still stands in `sending` under our live lease
    campaign_state: CampaignState | None
    is_marketing_stopped: bool
    is_quiet: bool = False  # no offer of its campaign goes out at this hour


class _Found(NamedTuple):
    """A row of the look: one for each reason a person is listed for, and each switch that is on."""

    id: int
    kind: str
    person_hash: str
    is_live: bool
    claimed_by: str | None
    campaign_state: str | None
    sequence: int
    is_on: bool | None  # NULL where no switch is on
    reason: str | None
    listed_hash: str | None
    is_open: bool | None  # NULL where it belongs to no campaign


# One statement, so that reasons, sequence, switch, campaign and lease are of one snapshot; a few
# rows at once, which all go out within the second that a look is good for. Order status only asks
# for the exact address: a +tag that bounces must not silence the plain one.
_STOPS_MARKETING = or_(*(switches.c.name == name for name in STOPS_MARKETING))
_LOOK = Prepared(
    select(
        outbox.c.id,
        outbox.c.kind,
        outbox.c.person_hash,
        and_(outbox.c.state == State.SENDING, outbox.c.lease_until > DatabaseTime()).label(
            "is_live"
        ),
        outbox.c.claimed_by,
        campaigns.c.state.label("campaign_state"),
        ledger_head.c.sequence,
        switches.c.is_on,
        suppressions.c.reason,
        suppressions.c.person_hash.label("listed_hash"),
        IS_OPEN.label("is_open"),
    )
    .select_from(
        outbox.join(ledger_head, ledger_head.c.id == 1)
        .outerjoin(campaigns, campaigns.c.id == outbox.c.campaign_id)
        .outerjoin(switches, and_(_STOPS_MARKETING, switches.c.is_on))
        .outerjoin(
            suppressions,
            is_named(suppressions, outbox.c.person_hash, outbox.c.untagged_hash),
        )
    )
    .where(OneOf(outbox.c.id, _IDS))
)


def look_before_sending(
    conn: Connection, outbox_ids: Collection[int], *, claimed_by: str
) -> dict[int, Look]:
    """Read the list, its sequence number, the campaigns, the switches and the leases at once.

    `conn` must be a fresh snapshot of the primary, opened for this look.
    """
    found: dict[int, list[_Found]] = {}
    for values in _LOOK.rows(conn, {_IDS: outbox_ids}):
        row = _Found(*values)
        found.setdefault(row.id, []).append(row)
    return {outbox_id: _look(rows, claimed_by) for outbox_id, rows in found.items()}


def _look(rows: Sequence[_Found], claimed_by: str) -> Look:
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
        is_quiet=is_marketing and not first.is_open,
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


class _Ending(NamedTuple):
    id: int
    state: str
    attempt_id: int | None
    is_erased: bool


# Locked in the order of ids, and before their attempts, as erasure does it.
_ENDING = Prepared(
    select(outbox.c.id, outbox.c.state, outbox.c.attempt_id, outbox.c.address.is_(None))
    .where(OneOf(outbox.c.id, _IDS))
    .order_by(outbox.c.id)
    .with_for_update()
)
_MOVE = Prepared(
    update(outbox)
    .where(
        outbox.c.id == bindparam("of_row"),
        outbox.c.attempt_id == bindparam("of_attempt"),
        outbox.c.state == bindparam("old_state"),
    )
    .values(
        state=bindparam("new_state"),
        claimed_by=None,
        lease_until=None,
        last_reply=bindparam("told"),
        withheld_reason=bindparam("reason"),
        list_sequence=func.coalesce(bindparam("seen", type_=BigInteger()), outbox.c.list_sequence),
        not_before=func.coalesce(bindparam("next_at", type_=UtcDateTime()), outbox.c.not_before),
        finished_at=case((bindparam("is_over", type_=Boolean()), DatabaseTime())),
    )
)
_END_ATTEMPT = Prepared(
    update(delivery_attempts)
    .where(delivery_attempts.c.id == bindparam("of_attempt"))
    .values(
        finished_at=DatabaseTime(),
        outcome=bindparam("new_state"),
        reply=bindparam("told"),
        list_sequence=bindparam("seen"),
    )
)
_GOES_ON = frozenset({State.DEFERRED, State.QUEUED})


def record_outcomes(conn: Connection, outcomes: Sequence[DeliveryOutcome]) -> set[int]:
    """Write what became of attempts; returns the row ids that moved, and not who was taken over.

    A late answer finds its row by the attempt's id, and may turn `uncertain` into `sent`. Where the
    person was erased meanwhile, the reply, which may name the address, is not kept, and a message
    that would be tried again is cancelled.
    """
    ids = {outcome.outbox_id for outcome in outcomes}
    rows = {values[0]: _Ending(*values) for values in _ENDING.rows(conn, {_IDS: ids})}
    moved: set[int] = set()
    moves, ends = [], []
    for outcome in outcomes:
        row = rows.get(outcome.outbox_id)
        if row is None:
            continue  # deleted by hand; its attempts with it
        end = {
            "of_attempt": outcome.attempt_id, "new_state": outcome.state,
            "told": None if row.is_erased else outcome.reply, "seen": outcome.list_sequence,
        }  # fmt: skip
        ends.append(end)
        # Only a plain answer may come late; a retry of an uncertain row is decided elsewhere.
        late = {State.UNCERTAIN} if outcome.state in (State.SENT, State.BOUNCED) else set()
        possible = sources_of(outcome.state) & ({State.SENDING} | late)
        if row.attempt_id == outcome.attempt_id and row.state in possible:
            moved.add(row.id)
            moves.append({
                **end, "of_row": row.id, "old_state": row.state, "reason": outcome.withheld_reason,
                "next_at": outcome.not_before, "is_over": outcome.state not in _GOES_ON,
            })  # fmt: skip
    _MOVE.run_each(conn, moves)
    _END_ATTEMPT.run_each(conn, ends)
    cancel_erased(conn, [row.id for row in rows.values() if row.is_erased])
    return moved


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
