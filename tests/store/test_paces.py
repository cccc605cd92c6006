"""The pace is counted in the database: by every daemon, over restarts, and without a burst."""

from __future__ import annotations

import threading
from datetime import timedelta

from sqlalchemy import select, update

from mailbot.core.pace import Limits
from mailbot.store import campaigns, outbox, paces
from mailbot.store.campaigns import SendingPlan
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database, now
from mailbot.store.outbox import ClaimedRow
from mailbot.store.tables import campaigns as campaign_rows
from mailbot.store.tables import outbox as rows
from mailbot.store.tables import paces as pace_rows
from tests.databases import Databases
from tests.store.filling import campaign_under_way, queue_order_status

PEOPLE = [f"c{number}@example.org" for number in range(30)]


def claim(
    database: Database, pace: Limits, *, by: str = "daemon-1", waiting: int = 0, limit: int = 100
) -> list[ClaimedRow]:
    with database.write() as conn:
        return outbox.claim(
            conn, claimed_by=by, lease_seconds=60, limit=limit, with_campaigns=True, pace=pace,
            waiting=waiting,
        )  # fmt: skip


def let_time_pass(database: Database, seconds: float) -> None:
    """As if each place had been given that much earlier, and each row put off to that earlier."""
    with database.write() as conn:
        for row in conn.execute(select(pace_rows)).all():
            conn.execute(
                update(pace_rows)
                .where(pace_rows.c.campaign_id == row.campaign_id, pace_rows.c.domain == row.domain)
                .values(
                    next_at=row.next_at - timedelta(seconds=seconds),
                    put_off_to=row.put_off_to and row.put_off_to - timedelta(seconds=seconds),
                )
            )
        for row in conn.execute(select(rows.c.id, rows.c.not_before)).all():
            earlier = row.not_before - timedelta(seconds=seconds)
            conn.execute(update(rows).where(rows.c.id == row.id).values(not_before=earlier))


def test_two_daemons_share_one_pace(database: Database) -> None:
    campaign_under_way(database, *PEOPLE)
    pace = Limits(per_hour=3600)
    counts = [len(claim(database, pace, by=f"daemon-{turn % 2}")) for turn in range(4)]
    assert 1 <= sum(counts) <= 3  # one a second, and two seconds are caught up
    let_time_pass(database, 2)
    assert 1 <= len(claim(database, pace, by="daemon-0")) <= 3
    assert len(claim(database, pace, by="daemon-1")) <= 1


def test_a_restart_knows_how_far_the_pace_is(databases: Databases) -> None:
    url = databases.migrated()
    first = Database.open(url)
    campaign_under_way(first, *PEOPLE)
    assert len(claim(first, Limits(per_hour=60))) == 1
    first.close()
    again = Database.open(url)
    assert claim(again, Limits(per_hour=60)) == []
    again.close()


def test_a_pause_is_not_made_up_for(database: Database) -> None:
    campaign_under_way(database, *PEOPLE)
    assert claim(database, Limits(per_hour=3600))
    let_time_pass(database, 3 * 3600)
    assert 1 <= len(claim(database, Limits(per_hour=3600))) <= 4


def test_what_waits_for_a_slow_relay_keeps_the_next_from_being_claimed(database: Database) -> None:
    campaign_under_way(database, *PEOPLE)
    assert claim(database, Limits(per_hour=3600), waiting=5) == []
    assert len(claim(database, Limits(per_hour=3600), waiting=4)) == 1


def test_order_status_never_waits_for_a_pace(database: Database) -> None:
    campaign_under_way(database, *PEOPLE)
    claim(database, Limits(per_hour=1))
    for number in range(5):
        queue_order_status(database, key=f"o{number}")
    assert [row.kind for row in claim(database, Limits(1, 1))] == ["order_status"] * 5


def test_a_campaigns_own_pace_slows_it_alone(database: Database) -> None:
    campaign_under_way(database, *PEOPLE)
    campaign_under_way(database, *PEOPLE, name="summer")
    with database.write() as conn:
        conn.execute(
            update(campaign_rows).where(campaign_rows.c.name == "spring").values(per_hour=60)
        )
    counts = [row.campaign_id for row in claim(database, Limits())]
    assert (counts.count(1), counts.count(2)) == (1, 30)


def test_a_domain_has_a_pace_of_its_own_and_lets_the_others_by(database: Database) -> None:
    people = [f"c{n}@{'Slow.example' if n % 2 else f'd{n}.example'}" for n in range(20)]
    campaign_under_way(database, *people)
    pace = Limits(per_hour_and_domain=60)
    domains = [str(row.address).rpartition("@")[2].lower() for row in claim(database, pace)]
    assert sorted(domains) == sorted({*domains}), "one to each"
    assert len(domains) == 11
    with database.read() as conn:
        waiting = conn.execute(
            select(rows.c.not_before).where(rows.c.state == "queued").order_by(rows.c.not_before)
        ).scalars().all()  # fmt: skip
        at = now(conn)
    minutes = [round((due - at).total_seconds() / 60) for due in waiting]
    assert minutes == list(range(1, 10)), "each a minute after the one before"
    assert claim(database, pace) == []
    let_time_pass(database, 61)
    assert len(claim(database, pace)) == 1


def test_after_a_pause_those_who_were_put_off_come_one_by_one(database: Database) -> None:
    campaign_under_way(database, *PEOPLE)
    pace = Limits(per_hour_and_domain=60)
    assert len(claim(database, pace)) == 1
    let_time_pass(database, 24 * 3600)
    assert len(claim(database, pace)) == 1
    assert claim(database, pace) == []


def test_daemons_that_claim_at_once_keep_to_it_together(database: Database) -> None:
    campaign_under_way(database, *PEOPLE)
    taken: list[ClaimedRow] = []
    barrier = threading.Barrier(4)

    def daemon(number: int) -> None:
        barrier.wait()
        for _ in range(5):
            taken.extend(claim(database, Limits(60, 60), by=f"daemon-{number}"))

    threads = [threading.Thread(target=daemon, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(taken) == 1


def test_a_pace_that_says_nothing_any_more_is_forgotten(database: Database) -> None:
    campaign_under_way(database, *PEOPLE)
    claim(database, Limits(3600, 3600))
    let_time_pass(database, 3600)
    with database.write() as conn:
        paces.forget_idle(conn)
        left = conn.execute(select(pace_rows.c.campaign_id, pace_rows.c.domain)).all()
    assert [tuple(row) for row in left] == [(0, "")]


def test_without_a_pace_nothing_is_counted(database: Database) -> None:
    campaign_under_way(database, *PEOPLE)
    assert len(claim(database, Limits())) == 30
    with database.read() as conn:
        assert len(conn.execute(select(pace_rows)).all()) == 1


def test_a_campaign_that_waits_for_its_pace_is_no_sign_of_trouble(database: Database) -> None:
    campaign_under_way(database, *PEOPLE)
    with database.write() as conn:
        conn.execute(update(rows).values(not_before=DatabaseTime(-7200)))
        assert outbox.oldest_waiting_at(conn) is not None
        assert outbox.oldest_waiting_at(conn, is_paced=True) is None
        conn.execute(update(campaign_rows).values(per_hour=60))
        assert outbox.oldest_waiting_at(conn) is None


def test_a_plan_stays_with_its_campaign(database: Database) -> None:
    with database.write() as conn:
        campaigns.create(conn, name="spring", subject="s", text_source="t", html_source=None)
        campaigns.finish_loading(conn, "spring")
        plan = SendingPlan("21:00-08:00", "Europe/Berlin", 5, 2)
        kept = campaigns.schedule(conn, "spring", now(conn), plan)
    assert (kept.per_hour, kept.per_hour_and_domain) == (5, 2)
    assert (kept.quiet_hours, kept.zone) == ("21:00-08:00", "Europe/Berlin")


def test_the_next_place_is_the_one_that_is_free_on_every_pace_that_holds(
    database: Database,
) -> None:
    spring = campaign_under_way(database, *PEOPLE)
    with database.write() as conn:
        conn.execute(update(campaign_rows).values(per_hour=60))
        at = now(conn)
    assert len(claim(database, Limits(per_hour=6))) == 1
    with database.read() as conn:
        own = paces.next_place(conn, [spring])
        of_all = paces.next_place(conn, [paces.EVERYBODY])
        both = paces.next_place(conn, [spring, paces.EVERYBODY])
        assert paces.next_place(conn, []) is None
        assert paces.next_place(conn, [spring + 1]) is None
    assert own is not None
    assert of_all is not None
    assert timedelta(0) < own - at < of_all - at
    assert both == of_all
