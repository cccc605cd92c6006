"""A campaign in numbers: whom the list leaves of an audience."""

from __future__ import annotations

import math
import random

import pytest
from sqlalchemy import Connection, select, update

from mailbot.core.consent import ConsentEvent, Kind, Reason, Source
from mailbot.core.outbox_states import State
from mailbot.core.person import Person
from mailbot.store import campaign_figures, campaigns, consent, expansion, suppressions
from mailbot.store.campaign_figures import CampaignTally
from mailbot.store.campaigns import Member
from mailbot.store.engine import Database, now
from mailbot.store.tables import audience_members, outbox
from tests.people import address, person

NAMES = [f"{name}{tag}@example.org" for name in "abcdefgh" for tag in ("", "+x", "+y")]
KINDS = [Kind.OPT_OUT, Kind.COMPLAINT, Kind.UNDELIVERABLE, Kind.HELD]


@pytest.mark.parametrize("seed", range(12))
def test_reach_counts_as_the_rule_of_the_list_does_for_each_member(
    database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    audience = chance.sample(NAMES, 14)
    with database.write() as conn:
        campaign_id = campaigns.create(
            conn, name="spring", subject="Teas", text_source="Hello", html_source=None
        )
        campaigns.add_members(conn, campaign_id, [
            Member(line, address(who), person(who), {}) for line, who in enumerate(audience, 2)
        ])  # fmt: skip
        for number, who in enumerate(chance.choices(NAMES, k=chance.randrange(10))):
            left = person(who)
            if chance.random() < 0.4:  # by a token, which bears the exact hash alone
                left = Person(left.person_hash, left.person_hash)
            consent.record(conn, ConsentEvent(
                chance.choice(KINDS), Source.ONE_CLICK, left, str(number), now(conn), "token", "1"
            ))  # fmt: skip
    with database.read() as conn:
        each = [suppressions.reasons(conn, person(who)) for who in audience]
        counted = {reason: sum(reason in found for found in each) for reason in Reason}
        assert campaign_figures.reach(conn, campaign_id) == (
            sum(not found for found in each),
            {reason: count for reason, count in counted.items() if count},
        )


def put_in(database: Database, campaign_id: int, limit: int = 1000) -> None:
    with database.write() as conn:
        expansion.expand(conn, campaign_id, our_domain="shop.example", limit=limit)


def started(database: Database, count: int) -> int:
    """A campaign of so many under way, nobody in the outbox yet."""
    with database.write() as conn:
        campaign_id = campaigns.create(
            conn, name="spring", subject="Teas", text_source="Hello", html_source=None
        )
        people = [f"c{number}@example.org" for number in range(count)]
        campaigns.add_members(conn, campaign_id, [
            Member(line, address(who), person(who), {}) for line, who in enumerate(people, 2)
        ])  # fmt: skip
        campaigns.finish_loading(conn, "spring")
        campaigns.schedule(conn, "spring", now(conn))
        campaigns.start_due(conn)
    return campaign_id


def move(conn: Connection, row_id: int, state: State, reason: Reason | None = None) -> None:
    conn.execute(
        update(outbox).where(outbox.c.id == row_id).values(state=state, withheld_reason=reason)
    )


@pytest.mark.parametrize("seed", range(6))
def test_a_tally_that_counts_only_what_moved_sees_what_a_count_of_everything_sees(
    database: Database, seed: int
) -> None:
    """Rows go out nearly in their order while others are still put in; nothing moves behind."""
    chance = random.Random(seed)
    campaign_id = started(database, 60)
    put_in(database, campaign_id, limit=20)
    tally = CampaignTally(campaign_id)
    ended = [State.SENT, State.SENT, State.WITHHELD, State.REJECTED, State.UNCERTAIN]
    for number in range(12):
        with database.write() as conn:
            if number % 4 == 3:
                expansion.expand(conn, campaign_id, our_domain="shop.example", limit=20)
            queued = conn.execute(
                select(outbox.c.id).where(outbox.c.state == State.QUEUED).order_by(outbox.c.id)
            ).scalars().all()  # fmt: skip
            for row_id in chance.sample(queued[:8], min(5, len(queued))):
                state = chance.choice(ended)
                reason = chance.choice([*Reason]) if state is State.WITHHELD else None
                move(conn, row_id, state, reason)
        with database.read() as conn:
            seen = tally.look(conn)
            tally._all_again_at = math.inf  # from now on it must count what moved alone
            assert seen == campaign_figures.progress(conn, campaign_id)
    assert seen.settled > 40
    assert seen.is_expanded


def test_what_moved_behind_is_seen_when_everything_is_counted_again(database: Database) -> None:
    campaign_id = started(database, 5)
    put_in(database, campaign_id)
    tally = CampaignTally(campaign_id)
    with database.write() as conn:
        for row_id, state in enumerate([State.DEFERRED, State.SENT, State.SENT], start=1):
            move(conn, row_id, state)
    with database.read() as conn:
        assert tally.look(conn).by_state == {State.QUEUED: 2, State.SENT: 2, State.DEFERRED: 1}
    tally._all_again_at = math.inf
    with database.write() as conn:
        move(conn, 1, State.SENT)
        move(conn, 4, State.SENT)
    with database.read() as conn:
        assert tally.look(conn).by_state == {State.QUEUED: 1, State.SENT: 3, State.DEFERRED: 1}
        tally._all_again_at = 0
        assert tally.look(conn).by_state == {State.QUEUED: 1, State.SENT: 4}


def test_the_figures_of_a_campaign_that_has_ended_are_counted_to_the_last(
    database: Database,
) -> None:
    campaign_id = started(database, 5)
    put_in(database, campaign_id)
    tally = CampaignTally(campaign_id)
    with database.write() as conn:
        move(conn, 1, State.DEFERRED)
        move(conn, 2, State.SENT)
    with database.read() as conn:
        tally.look(conn)
    tally._all_again_at = math.inf
    with database.write() as conn:
        for row_id in range(1, 6):
            move(conn, row_id, State.SENT)
        campaigns.finish_sent(conn)
    with database.read() as conn:
        assert tally.look(conn).by_state == {State.SENT: 5}


def test_who_was_erased_before_the_expansion_is_not_waited_for(database: Database) -> None:
    campaign_id = started(database, 3)
    with database.write() as conn:
        conn.execute(update(audience_members).where(audience_members.c.line == 2)
                     .values(address=None))  # fmt: skip
    with database.read() as conn:
        assert campaign_figures.progress(conn, campaign_id).unexpanded == 3
    put_in(database, campaign_id)
    with database.read() as conn:
        found = campaign_figures.progress(conn, campaign_id)
    assert (found.audience, found.expanded, found.unexpanded) == (3, 2, 0)


@pytest.mark.only_on("sqlite", "counts the steps of its virtual machine")
def test_a_look_at_a_big_campaign_costs_what_moved_and_not_what_is_there(
    database: Database,
) -> None:
    campaign_id = started(database, 3000)
    put_in(database, campaign_id, limit=5000)
    with database.write() as conn:
        conn.execute(update(outbox).where(outbox.c.id <= 1500).values(state=State.SENT))
    tally = CampaignTally(campaign_id)
    first = steps_of(database, tally)
    tally._all_again_at = math.inf
    with database.write() as conn:
        conn.execute(update(outbox).where(outbox.c.id <= 1510).values(state=State.SENT))
    assert steps_of(database, tally) < first / 20
    with database.read() as conn:
        assert tally.look(conn).by_state == {State.QUEUED: 1490, State.SENT: 1510}


def steps_of(database: Database, tally: CampaignTally) -> int:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with database.read() as conn:
        driver = conn.connection.dbapi_connection
        assert driver is not None
        driver.set_progress_handler(count, 10)
        tally.look(conn)
        driver.set_progress_handler(None, 0)
    return steps
