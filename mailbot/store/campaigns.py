"""Campaigns: one template, one audience, one time. Expanded into the outbox when they are due."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from mailbot.core.address import Address
from mailbot.core.errors import NotFoundError, RefusedError
from mailbot.core.outbox_states import FINAL, State
from mailbot.core.person import Person
from mailbot.store import audiences, suppressions
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


def finish_loading(conn: Connection, name: str) -> Campaign:
    """The whole audience is in: the campaign is a draft."""
    audiences.let_planner_know(conn)
    return _move(conn, name, (CampaignState.LOADING,), CampaignState.DRAFT)


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


def _campaign(row: Any) -> Campaign:
    return Campaign(
        row.id, row.name, CampaignState(row.state), row.subject, row.text_source,
        row.html_source, row.created_at, row.send_at, row.audience_count, row.expanded_count,
        row.expanded_at is not None, row.because,
        None if row.audience_source is None else
        Origin(row.audience_source, row.audience_query, row.audience_query_hash),
    )  # fmt: skip


def schedule(conn: Connection, name: str, send_at: datetime) -> Campaign:
    """Set the sending time. Raises RefusedError once it is under way."""
    return _move(conn, name, _SCHEDULABLE, CampaignState.SCHEDULED, send_at=send_at, because=None)


def pause(conn: Connection, name: str, because: str) -> Campaign:
    """Stop sending; rows claimed and not begun go back to the queue."""
    campaign = _move(conn, name, _PAUSABLE, CampaignState.PAUSED, because=because)
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


def resume(conn: Connection, name: str) -> Campaign:
    """Go on where it was: as scheduled before its time, else sending."""
    campaign = get(conn, name)
    is_early = campaign.send_at is not None and campaign.send_at > now(conn)
    target = CampaignState.SCHEDULED if is_early else CampaignState.SENDING
    return _move(conn, name, (CampaignState.PAUSED,), target, because=None)


def reopen(conn: Connection, campaign_id: int) -> None:
    """Let a campaign that was over send again, for messages that a person has queued once more.

    Raises RefusedError where it was cancelled: nothing of it goes out any more.
    """
    conn.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id, campaigns.c.state == CampaignState.DONE)
        .values(state=CampaignState.SENDING)
    )
    campaign = by_id(conn, campaign_id)
    if campaign.state is CampaignState.CANCELLED:
        raise RefusedError(
            f"the campaign “{campaign.name}” was cancelled: nothing of it is sent again",
            next_step="Settle these messages as sent, or drop them.",
        )


def cancel(conn: Connection, name: str, because: str) -> Campaign:
    """End it for good: what was sent stays sent, and nothing more goes out from this commit on.

    Of what waits, the first rows are cancelled here, and the others by `cancel_waiting`.
    """
    campaign = _move(conn, name, _CANCELLABLE, CampaignState.CANCELLED, because=because)
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
    **columns: object,
) -> Campaign:
    """Change the state by compare-and-set, so that of two people only one starts a campaign."""
    moved = conn.execute(
        update(campaigns)
        .where(campaigns.c.name == name, campaigns.c.state.in_(sorted(allowed)))
        .values(state=target, **columns)
    )
    campaign = get(conn, name)
    if moved.rowcount == 0:
        raise RefusedError(f"the campaign “{name}” is {campaign.state} and cannot become {target}")
    return campaign


def start_due(conn: Connection) -> list[Campaign]:
    """Move the scheduled campaigns whose time has come to `sending`; returns them."""
    rows = conn.execute(
        update(campaigns)
        .where(campaigns.c.state == CampaignState.SCHEDULED, campaigns.c.send_at <= DatabaseTime())
        .values(state=CampaignState.SENDING)
        .returning(campaigns.c.name)
    )
    return [get(conn, name) for name in sorted(rows.scalars())]


def finish_sent(conn: Connection) -> list[Campaign]:
    """Move the campaigns to `done` that have no row left to send; returns them.

    Uncertain rows wait for a person and do not hold a campaign open.
    """
    open_states = sorted(set(State) - FINAL - {State.SENT, State.UNCERTAIN})
    has_open_row = (
        select(outbox.c.id)
        .where(outbox.c.campaign_id == campaigns.c.id, outbox.c.state.in_(open_states))
        .exists()
    )
    rows = conn.execute(
        update(campaigns)
        .where(
            campaigns.c.state == CampaignState.SENDING,
            campaigns.c.expanded_at.is_not(None),
            ~has_open_row,
        )
        .values(state=CampaignState.DONE)
        .returning(campaigns.c.name)
    )
    return [get(conn, name) for name in sorted(rows.scalars())]
