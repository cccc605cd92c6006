"""A campaign that is too late asks, one in its quiet hours waits, and nobody claims meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from mailbot.core.outbox_states import State
from mailbot.store import campaign_attending, campaigns, deliveries, switches
from mailbot.store.campaigns import Campaign
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database, now
from mailbot.store.tables import CampaignState
from mailbot.store.tables import campaigns as rows
from tests.store.filling import ME, begin, campaign_under_way, claim, end
from tests.store.test_campaigns import draft


def attend(database: Database) -> list[Campaign]:
    with database.write() as conn:
        return campaign_attending.attend(conn)


def spring(database: Database) -> Campaign:
    with database.read() as conn:
        return campaigns.get(conn, "spring")


def nobody_ticked_for(database: Database, seconds: float) -> None:
    with database.write() as conn:
        conn.execute(update(rows).values(attended_at=DatabaseTime(-seconds)))


def quiet_around_now(database: Database, *, begins: int, ends: int) -> str:
    """Quiet hours that begin and end so many minutes from now, in UTC."""
    with database.write() as conn:
        at = now(conn)
        hours = "-".join(f"{at + timedelta(minutes=each):%H:%M}" for each in (begins, ends))
        conn.execute(update(rows).values(quiet_hours=hours, zone="UTC"))
    return hours


def test_a_campaign_that_starts_an_hour_late_is_paused_and_asks(database: Database) -> None:
    draft(database, "ann@example.org")
    with database.write() as conn:
        campaigns.schedule(conn, "spring", now(conn) - timedelta(minutes=61))
        assert campaigns.start_due(conn) == []
    late = spring(database)
    assert (late.state, late.hold) == (CampaignState.PAUSED, "late")
    assert "1 h ago: is it still right?" in str(late.because)
    with database.write() as conn:
        assert campaigns.resume(conn, "spring", by="ann").state is CampaignState.SENDING
    assert attend(database) == []


def test_one_that_starts_within_the_hour_just_starts(database: Database) -> None:
    draft(database, "ann@example.org")
    with database.write() as conn:
        campaigns.schedule(conn, "spring", now(conn) - timedelta(minutes=59))
        assert len(campaigns.start_due(conn)) == 1


def test_one_that_nobody_sent_for_an_hour_is_paused_before_a_row_is_claimed(
    database: Database,
) -> None:
    campaign_under_way(database, "ann@example.org")
    nobody_ticked_for(database, 3700)
    assert claim(database) == [], "the sender may be faster than the first tick"
    [paused] = attend(database)
    assert (paused.state, paused.hold) == (CampaignState.PAUSED, "late")
    assert claim(database) == []


def test_a_daemon_that_was_down_for_half_an_hour_goes_on(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    nobody_ticked_for(database, 1800)
    assert claim(database) == []
    assert attend(database) == []
    assert len(claim(database)) == 1


def test_hours_in_which_it_was_quiet_do_not_make_it_late(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    quiet_around_now(database, begins=-300, ends=-5)
    nobody_ticked_for(database, 5 * 3600 + 900)  # down a quarter of an hour before, until now
    assert attend(database) == []
    assert len(claim(database)) == 1


def test_a_campaign_that_was_stopped_with_all_marketing_is_not_late(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    nobody_ticked_for(database, 7200)
    with database.write() as conn:
        switches.turn(conn, switches.MARKETING_STOPPED, is_on=True, because="wrong price")
    assert attend(database) == []


def test_one_of_which_nothing_is_left_to_send_does_not_ask(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    [row] = claim(database)
    attempt = begin(database, row)
    assert attempt is not None
    end(database, row, attempt, State.SENT)
    with database.write() as conn:
        conn.execute(update(rows).values(expanded_at=DatabaseTime()))
    nobody_ticked_for(database, 7200)
    assert attend(database) == []


def test_in_its_quiet_hours_no_row_is_claimed_and_each_look_says_so(database: Database) -> None:
    campaign_under_way(database, "ann@example.org", "bob@example.org")
    [first, _] = claim(database)
    assert begin(database, first) is not None
    quiet_around_now(database, begins=-60, ends=60)
    attend(database)
    assert claim(database) == []
    with database.read() as conn:
        look = deliveries.look_before_sending(conn, [first.id], claimed_by=ME)[first.id]
    assert look.is_quiet
    waiting = spring(database)
    assert waiting.state is CampaignState.SENDING
    until = waiting.quiet_until(datetime.now(UTC))
    assert until is not None
    assert timedelta(minutes=58) < until - datetime.now(UTC) <= timedelta(minutes=61)


def test_it_stops_when_they_begin_even_where_no_daemon_ticks(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    quiet_around_now(database, begins=60, ends=120)
    attend(database)
    open_until = spring(database).open_until
    assert open_until is not None
    with database.write() as conn:
        conn.execute(update(rows).values(open_until=DatabaseTime(1.5)))
    assert claim(database) == [], "MAIL FROM may go out a second after"


def test_it_goes_on_when_they_end(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    quiet_around_now(database, begins=-60, ends=60)
    attend(database)
    assert claim(database) == []
    quiet_around_now(database, begins=-60, ends=-1)
    attend(database)
    assert len(claim(database)) == 1


def test_a_quiet_campaign_is_written_once_a_minute_at_most(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    quiet_around_now(database, begins=-60, ends=60)
    attend(database)
    before = spring(database)
    attend(database)
    assert spring(database) == before


@pytest.mark.parametrize("verb", ["start", "attend"])
def test_a_zone_that_this_machine_does_not_know_asks(database: Database, verb: str) -> None:
    if verb == "start":
        draft(database, "ann@example.org")
        with database.write() as conn:
            campaigns.schedule(conn, "spring", now(conn))
    else:
        campaign_under_way(database, "ann@example.org")
    with database.write() as conn:
        conn.execute(update(rows).values(quiet_hours="21:00-08:00", zone="Moon/Crater"))
        campaigns.start_due(conn)
    attend(database)
    asks = spring(database)
    assert (asks.state, asks.hold) == (CampaignState.PAUSED, "unknown_zone")
    assert "tzdata" in str(asks.because)
