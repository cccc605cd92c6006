"""Campaigns: one template, one audience, one time. Expanded into the outbox when they are due."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select, update

from mailbot.core.address import Address
from mailbot.core.errors import NotFoundError, RefusedError
from mailbot.core.outbox_states import FINAL, State
from mailbot.core.person import Person
from mailbot.store import audiences, campaign_changes, campaign_hours, suppressions
from mailbot.store.campaign_changes import MAILBOT
from mailbot.store.columns import DatabaseTime, insert_unless_there, locked_in_order
from mailbot.store.copying import may_copy
from mailbot.store.engine import now
from mailbot.store.tables import (
    IS_CLAIMABLE,
    CampaignState,
    campaigns,
    outbox,
)

# Which states each command starts from.
_SCHEDULABLE = (CampaignState.DRAFT, CampaignState.SCHEDULED)
_PAUSABLE = (CampaignState.SCHEDULED, CampaignState.SENDING)
_CANCELLABLE = (
    CampaignState.LOADING,
    CampaignState.DRAFT, CampaignState.SCHEDULED, CampaignState.SENDING, CampaignState.PAUSED,
)  # fmt: skip

_CANCELLED_AT_ONCE = 500  # rows: others wait for the lock, and there may be a million
_CANCELLED = {
    outbox.c.state: State.CANCELLED, outbox.c.claimed_by: None, outbox.c.lease_until: None,
    outbox.c.finished_at: DatabaseTime(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an audience came from: the settings' name for a database, SQL, its SHA-256 in hex."""

    source: str
    query: str
    query_hash: str


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign as it stands."""

    id: int
    name: str
    state: CampaignState
    subject: str
    text_source: str
    html_source: str | None
    created_at: datetime
    send_at: datetime | None
    audience_count: int
    expanded_count: int  # its rows in the outbox
    is_expanded: bool
    because: str | None
    origin: Origin | None = None  # None: of a file
    zone: str | None = None
    quiet_hours: str | None = None
    open_until: datetime | None = None  # from then on no offer goes out; None is never
    attended_at: datetime | None = None  # when a tick last found it sending
    per_hour: int | None = None
    per_hour_and_domain: int | None = None
    hold: str | None = None  # why mailbot paused it by itself, in one word
    complaints: int = 0
    undeliverable: int = 0
    counted_from: datetime | None = None

    def quiet_until(self, at: datetime) -> datetime | None:
        """When the quiet hours end that it waits for at that time. Raises InputError."""
        hours = campaign_hours.of(self.quiet_hours, self.zone)
        return hours.until(at) if hours else None


@dataclass(frozen=True, slots=True)
class SendingPlan:
    """How a campaign is sent: quiet hours as core.quiet_hours writes them, and its own pace."""

    quiet_hours: str | None = None
    zone: str | None = None
    per_hour: int | None = None
    per_hour_and_domain: int | None = None


AT_ANY_TIME = SendingPlan()


@dataclass(frozen=True, slots=True)
class Member:
    """One line of an audience."""

    line: int
    address: Address
    person: Person
    fields: Mapping[str, object]


def create(
    conn: Connection,
    *,
    name: str,
    subject: str,
    text_source: str,
    html_source: str | None,
    origin: Origin | None = None,
) -> int:
    """A new campaign that waits for its audience (`finish_loading`); returns its id.

    Raises RefusedError where the name is taken.
    """
    fresh = {
        "name": name, "state": CampaignState.LOADING, "subject": subject,
        "text_source": text_source, "html_source": html_source, "created_at": now(conn),
        "audience_source": origin and origin.source, "audience_query": origin and origin.query,
        "audience_query_hash": origin and origin.query_hash,
    }  # fmt: skip
    if insert_unless_there(conn, campaigns, fresh) == 0:
        raise RefusedError(
            f"a campaign named “{name}” is already there",
            next_step="Give this one another name; mailbot campaign status lists them.",
        )
    return get(conn, name).id


def add_members(conn: Connection, campaign_id: int, members: Sequence[Member]) -> int:
    """Add audience lines; a person who is already in it is left out. Returns how many are new.

    Of somebody who was erased only the hashes are kept: counted as excluded, never queued.
    """
    may_copy(conn)
    erased = suppressions.erased_among(conn, [member.person for member in members])
    added = audiences.add(conn, campaign_id, [
        (
            member.line,
            None if member.person in erased else member.address.text,
            member.person.person_hash,
            member.person.untagged_hash,
            "{}" if member.person in erased else json.dumps(dict(member.fields)),
        )
        for member in members
    ])  # fmt: skip
    conn.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(audience_count=campaigns.c.audience_count + added)
    )
    return added


def finish_loading(conn: Connection, name: str, *, by: str = MAILBOT) -> Campaign:
    """The whole audience is in: the campaign is a draft."""
    audiences.let_planner_know(conn)
    return _move(conn, name, (CampaignState.LOADING,), CampaignState.DRAFT, by=by, because=None)


def get(conn: Connection, name: str) -> Campaign:
    """The campaign of that name. Raises NotFoundError."""
    row = conn.execute(select(campaigns).where(campaigns.c.name == name)).first()
    if row is None:
        raise NotFoundError(
            f"no campaign is named “{name}”", next_step="mailbot campaign status lists them."
        )
    return _campaign(row)


def by_id(conn: Connection, campaign_id: int) -> Campaign:
    """The campaign of that id."""
    return _campaign(conn.execute(select(campaigns).where(campaigns.c.id == campaign_id)).one())


def every(conn: Connection) -> list[Campaign]:
    """All campaigns, newest first."""
    return [
        _campaign(row) for row in conn.execute(select(campaigns).order_by(campaigns.c.id.desc()))
    ]


def sending(conn: Connection) -> list[Campaign]:
    """The campaigns that go out, oldest first. Asked every second: not for what is long over."""
    chosen = select(campaigns).where(campaigns.c.state == CampaignState.SENDING)
    return [_campaign(row) for row in conn.execute(chosen.order_by(campaigns.c.id))]


def _campaign(row: Any) -> Campaign:
    return Campaign(
        row.id, row.name, CampaignState(row.state), row.subject, row.text_source,
        row.html_source, row.created_at, row.send_at, row.audience_count, row.expanded_count,
        row.expanded_at is not None, row.because,
        None if row.audience_source is None else
        Origin(row.audience_source, row.audience_query, row.audience_query_hash),
        row.zone, row.quiet_hours, row.open_until,
        row.attended_at, row.per_hour, row.per_hour_and_domain, row.hold, row.complaints,
        row.undeliverable, row.counted_from,
    )  # fmt: skip


def schedule(
    conn: Connection,
    name: str,
    send_at: datetime,
    plan: SendingPlan = AT_ANY_TIME,
    *,
    by: str = MAILBOT,
) -> Campaign:
    """Set when and how it is sent. Raises RefusedError once it is under way."""
    return _move(
        conn, name, _SCHEDULABLE, CampaignState.SCHEDULED, by=by, because=None,
        stored={
            "send_at": send_at, "quiet_hours": plan.quiet_hours, "zone": plan.zone,
            "per_hour": plan.per_hour, "per_hour_and_domain": plan.per_hour_and_domain,
        },
    )  # fmt: skip


def pause(
    conn: Connection, name: str, because: str, *, by: str = MAILBOT, hold: str | None = None
) -> Campaign:
    """Stop sending; rows claimed and not begun go back to the queue."""
    campaign = _move(
        conn, name, _PAUSABLE, CampaignState.PAUSED, by=by, because=because, stored={"hold": hold}
    )
    chosen = locked_in_order(
        conn,
        outbox,
        outbox.c.campaign_id == campaign.id,
        outbox.c.state == State.CLAIMED,
    )
    conn.execute(
        update(outbox).where(chosen).values(state=State.QUEUED, claimed_by=None, lease_until=None)
    )
    return campaign


def resume(
    conn: Connection,
    name: str,
    *,
    by: str = MAILBOT,
    because: str | None = None,
    stored: Mapping[str, object] | None = None,
) -> Campaign:
    """Go on where it was: as scheduled before its time, else sending.

    Whether a person may, where a brake holds it, is asked by store.campaign_brakes.
    """
    campaign = get(conn, name)
    at = now(conn)
    is_early = campaign.send_at is not None and campaign.send_at > at
    target = CampaignState.SCHEDULED if is_early else CampaignState.SENDING
    is_still_so = campaigns.c.hold.is_not_distinct_from(campaign.hold)
    fresh = {
        "because": None,
        "hold": None,
        "attended_at": at,
        "open_until": campaign_hours.open_until(campaign.quiet_hours, campaign.zone, at),
    }
    return _move(
        conn, name, (CampaignState.PAUSED,), target, is_still_so, by=by, because=because,
        stored={**fresh, **(stored or {})},
    )  # fmt: skip


def reopen(conn: Connection, campaign_id: int, *, by: str) -> None:
    """Let a campaign that was over send again, for messages that a person has queued once more.

    Raises RefusedError where it was cancelled: nothing of it goes out any more.
    """
    campaign, at = by_id(conn, campaign_id), now(conn)
    hours = (campaign.quiet_hours, campaign.zone)
    reopened = conn.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id, campaigns.c.state == CampaignState.DONE)
        .values(
            state=CampaignState.SENDING,
            attended_at=at,
            open_until=campaign_hours.open_until(*hours, at),
        )
    )
    campaign = by_id(conn, campaign_id)
    if reopened.rowcount:
        campaign_changes.note(
            conn, campaign_id, campaign.state, by=by, because="messages were queued once more"
        )
    if campaign.state is CampaignState.CANCELLED:
        raise RefusedError(
            f"the campaign “{campaign.name}” was cancelled: nothing of it is sent again",
            next_step="Settle these messages as sent, or drop them.",
        )


def cancel(conn: Connection, name: str, because: str, *, by: str = MAILBOT) -> Campaign:
    """End it for good: what was sent stays sent, and nothing more goes out from this commit on.

    Of what waits, the first rows are cancelled here, and the others by `cancel_waiting`.
    """
    campaign = _move(conn, name, _CANCELLABLE, CampaignState.CANCELLED, by=by, because=because)
    chosen = locked_in_order(
        conn,
        outbox,
        outbox.c.campaign_id == campaign.id,
        outbox.c.state == State.CLAIMED,
    )
    conn.execute(update(outbox).where(chosen).values(_CANCELLED))
    cancel_waiting(conn, limit=_CANCELLED_AT_ONCE)
    return campaign


def cancel_waiting(conn: Connection, *, limit: int) -> int:
    """Cancel up to `limit` rows that wait for a campaign that was cancelled; returns how many.

    Also what was on its way then, and came back.
    """
    cancelled = select(campaigns.c.id).where(campaigns.c.state == CampaignState.CANCELLED)
    waiting = conn.execute(
        select(outbox.c.id)
        .where(IS_CLAIMABLE, outbox.c.campaign_id.in_(cancelled))
        .limit(limit)
    ).scalars().all()  # fmt: skip
    if not waiting:
        return 0
    chosen = locked_in_order(conn, outbox, IS_CLAIMABLE, outbox.c.id.in_(waiting))
    return conn.execute(update(outbox).where(chosen).values(_CANCELLED)).rowcount


def _move(
    conn: Connection,
    name: str,
    allowed: Iterable[CampaignState],
    target: CampaignState,
    *conditions: ColumnElement[bool],
    by: str,
    because: str | None,
    stored: Mapping[str, object] | None = None,
) -> Campaign:
    """Change the state by compare-and-set, so that of two people only one starts a campaign.

    The other is told who was faster, and when.
    """
    moved = conn.execute(
        update(campaigns)
        .where(campaigns.c.name == name, campaigns.c.state.in_(sorted(allowed)), *conditions)
        .values(state=target, **{"because": because, **(stored or {})})
    )
    campaign = get(conn, name)
    if moved.rowcount == 0:
        raise RefusedError(
            f"the campaign “{name}” is {campaign.state} and cannot become {target}"
            f"{_by_whom(conn, campaign)}"
        )
    campaign_changes.note(conn, campaign.id, target, by=by, because=because)
    return campaign


def _by_whom(conn: Connection, campaign: Campaign) -> str:
    last = campaign_changes.last(conn, campaign.id)
    if last is None or last.state is not campaign.state:
        return ""
    why = f" ({last.because})" if last.because else ""
    return f": {last.by} did that at {last.at:%Y-%m-%d %H:%M:%S} UTC{why}."


def start_due(conn: Connection) -> list[Campaign]:
    """Move the scheduled campaigns whose time has come to `sending`; returns them.

    One that is too late, or that no clock is known for, is paused instead, and asks.
    """
    due = conn.execute(
        select(campaigns)
        .where(campaigns.c.state == CampaignState.SCHEDULED, campaigns.c.send_at <= DatabaseTime())
        .order_by(campaigns.c.name)
    ).all()
    started = []
    for campaign in map(_campaign, due):
        at = now(conn)
        fault = campaign_hours.fault(campaign.quiet_hours, campaign.zone, campaign.send_at, at)
        try:
            if fault is not None:
                pause(conn, campaign.name, fault.because, hold=fault.hold)
                continue
            started.append(_start(conn, campaign, at))
        except RefusedError:
            continue  # somebody else was faster
    return started


def _start(conn: Connection, campaign: Campaign, at: datetime) -> Campaign:
    hours = (campaign.quiet_hours, campaign.zone)
    return _move(
        conn, campaign.name, (CampaignState.SCHEDULED,), CampaignState.SENDING,
        campaigns.c.send_at <= at, by=MAILBOT, because=None,
        stored={"attended_at": at, "open_until": campaign_hours.open_until(*hours, at)},
    )  # fmt: skip


_OPEN_STATES = sorted(set(State) - FINAL - {State.SENT, State.UNCERTAIN})
_HAS_OPEN_ROW = (
    select(outbox.c.id)
    .where(outbox.c.campaign_id == campaigns.c.id, outbox.c.state.in_(_OPEN_STATES))
    .exists()
)


def has_more(conn: Connection, campaign_id: int) -> bool:
    """Whether anybody is still to be written to."""
    is_more = or_(campaigns.c.expanded_at.is_(None), _HAS_OPEN_ROW)
    asked = select(campaigns.c.id).where(campaigns.c.id == campaign_id, is_more)
    return conn.execute(asked).first() is not None


def finish_sent(conn: Connection) -> list[Campaign]:
    """Move the campaigns to `done` that have no row left to send; returns them.

    Uncertain rows wait for a person and do not hold a campaign open.
    """
    rows = conn.execute(
        update(campaigns)
        .where(
            campaigns.c.state == CampaignState.SENDING,
            campaigns.c.expanded_at.is_not(None),
            ~_HAS_OPEN_ROW,
        )
        .values(state=CampaignState.DONE)
        .returning(campaigns.c.id, campaigns.c.name)
    ).all()
    for row in rows:
        campaign_changes.note(conn, row.id, CampaignState.DONE, by=MAILBOT, because=None)
    return [get(conn, name) for name in sorted(row.name for row in rows)]
