"""A campaign's life, and that of two people only one can start it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mailbot.core.consent import Kind, Reason
from mailbot.core.errors import NotFoundError, RefusedError
from mailbot.core.outbox_states import State
from mailbot.store import campaign_figures, campaigns, consent, expansion
from mailbot.store.campaigns import Member
from mailbot.store.engine import Database, now
from mailbot.store.tables import CampaignState
from tests.people import address, event, person
from tests.store.filling import begin, campaign_under_way, claim, end


def draft(database: Database, *people: str, name: str = "spring") -> int:
    with database.write() as conn:
        campaign_id = campaigns.create(
            conn, name=name, subject="Teas", text_source="Hello", html_source=None
        )
        campaigns.add_members(conn, campaign_id, [
            Member(line, address(who), person(who), {}) for line, who in enumerate(people, 2)
        ])  # fmt: skip
        campaigns.finish_loading(conn, name)
    return campaign_id


def test_a_name_is_taken_once(database: Database) -> None:
    draft(database)
    with pytest.raises(RefusedError, match="already there"), database.write() as conn:
        campaigns.create(conn, name="spring", subject="", text_source="", html_source=None)


def test_a_campaign_whose_audience_is_still_being_read_cannot_be_scheduled(
    database: Database,
) -> None:
    with database.write() as conn:
        campaigns.create(conn, name="spring", subject="s", text_source="t", html_source=None)
    with pytest.raises(RefusedError, match="loading"), database.write() as conn:
        campaigns.schedule(conn, "spring", now(conn))


def test_an_unknown_name_is_said_so(database: Database) -> None:
    with pytest.raises(NotFoundError, match="no campaign"), database.read() as conn:
        campaigns.get(conn, "autumn")


def test_a_person_who_stands_in_the_audience_twice_is_kept_once(database: Database) -> None:
    campaign_id = draft(database, "ann@example.org", "ANN@example.org", "bob@example.org")
    with database.read() as conn:
        assert campaign_figures.progress(conn, campaign_id).audience == 2


def test_a_scheduled_campaign_starts_at_its_time_and_not_before(database: Database) -> None:
    draft(database, "ann@example.org")
    with database.write() as conn:
        campaigns.schedule(conn, "spring", now(conn) + timedelta(hours=1))
        assert campaigns.start_due(conn) == []
        campaigns.schedule(conn, "spring", now(conn) - timedelta(seconds=1))
        [started] = campaigns.start_due(conn)
        assert started.state is CampaignState.SENDING
        assert campaigns.start_due(conn) == []


def test_expanding_resumes_where_it_was_and_queues_nobody_twice(database: Database) -> None:
    campaign_id = draft(database, *(f"c{n}@example.org" for n in range(10)))
    with database.write() as conn:
        campaigns.schedule(conn, "spring", now(conn) - timedelta(seconds=1))
        campaigns.start_due(conn)
    taken = []
    while True:
        with database.write() as conn:
            taken.append(
                expansion.expand(conn, campaign_id, our_domain="s.example", limit=4).members
            )
        if not taken[-1]:
            break
    assert taken == [4, 4, 2, 0]
    with database.read() as conn:
        assert expansion.unexpanded(conn) == []
        assert campaign_figures.progress(conn, campaign_id).by_state == {State.QUEUED: 10}


def test_the_next_part_is_found_along_an_index_and_the_rest_is_not_sorted(
    database: Database,
) -> None:
    """A million members would be sorted a thousand times."""
    campaign_id = draft(database, *(f"c{n}@example.org" for n in range(4000)))
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    with database.read() as conn:
        compiled = expansion._NEXT.compile(dialect=conn.dialect)
        named = compiled.construct_params({"of": campaign_id, "after": "4", "limit": 100})
        given = tuple(named[name] for name in compiled.positiontup or ()) or named
        plan = conn.exec_driver_sql(f"{explain} {compiled}", given).all()
    told = "\n".join(str(row[-1]) for row in plan)
    assert "campaign_id" in told, told
    assert "Sort" not in told, told
    assert "TEMP B-TREE" not in told, told


def test_a_campaign_cancelled_while_it_is_expanded_queues_nobody_more(database: Database) -> None:
    campaign_id = draft(database, *(f"c{n}@example.org" for n in range(10)))
    with database.write() as conn:
        campaigns.schedule(conn, "spring", now(conn) - timedelta(seconds=1))
        campaigns.start_due(conn)
        expansion.expand(conn, campaign_id, our_domain="s.example", limit=4)
    with database.write() as conn:
        campaigns.cancel(conn, "spring", "wrong price")
    with database.write() as conn:
        assert expansion.expand(conn, campaign_id, our_domain="s.example", limit=4).members == 0
    with database.read() as conn:
        assert campaign_figures.progress(conn, campaign_id).by_state == {State.CANCELLED: 4}


def test_cancelling_ends_what_waits_and_leaves_what_was_sent(database: Database) -> None:
    campaign_id = campaign_under_way(database, "ann@example.org", "bob@example.org")
    [row] = claim(database, limit=1)
    attempt_id = begin(database, row)
    assert attempt_id is not None
    end(database, row, attempt_id, State.SENT)
    with database.write() as conn:
        campaigns.cancel(conn, "spring", "wrong price")
    with database.read() as conn:
        by_state = campaign_figures.progress(conn, campaign_id).by_state
    assert by_state == {State.SENT: 1, State.CANCELLED: 1}
    with pytest.raises(RefusedError, match="cancelled"), database.write() as conn:
        campaigns.resume(conn, "spring")


def test_a_row_that_was_on_its_way_when_its_campaign_was_cancelled_is_cancelled_after(
    database: Database,
) -> None:
    campaign_id = campaign_under_way(database, "ann@example.org")
    [row] = claim(database)
    attempt_id = begin(database, row)
    assert attempt_id is not None
    with database.write() as conn:
        campaigns.cancel(conn, "spring", "wrong price")
    end(database, row, attempt_id, State.DEFERRED)
    with database.write() as conn:
        assert campaigns.cancel_waiting(conn, limit=10) == 1
        assert campaigns.finish_sent(conn) == []
    with database.read() as conn:
        assert campaign_figures.progress(conn, campaign_id).by_state == {State.CANCELLED: 1}


def test_a_big_campaign_is_cancelled_part_by_part_and_nobody_is_claimed_meanwhile(
    database: Database,
) -> None:
    campaign_id = campaign_under_way(database, *(f"c{n}@example.org" for n in range(900)))
    campaign_under_way(database, "ann@example.org", name="summer")
    with database.write() as conn:
        campaigns.cancel(conn, "spring", "wrong price")
    with database.read() as conn:
        left = campaign_figures.progress(conn, campaign_id).by_state
    assert left == {State.QUEUED: 400, State.CANCELLED: 500}
    assert [row.address for row in claim(database)] == ["ann@example.org"]
    with database.write() as conn:
        parts = [campaigns.cancel_waiting(conn, limit=150) for _ in range(4)]
    assert parts == [150, 150, 100, 0]
    with database.read() as conn:
        assert campaign_figures.progress(conn, campaign_id).by_state == {State.CANCELLED: 900}


def test_a_campaign_is_done_when_no_row_waits_any_more(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    with database.write() as conn:
        assert campaigns.finish_sent(conn) == []
    [row] = claim(database)
    attempt_id = begin(database, row)
    assert attempt_id is not None
    end(database, row, attempt_id, State.SENT)
    with database.write() as conn:
        [done] = campaigns.finish_sent(conn)
    assert done.state is CampaignState.DONE


def test_reach_says_before_sending_who_is_excluded_and_why(database: Database) -> None:
    campaign_id = draft(database, "ann+a@example.org", "bob@example.org", "cleo@example.org")
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "ann@example.org"))
        consent.record(conn, event(Kind.UNDELIVERABLE, "bob@example.org"))
    with database.read() as conn:
        assert campaign_figures.reach(conn, campaign_id) == (
            1, {Reason.OPT_OUT: 1, Reason.UNDELIVERABLE: 1}
        )  # fmt: skip
