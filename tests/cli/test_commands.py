"""The commands that marketing, the shop and the admin type."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Type
from tests.house import House


def test_a_person_is_put_on_the_list_shown_found_and_taken_off(mailbot: Type) -> None:
    assert mailbot("suppress", "add", "Ann+teas@example.org", "--note", "by phone").code == 0
    shown = mailbot("suppress", "show", "ANN@example.org")
    assert shown.code == 0
    assert "opt out" in shown.out
    assert "Ann+teas@example.org" in mailbot("suppress", "list").out
    why = mailbot("why", "ann@example.org")
    assert why.code == 0
    assert "gets no offers: opt out" in why.out
    assert "note: by phone" in why.out
    assert mailbot("suppress", "lift", "ann@example.org", "--note", "came back").code == 0
    assert mailbot("suppress", "show", "ann@example.org").code == 1
    assert "may get offers" in mailbot("why", "ann+other@example.org").out


def test_nothing_is_deleted_when_a_person_is_taken_off(mailbot: Type) -> None:
    mailbot("suppress", "add", "ann@example.org", "--note", "by phone")
    mailbot("suppress", "lift", "ann@example.org", "--note", "came back")
    told = json.loads(mailbot("why", "ann@example.org", "--json").out)
    assert [event["kind"] for event in told["events"]] == ["opt_out", "opt_in"]
    assert told["reasons"] == []


def test_why_says_when_nothing_is_known(mailbot: Type) -> None:
    said = mailbot("why", "stranger@example.org")
    assert said.code == 1
    assert "Nothing is known" in said.out


def test_a_campaign_from_csv_to_cancelled(mailbot: Type, tmp_path: Path) -> None:
    mailbot("suppress", "add", "bob@example.org", "--note", "by phone")
    (tmp_path / "p.csv").write_text("E-Mail;first_name\nann@example.org;Ann\nbob@example.org;Bob\n")
    (tmp_path / "t.txt").write_text("Hello {{ first_name }}")
    files = ("--text", str(tmp_path / "t.txt"), "--audience", str(tmp_path / "p.csv"))
    made = mailbot("campaign", "create", "spring", "--subject", "New teas", *files)
    assert made.code == 0, made
    assert "2 people, 1 of them can be reached now" in made.out
    assert "left out: 1 (opt out)" in made.out
    at = ("--at", "2099-03-01 09:00", "--zone", "Europe/Berlin")
    assert "2099-03-01 08:00 UTC" in mailbot("campaign", "schedule", "spring", *at).out
    assert mailbot("campaign", "pause", "spring", "--because", "wrong price").code == 0
    assert "scheduled" in mailbot("campaign", "resume", "spring").out
    assert mailbot("campaign", "cancel", "spring").code == 0
    [told] = json.loads(mailbot("campaign", "status", "--json").out)
    assert (told["name"], told["state"], told["audience"]) == ("spring", "cancelled", 2)
    assert mailbot("campaign", "resume", "spring").code == 1


def test_order_status_is_queued_once_an_idempotency_key(mailbot: Type, tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl"
    file.write_text('{"type": "shipped", "to": "a@example.org", "idempotency_key": "1", '
                    '"fields": {"order_number": "1"}}\n')  # fmt: skip
    assert "1 queued." in mailbot("order-status", "send", str(file)).out
    assert "0 queued, 1 handed over before." in mailbot("order-status", "send", str(file)).out
    assert "order_number" in mailbot("order-status", "types").out


def test_status_says_what_needs_a_person(mailbot: Type, house: House) -> None:
    from mailbot.store import mailboxes

    assert mailbot("status").code == 1, "no daemon ever ran"
    with house.database.write() as conn:
        mailboxes.heard(conn, "help at imap.example")
    assert mailbot("status").code == 0
    mailbot("stop-marketing", "--because", "wrong list")
    stopped = mailbot("status")
    assert stopped.code == 1
    assert "marketing is stopped: wrong list" in stopped.out
    mailbot("stop-marketing", "--resume")
    with house.database.write() as conn:
        mailboxes.blind(conn, "help at imap.example", "no answer")
    blind = mailbot("status")
    assert blind.code == 1
    assert "cannot be read since" in blind.out
    assert json.loads(mailbot("status", "--json").out)["needs_a_person"]


def test_recognise_needs_no_configuration(command: Type, tmp_path: Path) -> None:
    mail = b"From: Ann <ann@example.org>\nSubject: =?utf-8?B?VW5zdWJzY3JpYmU=?=\n\nhello\n"
    (tmp_path / "a.eml").write_bytes(mail)
    (tmp_path / "b.mbox").write_bytes(b"From x\n" + mail + b"\nFrom y\nSubject: tea\n\nhi\n")
    said = command("recognise", str(tmp_path), "--format", "jsonl")
    assert said.code == 0
    found = [json.loads(line) for line in said.out.splitlines()]
    assert [one["verdict"] for one in found] == ["opt_out", "opt_out", "unrelated"]
    assert found[0]["addresses"] == ["ann@example.org"]
    assert set(found[0]) == {"file", "verdict", "addresses", "rule", "evidence"}
    assert "opt_out" in command("recognise", str(tmp_path / "a.eml")).out


def test_every_command_explains_itself_with_an_example(command: Type) -> None:
    commands = [
        ["run"], ["demo"], ["check"], ["status"], ["why"], ["recognise"], ["stop-marketing"],
        ["db", "upgrade"], ["keys", "create"], ["order-status", "send"], ["order-status", "types"],
        *[["suppress", verb] for verb in ("add", "lift", "show", "list")],
        *[["campaign", verb]
          for verb in ("create", "schedule", "pause", "resume", "cancel", "status")],
    ]  # fmt: skip
    for words in commands:
        said = command(*words, "--help")
        assert said.code == 0
        assert f"Example: {'echo' if words[-1] == 'send' else 'mailbot'}" in said.out, words
    assert "Exit codes" in command("--help").out
