"""Campaigns too big to write down: filled as `campaign create` does, and what became of them."""

from __future__ import annotations

import hashlib
from collections import Counter

from sqlalchemy import func, select

from mailbot.core.outbox_states import State
from mailbot.core.person import Person
from mailbot.store import campaigns, expansion
from mailbot.store.campaigns import Member
from mailbot.store.engine import Database, now
from mailbot.store.tables import campaigns as campaign_rows
from mailbot.store.tables import outbox
from tests.people import address

NAME = "spring"
_CHUNK = 2_000


def start_campaign(database: Database, count: int) -> int:
    """A campaign to `count` people under way, nobody in the outbox yet; returns its id."""
    with database.write() as conn:
        campaign_id = campaigns.create(
            conn, name=NAME, subject="New teas", text_source="Dear {{ name }},", html_source=None
        )
    for first in range(0, count, _CHUNK):
        members = [_member(number) for number in range(first, min(first + _CHUNK, count))]
        with database.write() as conn:
            campaigns.add_members(conn, campaign_id, members)
    with database.write() as conn:
        campaigns.finish_loading(conn, NAME)
        campaigns.schedule(conn, NAME, now(conn))
        campaigns.start_due(conn)
    return campaign_id


def _member(number: int) -> Member:
    who = f"c{number}@example{number % 50}.org"
    mark = hashlib.blake2b(who.encode(), digest_size=16).hexdigest()
    return Member(number + 2, address(who), Person(mark, mark), {"name": f"Ann {number}"})


def queue_campaign_of(database: Database, count: int) -> int:
    """The same, everybody in the outbox; returns its id."""
    campaign_id = start_campaign(database, count)
    is_last = False
    while not is_last:
        with database.write() as conn:
            part = expansion.expand(conn, campaign_id, our_domain="shop.example", limit=5_000)
        is_last = part.is_last
    return campaign_id


def expanded(database: Database) -> int:
    """How many rows the campaign has, as it says itself."""
    with database.read() as conn:
        count: int = conn.execute(select(campaign_rows.c.expanded_count)).scalar_one()
    return count


def states(database: Database) -> Counter[State]:
    """How many of its rows stand in each state."""
    with database.read() as conn:
        rows = conn.execute(
            select(outbox.c.state, func.count())
            .where(outbox.c.campaign_id.is_not(None))
            .group_by(outbox.c.state)
        )
        return Counter({State(state): count for state, count in rows})


def addresses_in(database: Database, *wanted: State) -> set[str]:
    """To whom its rows in these states are."""
    with database.read() as conn:
        found = select(outbox.c.address).where(
            outbox.c.campaign_id.is_not(None), outbox.c.state.in_(wanted)
        )
        return {str(one) for one in conn.execute(found).scalars()}
