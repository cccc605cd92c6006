"""Versions of the privacy policy: recorded once, and named by each event that came after."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from mailbot.core.consent import Kind
from mailbot.store import consent, ledger, policies
from mailbot.store.engine import Database, now
from tests.cli.conftest import Shell
from tests.people import event, person


def version_of_last_event(database: Database, who: str) -> str:
    with database.read() as conn:
        return ledger.story(conn, person(who))[-1].policy_version


def test_events_name_the_version_in_force_when_they_were_received(
    mailbot: Shell, database: Database
) -> None:
    text = mailbot.write("privacy.txt", "We stop when you say so.\n")
    added = mailbot("policy", "add", "8", "--from", "2026-03-02 12:10", "--text", text,
                    "--url", "https://shop.example/privacy")  # fmt: skip
    assert added.code == 0
    assert added.out == "Version 8 is in force from 2026-03-02 12:10 UTC, as event 1.\n"
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "ann@example.org", minutes=9))
        consent.record(conn, event(Kind.OPT_OUT, "bob@example.org", minutes=11))
    assert version_of_last_event(database, "ann@example.org") == "1", "as its settings said"
    assert version_of_last_event(database, "bob@example.org") == "8"
    [one] = mailbot("policy", "list", "--json").json["versions"]
    assert one["text_digest"] == hashlib.sha256(b"We stop when you say so.\n").hexdigest()
    shown = mailbot("policy", "list").out
    assert "in force" in shown and "https://shop.example/privacy" in shown
    assert mailbot("ledger", "verify").code == 0


def test_the_version_and_its_event_are_one(mailbot: Shell, database: Database) -> None:
    mailbot("policy", "add", "8")
    with database.read() as conn:
        [version] = policies.all_versions(conn)
        [kind] = conn.exec_driver_sql("SELECT kind FROM consent_events").scalars()
    assert (version.version, version.sequence, kind) == ("8", 1, "policy")


def test_no_version_is_added_twice(mailbot: Shell, database: Database) -> None:
    mailbot("policy", "add", "8")
    ended = mailbot("policy", "add", " 8 ", "--from", "2030-01-01")
    assert ended.code == 1
    assert "version 8 is there already" in ended.err
    with database.read() as conn:
        assert ledger.head_sequence(conn) == 1


def test_two_versions_never_start_at_the_same_time(mailbot: Shell) -> None:
    mailbot("policy", "add", "8", "--from", "2030-01-01")
    ended = mailbot("policy", "add", "9", "--from", "2030-01-01T01:00+01:00")
    assert ended.code == 1
    assert "version 8 is in force already" in ended.err


def test_none_is_dated_before_events_that_name_another(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT))
    ended = mailbot("policy", "add", "8", "--from", "2026-03-01")
    assert ended.code == 1
    assert "event 1, received 2026-03-02 12:00 UTC, already names version 1" in ended.err
    assert "Name a time after 2026-03-02 12:00 UTC." in ended.err
    assert mailbot("policy", "add", "1", "--from", "2026-03-01").code == 0, "the same is no lie"


def test_a_version_between_two_others_is_asked_only_about_its_own_time(
    mailbot: Shell, database: Database
) -> None:
    mailbot("policy", "add", "8", "--from", "2026-03-02 11:00")
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT))
    assert mailbot("policy", "add", "7b", "--from", "2026-03-02 10:00").code == 0


def test_a_version_to_come_is_not_in_force_yet(mailbot: Shell, database: Database) -> None:
    with database.read() as conn:
        tomorrow = now(conn) + timedelta(days=1)
    mailbot("policy", "add", "8", "--from", tomorrow.isoformat())
    listed = mailbot("policy", "list")
    assert "to come" in listed.out
    assert mailbot("policy", "list", "--json").json["in_force"] == "7", "of the settings"


def test_what_cannot_be_used_is_named(mailbot: Shell) -> None:
    for arguments, words in (
        (["x" * 41], "cannot be a version"),
        (["8", "--from", "soon"], "--from: “soon” is no time."),
        (["8", "--text", "nowhere.txt"], "it cannot be read (no such file or directory)"),
        (["8", "--url", "shop"], "“shop” is no web address"),
    ):
        ended = mailbot("policy", "add", *arguments)
        assert ended.code == 65
        assert words in ended.err
    assert "None is recorded" in mailbot("policy", "list").out
