"""From a backup to the day after, as an admin types it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mailbot.store import schema
from mailbot.store.journal import Journal
from tests.cli.conftest import Shell

ANN, BOB = "ann@example.org", "bob@example.org"


@pytest.fixture
def restored(mailbot: Shell) -> Shell:
    """Ann opted out before the backup, Bob after it."""
    assert mailbot("suppress", "add", ANN).code == 0
    backup = mailbot.folder / "backup.db"
    assert mailbot("db", "backup", str(backup)).code == 0
    assert mailbot("suppress", "add", BOB).code == 0
    assert mailbot("db", "restore", str(backup)).code == 0
    return mailbot


def listed(mailbot: Shell, who: str) -> bool:
    return "is on the do-not-send list" in mailbot("why", who).out


def test_a_backup_tells_its_length_and_head(mailbot: Shell) -> None:
    mailbot("suppress", "add", ANN)
    told = mailbot("db", "backup", str(mailbot.folder / "b.db"), "--json").json
    assert (told["events"], told["schema_version"]) == (1, schema.newest_version())
    assert told["head"].startswith("1:")
    again = mailbot("db", "backup", str(mailbot.folder / "b.db"))
    assert again.code == 1 and "Name a new one" in again.err
    missing = mailbot("db", "backup", str(mailbot.folder / "missing" / "b.db"))
    assert missing.code == 65 and "no such folder" in missing.err


def test_a_restore_says_where_the_old_database_is_and_what_comes_next(mailbot: Shell) -> None:
    backup = mailbot.folder / "b.db"
    mailbot("db", "backup", str(backup))
    ended = mailbot("db", "restore", str(backup))
    assert ended.code == 0
    assert "mailbot restore show" in ended.out
    (aside,) = mailbot.folder.glob("mailbot.db.before-restore-*")
    assert str(aside) in ended.out


def test_who_opted_out_since_is_back_and_marketing_waits_for_a_word(restored: Shell) -> None:
    shown = restored("restore", "show")
    assert shown.code == 1
    assert "Played back       1 opt out" in shown.out
    assert "mailbot restore accept" in shown.out
    assert "restore show" in "".join(restored("status", "--json").json["needs_a_person"])
    assert listed(restored, BOB)

    assert restored("restore", "accept", "--note", " ").code == 65
    accepted = restored("restore", "accept", "--note", "looked at it")
    assert accepted.code == 0 and "Marketing goes on" in accepted.out
    after = restored("restore", "show")
    assert after.code == 0 and "looked at it" in after.out
    assert restored("restore", "accept", "--note", "again").code == 1
    assert restored("ledger", "verify").code == 0


def test_starting_marketing_by_hand_is_no_acceptance(restored: Shell) -> None:
    restored("restore", "show")
    restored("start-marketing")
    assert restored("restore", "show").code == 1


def test_any_write_finds_out_and_nothing_but_json_is_printed(restored: Shell) -> None:
    told = restored("suppress", "add", "cleo@example.org", "--json")
    assert told.json
    assert restored("restore", "show", "--json").json["waits_to_be_accepted"] is True


def test_check_tells_it_and_changes_nothing(restored: Shell) -> None:
    said = restored("check")
    assert "the journal knows 2" in said.out
    assert "mailbot restore show" in said.out
    assert not listed(restored, BOB), "a look plays nothing back"


def test_a_running_daemon_is_not_restored_under(mailbot: Shell) -> None:
    backup = mailbot.folder / "b.db"
    mailbot("db", "backup", str(backup))
    Journal(mailbot.folder / "mailbot-journal").say_running()
    ended = mailbot("db", "restore", str(backup))
    assert ended.code == 1
    assert "mailbot runs on this database" in ended.err


@pytest.mark.parametrize(("content", "what"), [
    (b"hello", "not a SQLite database"),
    (b"", "not a SQLite database"),
    (b"SQLite format 3\x00" + b"\x00" * 5000, "cannot be read|damaged|no database"),
])  # fmt: skip
def test_what_is_no_backup_is_refused_in_words(mailbot: Shell, content: bytes, what: str) -> None:
    mailbot.write("odd", content)
    ended = mailbot("db", "restore", str(mailbot.folder / "odd"))
    assert ended.code == 65
    assert any(one in ended.err for one in what.split("|")), ended.err
    assert not list(mailbot.folder.glob("*before-restore*"))


def test_a_journal_that_cannot_be_written_is_told_and_the_opt_out_stands(mailbot: Shell) -> None:
    mailbot.write("mailbot-journal", "a file in the way")
    added = mailbot("suppress", "add", ANN)
    assert added.code == 0
    assert "journal_not_written" in added.err
    assert listed(mailbot, ANN)
    assert "journal" in "".join(mailbot("status", "--json").json["needs_a_person"])
    (mailbot.folder / "mailbot-journal").unlink()
    mailbot("suppress", "add", BOB)
    assert Path(mailbot.folder / "mailbot-journal" / "journal.jsonl").read_text().count("\n") == 2


def test_a_journal_that_is_gone_waits_for_a_word_too(mailbot: Shell) -> None:
    mailbot("suppress", "add", ANN)
    shutil.rmtree(mailbot.folder / "mailbot-journal")
    shown = mailbot("restore", "show")
    assert shown.code == 1 and "is gone" in shown.out
    assert mailbot("restore", "accept", "--note", "the disk was replaced").code == 0
    assert mailbot("restore", "show").code == 0
