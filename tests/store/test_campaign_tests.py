"""Test mails to the team: what the look for one sees, and what is kept of it."""

from __future__ import annotations

import pytest

from mailbot.core.consent import Kind, Reason
from mailbot.core.eligibility import MessageKind, decide
from mailbot.store import campaign_tests, consent, deliveries, switches
from mailbot.store.campaign_tests import CampaignTest
from mailbot.store.engine import Database, now
from tests.people import event, person
from tests.store.filling import ME as DAEMON
from tests.store.filling import begin, campaign_under_way, claim

ANN = "ann@example.org"


@pytest.mark.parametrize("kind", [Kind.OPT_OUT, Kind.COMPLAINT, Kind.HELD, Kind.UNDELIVERABLE])
def test_it_sees_of_the_list_what_an_offer_sees(database: Database, kind: Kind) -> None:
    campaign_under_way(database, ANN)
    [row] = claim(database)
    begin(database, row)
    with database.write() as conn:
        consent.record(conn, event(kind, "Ann+teas@example.org"))
    with database.read() as conn:
        offer = deliveries.look_before_sending(conn, [row.id], claimed_by=DAEMON)[row.id]
        seen = campaign_tests.look(conn, person(ANN))
    assert (seen.reasons, seen.list_sequence) == (offer.reasons, offer.list_sequence)
    assert seen.reasons == {Reason(kind)}
    assert decide(MessageKind.CAMPAIGN, seen.reasons) != decide(MessageKind.CAMPAIGN, ())


@pytest.mark.parametrize("name", switches.STOPS_MARKETING)
def test_it_sees_that_marketing_is_stopped(database: Database, name: str) -> None:
    with database.write() as conn:
        assert not campaign_tests.look(conn, person(ANN)).is_marketing_stopped
        switches.turn(conn, name, is_on=True, because="wrong price")
    with database.read() as conn:
        assert campaign_tests.look(conn, person(ANN)).is_marketing_stopped


def test_each_test_is_kept_in_numbers_and_one_broken_off_has_sent_nothing(
    database: Database,
) -> None:
    spring = campaign_under_way(database, ANN)
    other = campaign_under_way(database, ANN, name="autumn")
    with database.write() as conn:
        at = now(conn)
        first = campaign_tests.begin(conn, spring, by="dora", line=2, recipients=3)
        campaign_tests.begin(conn, spring, by="d" * 300, line=7, recipients=1)
        campaign_tests.begin(conn, other, by="", line=2, recipients=1)
        campaign_tests.end(conn, first, sent=2)
    with database.read() as conn:
        tests = campaign_tests.of_campaign(conn, spring)
        [others] = campaign_tests.of_campaign(conn, other)
    assert tests == [
        CampaignTest(tests[0].at, "dora", 2, 3, 2),
        CampaignTest(tests[1].at, "d" * 100, 7, 1, 0),
    ]
    assert all(test.at >= at for test in tests)
    assert others.by == "mailbot"
