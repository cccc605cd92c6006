"""What became of a campaign: numbers, and the relay's words without names."""

from __future__ import annotations

from mailbot.core.consent import Kind
from mailbot.core.outbox_states import State
from mailbot.store import campaigns, consent
from mailbot.store.engine import Database
from mailbot.store.sent_messages import mark_bounced
from tests.cli.conftest import Shell
from tests.people import event
from tests.store.filling import campaign_under_way, claim
from tests.store.test_campaign_audit import forge, send, send_all

PEOPLE = [f"p{number}@example.org" for number in range(12)]


def refuse(database: Database, who: str, reply: str | None) -> None:
    forge(database, who, state=State.REJECTED, last_reply=reply)


def test_the_relays_most_frequent_words_are_told_and_nobody_is_named(
    mailbot: Shell, database: Database
) -> None:
    campaign_under_way(database, *PEOPLE)
    send_all(database)
    for who in PEOPLE[:6]:
        refuse(database, who, f"554 5.7.1 <{who}>: refused as spam (id 4F2C{who[1]})")
    refuse(database, PEOPLE[6], "550 5.7.1 Ann Lee does not want this")
    refuse(database, PEOPLE[7], None)
    ended = mailbot("campaign", "report", "spring")
    assert ended.code == 0
    assert "4  sent" in ended.out
    assert "8  rejected" in ended.out
    assert "6  “554 5.7.1 … refused as spam …”" in ended.out
    assert "2  other words, fewer than 5 each" in ended.out
    assert "Ann" not in ended.out
    assert "@" not in ended.out
    found = mailbot("campaign", "report", "spring", "--json").json
    assert found["by_state"] == {"sent": 4, "rejected": 8}
    assert found["replies"] == {"rejected": [
        {"words": "554 5.7.1 … refused as spam …", "count": 6},
        {"words": "fewer_than_5_each", "count": 2},
    ]}  # fmt: skip


def test_each_outcome_has_its_number(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, *PEOPLE)
    states = [State.BOUNCED, State.EXPIRED, State.DEFERRED, State.UNCERTAIN]
    *rows, last = claim(database, limit=5)
    for row, state in zip(rows, states, strict=True):
        send(database, row, as_state=state)
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, str(last.address)))
    send(database, last)
    shown = mailbot("campaign", "report", "spring").out
    for state in states:
        assert f"1  {state}" in shown
    assert "1  withheld: fewer than 5 each" in shown
    assert "mailbot campaign uncertain spring" in shown
    assert "still waiting" in shown


def test_a_bounce_that_is_reported_later_is_told_apart(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, *PEOPLE[:2])
    send_all(database)
    with database.write() as conn:
        campaigns.finish_sent(conn)
    assert "2  sent" in mailbot("campaign", "report", "spring").out
    with database.write() as conn:
        assert mark_bounced(conn, [1], "550 5.1.1 p0@example.org is gone") == 1
    shown = mailbot("campaign", "report", "spring").out
    assert "1  sent" in shown
    assert "1  bounced, of these 1 after the relay had taken them" in shown
    assert mailbot("campaign", "report", "spring", "--json").json["bounced_later"] == 1


def test_what_an_erasure_or_time_took_is_counted_without_words(
    mailbot: Shell, database: Database
) -> None:
    campaign_under_way(database, *PEOPLE)
    send_all(database)
    for who in PEOPLE[:7]:
        refuse(database, who, None)
    assert "7  nothing is kept of what was said" in mailbot("campaign", "report", "spring").out
