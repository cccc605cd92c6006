"""Test mails of a campaign to the team: the look at the list for them, and that they were sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from mailbot.core.person import Person
from mailbot.store import ledger, suppressions, switches
from mailbot.store.campaign_changes import MAILBOT
from mailbot.store.columns import DatabaseTime
from mailbot.store.deliveries import Look
from mailbot.store.tables import CampaignState, campaign_tests

_LONGEST_NAME = 100  # characters


@dataclass(frozen=True, slots=True)
class CampaignTest:
    """One test, to one or several of the team; `line` of the audience gave the fields."""

    at: datetime
    by: str
    line: int
    recipients: int
    sent: int  # that the relay took; 0 too where the test was broken off


def look(conn: Connection, person: Person) -> Look:
    """What the look before an offer to `person` sees; `conn` must be a fresh snapshot.

    There is no row that another daemon could take over, and no hour in which the team is not to
    be written to. A test goes out before its campaign does.
    """
    return Look(
        reasons=suppressions.reasons(conn, person),
        list_sequence=ledger.head_sequence(conn),
        is_ours=True,
        campaign_state=CampaignState.SENDING,
        is_marketing_stopped=switches.is_marketing_stopped(conn),
    )


def begin(conn: Connection, campaign_id: int, *, by: str, line: int, recipients: int) -> int:
    """Record a test before it is sent; returns its id."""
    made = insert(campaign_tests).values(
        campaign_id=campaign_id, at=DatabaseTime(), sent_by=by[:_LONGEST_NAME] or MAILBOT,
        line=line, recipients=recipients,
    )  # fmt: skip
    test_id: int = conn.execute(made.returning(campaign_tests.c.id)).scalar_one()
    return test_id


def end(conn: Connection, test_id: int, *, sent: int) -> None:
    """Record how many of a test the relay took."""
    conn.execute(update(campaign_tests).where(campaign_tests.c.id == test_id).values(sent=sent))


def of_campaign(conn: Connection, campaign_id: int) -> list[CampaignTest]:
    """Every test of a campaign, oldest first."""
    rows = conn.execute(
        select(campaign_tests)
        .where(campaign_tests.c.campaign_id == campaign_id)
        .order_by(campaign_tests.c.id)
    )
    return [CampaignTest(row.at, row.sent_by, row.line, row.recipients, row.sent) for row in rows]
