"""A campaign in numbers: whom the list leaves of an audience."""

from __future__ import annotations

import random

import pytest

from mailbot.core.consent import ConsentEvent, Kind, Reason, Source
from mailbot.core.person import Person
from mailbot.store import campaign_figures, campaigns, consent, suppressions
from mailbot.store.campaigns import Member
from mailbot.store.engine import Database, now
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
