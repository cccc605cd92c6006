"""A campaign stops itself for complaints and dead addresses, and goes on only when told to."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import Connection, func, select, update

from mailbot.core.errors import RefusedError
from mailbot.store import campaign_brakes, campaign_changes, campaigns
from mailbot.store.campaigns import Campaign
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database
from mailbot.store.tables import CampaignState
from mailbot.store.tables import outbox as rows
from tests.store.filling import campaign_under_way


def sent_to(database: Database, count: int, *, of: int | None = None) -> None:
    """A campaign of so many people, a first part of whom it has reached."""
    campaign_under_way(database, *(f"c{number}@example.org" for number in range(of or count)))
    reach(database, count)


def reach(database: Database, count: int) -> None:
    with database.write() as conn:
        some = conn.execute(
            select(rows.c.id).where(rows.c.state == "queued").order_by(rows.c.id).limit(count)
        ).scalars().all()  # fmt: skip
        conn.execute(
            update(rows).where(rows.c.id.in_(some)).values(state="sent", finished_at=DatabaseTime())
        )


def complain(database: Database, *ids: int) -> None:
    with database.write() as conn:
        campaign_brakes.lock_of(conn, ids)
        campaign_brakes.count_complaints(conn, ids)


def report(database: Database, *ids: int) -> frozenset[int]:
    """A delivery report, as intake settles it."""
    with database.write() as conn:
        campaign_brakes.lock_of(conn, ids)
        doubted = campaign_brakes.count_reported(conn, ids)
        conn.execute(update(rows).where(rows.c.id.in_(ids)).values(state="bounced"))
        return doubted


def spring(database: Database) -> Campaign:
    with database.read() as conn:
        return campaigns.get(conn, "spring")


def resume(database: Database, *, despite_brake: bool) -> Campaign:
    with database.write() as conn:
        return campaign_brakes.resume(conn, "spring", by="ann", despite_brake=despite_brake)


def test_the_third_complaint_of_three_hundred_stops_it_and_says_why(database: Database) -> None:
    sent_to(database, 300, of=310)
    complain(database, 1, 2)
    assert spring(database).state is CampaignState.SENDING
    complain(database, 3)
    stopped = spring(database)
    assert (stopped.state, stopped.hold) == (CampaignState.PAUSED, "complaints")
    assert stopped.because == "3 of 300 complained (1.0 %, at most 0.3 %)"


def test_one_message_that_is_complained_of_twice_counts_once(database: Database) -> None:
    sent_to(database, 300, of=310)
    for _ in range(4):
        complain(database, 1)
        complain(database, 2)
    assert spring(database).complaints == 2


def test_below_two_hundred_three_complaints_stop_nothing(database: Database) -> None:
    sent_to(database, 199, of=210)
    complain(database, 1, 2, 3)
    assert spring(database).state is CampaignState.SENDING
    reach(database, 1)
    complain(database, 4)
    assert spring(database).state is CampaignState.PAUSED


def test_dead_addresses_stop_it_above_five_in_a_hundred(database: Database) -> None:
    sent_to(database, 200, of=210)
    assert report(database, *range(1, 11)) == frozenset()
    assert spring(database).state is CampaignState.SENDING
    assert report(database, 11) == {11}, "of whom it is not sure any more"
    assert spring(database).because == "11 of 200 cannot be delivered (5.5 %, at most 5 %)"
    assert report(database, 12) == {12}


def test_one_report_that_comes_twice_counts_once(database: Database) -> None:
    sent_to(database, 200, of=210)
    for _ in range(20):
        report(database, 1, 2)
    assert spring(database).undeliverable == 2


def test_a_braked_campaign_goes_on_only_when_it_is_said_so_and_that_is_recorded(
    database: Database,
) -> None:
    sent_to(database, 200, of=600)
    complain(database, 1, 2, 3)
    with pytest.raises(RefusedError, match="3 of 200 complained") as told:
        resume(database, despite_brake=False)
    assert "--despite-brake" in told.value.next_step
    assert resume(database, despite_brake=True).state is CampaignState.SENDING
    with database.read() as conn:
        last = campaign_changes.last(conn, 1)
    assert last is not None
    assert (last.by, last.state) == ("ann", CampaignState.SENDING)
    assert str(last.because).startswith("despite the brake: 3 of 200")


def test_after_that_what_went_out_before_stops_it_no_more_and_what_goes_wrong_anew_does(
    database: Database,
) -> None:
    sent_to(database, 200, of=600)
    complain(database, 1, 2, 3)
    resume(database, despite_brake=True)
    complain(database, *range(4, 60))
    assert spring(database).complaints == 0, "their messages had gone out"
    reach(database, 200)
    complain(database, 201, 202)
    assert spring(database).state is CampaignState.SENDING
    complain(database, 203)
    assert spring(database).because == "3 of 200 complained (1.5 %, at most 0.3 %)"


def test_a_brake_on_a_campaign_that_a_person_paused_asks_before_it_goes_on(
    database: Database,
) -> None:
    sent_to(database, 200, of=210)
    with database.write() as conn:
        campaigns.pause(conn, "spring", "a look at the price", by="ann")
    complain(database, 1, 2, 3)
    with pytest.raises(RefusedError, match="complained"):
        resume(database, despite_brake=False)


def test_a_campaign_that_is_over_stays_over(database: Database) -> None:
    sent_to(database, 200)
    with database.write() as conn:
        campaigns.cancel(conn, "spring", "wrong price")
    complain(database, 1, 2, 3)
    assert spring(database).state is CampaignState.CANCELLED


def test_complaints_that_come_at_once_are_all_counted_and_stop_it_once(database: Database) -> None:
    sent_to(database, 200, of=210)
    barrier = threading.Barrier(6)

    def arrive(number: int) -> None:
        barrier.wait()
        complain(database, number)

    threads = [threading.Thread(target=arrive, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert spring(database).complaints == 6
    with database.read() as conn:
        changes = campaign_changes.of_campaign(conn, 1)
    assert [change.state for change in changes].count(CampaignState.PAUSED) == 1


def test_a_campaign_that_goes_well_is_not_counted_anew_for_each_event(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent_to(database, 900, of=910)
    counts: list[int] = []
    count = campaign_brakes._sent

    def counting(conn: Connection, campaign_id: int, most: int | None = None) -> int:
        counts.append(campaign_id)
        return count(conn, campaign_id, most)

    monkeypatch.setattr(campaign_brakes, "_sent", counting)
    for number in range(1, 31):
        report(database, number)
    assert spring(database).state is CampaignState.SENDING
    assert len(counts) < 12
    with database.read() as conn:
        assert conn.execute(select(func.count()).where(rows.c.state == "bounced")).scalar() == 30


def test_times_are_compared_by_the_databases_clock(database: Database) -> None:
    sent_to(database, 200, of=210)
    complain(database, 1, 2, 3)
    resumed = resume(database, despite_brake=True)
    assert resumed.counted_from is not None
    with database.write() as conn:
        conn.execute(
            update(rows).where(rows.c.id == 4)
            .values(finished_at=resumed.counted_from + timedelta(seconds=1))
        )  # fmt: skip
    complain(database, 4, 5)
    assert spring(database).complaints == 1
