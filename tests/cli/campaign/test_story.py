"""What a campaign waits for, what it asks, and who did what: as people read it."""

from __future__ import annotations

from sqlalchemy import update

from mailbot.store import campaign_attending, campaigns
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Database, now
from mailbot.store.tables import campaigns as rows
from tests.cli.campaign.test_campaign import create
from tests.cli.conftest import Shell
from tests.store.filling import campaign_under_way
from tests.store.test_campaign_brakes import complain, sent_to


def test_a_campaign_says_that_it_waits_for_the_morning_and_until_when(mailbot: Shell) -> None:
    create(mailbot)
    ended = mailbot(
        "campaign", "schedule", "spring", "--at", "2099-07-01 22:00", "--zone", "Europe/Berlin",
        "--quiet", "21:00-08:00", "--per-hour", "2000", "--per-hour-and-domain", "500",
    )  # fmt: skip
    assert ended.code == 0
    waits = "2099-07-02 08:00 Europe/Berlin (2099-07-02 06:00 UTC)"
    assert f"It will wait for its quiet hours to end: {waits}" in ended.out
    shown = mailbot("campaign", "status", "spring").out
    assert waits in shown
    assert "Quiet hours: 21:00-08:00 (Europe/Berlin)" in shown
    assert "Pace: at most 2,000 an hour, at most 500 an hour to each domain" in shown
    told = mailbot("campaign", "status", "spring", "--json").json
    assert told["waits_until"] == "2099-07-02T06:00:00+00:00"
    assert (told["per_hour"], told["per_hour_and_domain"]) == (2000, 500)


def test_the_hours_of_the_settings_hold_where_none_are_said(mailbot: Shell) -> None:
    config = mailbot.config.read_text()
    quiet = 'from_name = "Lindenhof Tea"\nquiet_hours = "20:00-09:00"\nzone = "Asia/Kolkata"'
    mailbot.config.write_text(config.replace('from_name = "Lindenhof Tea"', quiet, 1))
    create(mailbot)
    at = ["--at", "2099-07-01T12:00+00:00"]
    mailbot("campaign", "schedule", "spring", *at)
    told = mailbot("campaign", "status", "spring", "--json").json
    assert (told["quiet_hours"], told["zone"]) == ("20:00-09:00", "Asia/Kolkata")
    mailbot("campaign", "schedule", "spring", *at, "--quiet", "none")
    assert mailbot("campaign", "status", "spring", "--json").json["quiet_hours"] == "none"


def test_hours_that_are_none_are_refused(mailbot: Shell) -> None:
    create(mailbot)
    ended = mailbot("campaign", "schedule", "spring", "--now", "--quiet", "evenings")
    assert ended.code == 65
    assert "--quiet: 'evenings' is no span of hours." in ended.err
    config = mailbot.config.read_text()
    for line in ('quiet_hours = "21-8"', 'zone = "Berlin"', "per_hour = 0"):
        name = 'from_name = "Lindenhof Tea"'
        mailbot.config.write_text(config.replace(name, f"{name}\n{line}", 1))
        ended = mailbot("campaign", "status")
        assert ended.code == 78
        assert f"campaigns.{line.partition(' ')[0]}" in ended.err


def test_who_changes_a_time_is_told_what_was_said_before_and_by_whom(mailbot: Shell) -> None:
    create(mailbot)
    schedule = ("campaign", "schedule", "spring", "--zone", "UTC", "--at")
    mailbot(*schedule, "2099-07-01 09:00", "--by", "ann")
    ended = mailbot(*schedule, "2099-07-02 09:00", "--by", "bob")
    assert "Before, it was to be sent from 2099-07-01 09:00 UTC on: ann said so at" in ended.out


def test_status_shows_who_changed_it_and_when_and_why(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, "bob@example.org")
    mailbot("campaign", "pause", "spring", "--by", "ann", "--because", "out of stock")
    refused = mailbot("campaign", "pause", "spring", "--by", "bob")
    assert refused.code == 1
    assert "is paused and cannot become paused: ann did that at 20" in refused.err
    assert "(out of stock)" in refused.err
    mailbot("campaign", "resume", "spring", "--by", "cleo")
    shown = mailbot("campaign", "status", "spring").out
    who = [line.split()[2:4] for line in shown.splitlines() if line.startswith("20")]
    assert who[-2:] == [["ann", "paused"], ["cleo", "sending"]]
    history = mailbot("campaign", "status", "spring", "--json").json["history"]
    assert [(one["by"], one["state"], one["because"]) for one in history[-2:]] == [
        ("ann", "paused", "out of stock"), ("cleo", "sending", None)
    ]  # fmt: skip


def test_without_by_it_is_the_login_name(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, "bob@example.org")
    mailbot("campaign", "cancel", "spring")
    [*_, last] = mailbot("campaign", "status", "spring", "--json").json["history"]
    assert last["because"] == f"cancelled by {last['by']}"
    assert last["by"] != "mailbot"


def test_a_late_campaign_asks_in_both_places_and_resume_is_the_answer(
    mailbot: Shell, database: Database
) -> None:
    campaign_under_way(database, "bob@example.org")
    with database.write() as conn:
        conn.execute(update(rows).values(attended_at=DatabaseTime(-3 * 3600)))
        campaign_attending.attend(conn)
    for command in (["campaign", "status", "spring"], ["status"]):
        shown = " ".join(mailbot(*command).out.split())
        assert "“spring” waits for an answer: nobody sent it since" in shown, command
        assert "3 h ago: is it still right?" in shown
        assert "mailbot campaign resume spring" in shown
    assert mailbot("campaign", "resume", "spring").code == 0
    assert "waits for an answer" not in mailbot("status").out


def test_a_braked_campaign_says_so_and_goes_on_despite_the_brake_alone(
    mailbot: Shell, database: Database
) -> None:
    sent_to(database, 200, of=210)
    complain(database, 1, 2, 3)
    shown = " ".join(mailbot("status").out.split())
    assert "“spring” waits for an answer: 3 of 200 complained (1.5 %, at most 0.3 %)." in shown
    assert "resume spring --despite-brake" in shown
    refused = mailbot("campaign", "resume", "spring")
    assert refused.code == 1
    assert "stopped by itself: 3 of 200 complained" in refused.err
    assert mailbot("campaign", "resume", "spring", "--despite-brake", "--by", "ann").code == 0
    [*_, last] = mailbot("campaign", "status", "spring", "--json").json["history"]
    assert (last["by"], last["state"]) == ("ann", "sending")
    assert last["because"].startswith("despite the brake: 3 of 200")


def test_a_campaign_that_mailbot_started_late_by_less_does_not_ask(
    mailbot: Shell, database: Database
) -> None:
    create(mailbot)
    with database.write() as conn:
        campaigns.schedule(conn, "spring", now(conn))
        campaigns.start_due(conn)
    assert "waits for an answer" not in mailbot("campaign", "status", "spring").out
