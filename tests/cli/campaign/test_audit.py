"""The proof of a campaign on the screen and as JSON: numbers, a verdict and an exit code."""

from __future__ import annotations

from mailbot.core.consent import Kind
from mailbot.core.outbox_states import State
from mailbot.store import campaigns, consent
from mailbot.store.engine import Database
from mailbot.store.sent_messages import mark_bounced
from tests.cli.conftest import Shell
from tests.people import event
from tests.store.filling import campaign_under_way, claim
from tests.store.test_campaign_audit import BOB, forge, send, send_all

LEAVERS = [f"p{number}@example.org" for number in range(6)]


def a_campaign_of_eight(database: Database) -> None:
    """Six opted out, one complained, and BOB is free."""
    campaign_under_way(database, BOB, "cleo@example.org", *LEAVERS)
    with database.write() as conn:
        for leaver in LEAVERS:
            consent.record(conn, event(Kind.OPT_OUT, leaver))
        consent.record(conn, event(Kind.COMPLAINT, "cleo@example.org"))


def test_an_honest_campaign_is_proved(mailbot: Shell, database: Database) -> None:
    a_campaign_of_eight(database)
    send_all(database)
    with database.write() as conn:
        campaigns.finish_sent(conn)
    ended = mailbot("campaign", "audit", "spring")
    assert ended.code == 0
    assert "“spring” is done. The ledger has come to event 7." in ended.out
    assert "6  withheld: opt out" in ended.out
    assert "1  withheld: fewer than 5 each" in ended.out
    assert "1  allowed by the list that was looked at" in ended.out
    assert "Proved: nobody on the list was mailed." in ended.out
    assert "not over" not in ended.out
    assert "@" not in ended.out
    found = mailbot("campaign", "audit", "spring", "--json").json
    assert found["is_proved"] is found["is_over"] is True
    assert found["withheld"] == {"opt_out": 6, "fewer_than_5_each": 1}
    assert found["by_state"] == {"sent": 1, "withheld": 7}
    assert (found["judged"], found["wrong"], found["unproved"]) == (1, 0, 0)


def test_a_broken_promise_is_told_and_is_the_exit_code(mailbot: Shell, database: Database) -> None:
    a_campaign_of_eight(database)
    send_all(database)
    forge(database, LEAVERS[0], state=State.SENT, withheld_reason=None)
    ended = mailbot("campaign", "audit", "spring")
    assert ended.code == 1
    assert "1  left although the list said no" in ended.out
    assert "1 message broke the promise" in ended.out
    assert "mailbot ledger verify" in ended.out
    assert "@" not in ended.out
    found = mailbot("campaign", "audit", "spring", "--json")
    assert (found.code, found.json["wrong"], found.json["is_proved"]) == (1, 1, False)


def test_what_is_not_proved_is_told_apart_from_what_is_wrong(
    mailbot: Shell, database: Database
) -> None:
    a_campaign_of_eight(database)
    send_all(database)
    forge(database, BOB, list_sequence=None)
    ended = mailbot("campaign", "audit", "spring")
    assert ended.code == 1
    assert "1  store no number: no look at the list is known" in ended.out
    assert "1 message cannot be proved" in ended.out
    assert "broke the promise" not in ended.out


def test_while_the_campaign_runs_it_says_so(mailbot: Shell, database: Database) -> None:
    a_campaign_of_eight(database)
    send(database, claim(database, limit=1)[0])
    ended = mailbot("campaign", "audit", "spring")
    assert ended.code == 0
    assert "It is not over: this is about what left so far." in ended.out
    assert mailbot("campaign", "audit", "spring", "--json").json["is_over"] is False


def test_a_delivery_report_after_the_end_moves_the_numbers_of_status_and_audit(
    mailbot: Shell, database: Database
) -> None:
    campaign_under_way(database, BOB, "cleo@example.org")
    first, second = claim(database)
    send(database, first)
    send(database, second, as_state=State.BOUNCED)
    with database.write() as conn:
        campaigns.finish_sent(conn)
    assert mailbot("campaign", "status", "spring", "--json").json["by_state"] == {
        "sent": 1, "bounced": 1,
    }  # fmt: skip
    with database.write() as conn:
        mark_bounced(conn, [first.id], "550 5.1.1 gone")
    assert "2  bounced" in mailbot("campaign", "status", "spring").out
    ended = mailbot("campaign", "audit", "spring")
    assert ended.code == 0
    assert "2  bounced, of these 1 after the relay had taken them" in ended.out
    assert mailbot("campaign", "audit", "spring", "--json").json["bounced_later"] == 1


def test_a_campaign_that_is_not_there_is_told(mailbot: Shell) -> None:
    ended = mailbot("campaign", "audit", "nothing")
    assert ended.code == 65
    assert "no campaign is named “nothing”" in ended.err


def test_a_draft_has_nothing_to_prove(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        campaigns.create(conn, name="draft", subject="Teas", text_source="T", html_source=None)
    ended = mailbot("campaign", "audit", "draft")
    assert ended.code == 0
    assert "“draft” is loading" in ended.out
