"""Each second: campaigns that are being sent are looked after, so that none goes on too late.

Where nobody looked after a campaign for a while, no row of it is claimed before somebody has asked
whether it is too late. Its quiet hours become one moment in the database, which every claim and
every look before sending compares with the database's clock: where no daemon ticks, it stops there.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, or_, update

from mailbot.core.errors import RefusedError
from mailbot.store import campaign_hours, campaigns, paces, switches
from mailbot.store.campaigns import Campaign
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import now
from mailbot.store.tables import CampaignState
from mailbot.store.tables import campaigns as rows

_ATTEND_EVERY: Final = timedelta(minutes=1)
_UNATTENDED_SECONDS: Final = 600.0
# MAIL FROM goes out within a second of the look (see outbound.delivery).
_MARGIN_SECONDS: Final = 2.0

IS_OPEN = or_(rows.c.open_until.is_(None), rows.c.open_until > DatabaseTime(_MARGIN_SECONDS))
IS_GOING_OUT = and_(
    rows.c.state == CampaignState.SENDING,
    rows.c.attended_at > DatabaseTime(-_UNATTENDED_SECONDS),
    IS_OPEN,
)


def attend(conn: Connection) -> list[Campaign]:
    """Look after every campaign that is being sent; returns those that were paused, and ask."""
    sending = campaigns.sending(conn)
    if not sending:
        return []
    at, paused = now(conn), []
    is_stopped = switches.is_marketing_stopped(conn)
    for campaign in sending:
        # While marketing is stopped a campaign is not late: a person holds it.
        since = None if is_stopped else campaign.attended_at
        fault = campaign_hours.fault(campaign.quiet_hours, campaign.zone, since, at)
        if fault is None or not campaigns.has_more(conn, campaign.id):
            _keep(conn, campaign, at)
            continue
        try:
            paused.append(campaigns.pause(conn, campaign.name, fault.because, hold=fault.hold))
        except RefusedError:
            continue  # somebody paused it meanwhile
    return paused


def _keep(conn: Connection, campaign: Campaign, at: datetime) -> None:
    """Say that somebody looks after it, and until when it may go out. Mostly nothing is written."""
    is_fresh = campaign.attended_at is not None and at - campaign.attended_at < _ATTEND_EVERY
    stops_at = campaign_hours.open_until(campaign.quiet_hours, campaign.zone, at)
    if stops_at == at and campaign.open_until is not None and campaign.open_until <= at:
        stops_at = campaign.open_until  # it has stopped already
    if is_fresh and stops_at == campaign.open_until:
        return
    conn.execute(
        update(rows)
        .where(rows.c.id == campaign.id, rows.c.state == CampaignState.SENDING)
        .values(attended_at=at, open_until=stops_at)
    )
    paces.forget_idle(conn)
