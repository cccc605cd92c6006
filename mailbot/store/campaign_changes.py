"""Who changed a campaign's state, when and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from mailbot.store.columns import DatabaseTime
from mailbot.store.tables import CampaignState, campaign_changes

MAILBOT = "mailbot"  # changed it by itself
_LONGEST_NAME = 100  # characters


@dataclass(frozen=True, slots=True)
class CampaignChange:
    """One change; `state` is what the campaign was from then on."""

    at: datetime
    by: str
    state: CampaignState
    because: str | None


def note(
    conn: Connection, campaign_id: int, state: CampaignState, *, by: str, because: str | None
) -> None:
    """Record a change, in the transaction that makes it."""
    conn.execute(insert(campaign_changes).values(
        campaign_id=campaign_id, at=DatabaseTime(), changed_by=by[:_LONGEST_NAME] or MAILBOT,
        state=state, because=because or None,
    ))  # fmt: skip


def of_campaign(conn: Connection, campaign_id: int) -> list[CampaignChange]:
    """Every change of a campaign, oldest first."""
    rows = conn.execute(
        select(campaign_changes)
        .where(campaign_changes.c.campaign_id == campaign_id)
        .order_by(campaign_changes.c.id)
    )
    return [
        CampaignChange(row.at, row.changed_by, CampaignState(row.state), row.because)
        for row in rows
    ]


def last(conn: Connection, campaign_id: int) -> CampaignChange | None:
    """The latest change; None where an older mailbot made it."""
    row = conn.execute(
        select(campaign_changes)
        .where(campaign_changes.c.campaign_id == campaign_id)
        .order_by(campaign_changes.c.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    return CampaignChange(row.at, row.changed_by, CampaignState(row.state), row.because)
