"""A file against the list: who is missing on either side, and that telling it is recorded."""

from __future__ import annotations

from pathlib import Path

from mailbot.core.consent import Kind, batch_digest
from mailbot.store import consent, ledger
from mailbot.store.engine import Database
from tests.cli.conftest import Shell
from tests.people import event, person

FILE = "email\nANN@example.org\ntagged+tea@example.org\nonly.here@example.org\nnonsense\n"


def _fill(mailbot: Shell, database: Database) -> str:
    with database.write() as conn:
        for who in ("ann@example.org", "tagged+coffee@example.org", "only.there+x@example.org"):
            consent.record(conn, event(Kind.OPT_OUT, who))
        consent.record(conn, event(Kind.ERASED, "gone@example.org"))
        conn.exec_driver_sql("UPDATE suppressions SET address = NULL WHERE reason = 'erased'")
    return mailbot.write("theirs.csv", FILE)


def _events(database: Database) -> int:
    with database.read() as conn:
        return ledger.head_sequence(conn)


def test_it_counts_mailboxes_and_changes_nothing(mailbot: Shell, database: Database) -> None:
    file = _fill(mailbot, database)
    ended = mailbot("suppress", "diff", file, "--json")
    assert ended.json == {
        "in_both": 2, "only_in_file": 1, "only_on_list": 2, "left_out": 0, "bad_lines": 1,
    }  # fmt: skip
    assert ended.code == 1
    assert _events(database) == 4
    assert not list(mailbot.folder.glob(".mailbot-sorting-*"))


def test_who_is_missing_is_written_and_given_out_only_with_a_reason(
    mailbot: Shell, database: Database
) -> None:
    file = _fill(mailbot, database)
    one, other = mailbot.folder / "one.txt", mailbot.folder / "other.txt"
    arguments = ("suppress", "diff", file, "--only-in-file", str(one), "--only-on-list", str(other))
    refused = mailbot(*arguments)
    assert (refused.code, other.exists(), _events(database)) == (65, False, 4)
    told = mailbot(*arguments, "--reason", "to be added at SES")
    assert one.read_text() == "only.here@example.org\n"
    assert other.read_text() == "only.there+x@example.org\n"
    assert other.stat().st_mode & 0o777 == 0o600
    assert "1 more were erased" in told.out
    with database.read() as conn:
        *_, last = ledger.with_evidence(conn)
    assert (last.kind, last.batch_count) == ("exported", 1)
    assert last.batch_digest == batch_digest([person("only.there@example.org").person_hash])
    assert last.evidence["reason"] == "to be added at SES"


def test_a_list_that_is_the_same_ends_with_nothing_to_say(
    mailbot: Shell, database: Database
) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "ann@example.org"))
    file = mailbot.write("theirs.csv", "Ann <ANN@example.org>\n")
    assert mailbot("suppress", "diff", file).code == 0


def test_an_empty_file_is_refused(mailbot: Shell, database: Database) -> None:
    ended = mailbot("suppress", "diff", mailbot.write("none.csv", "email\n"))
    assert ended.code == 65
    assert "no line behind the header" in ended.err


def test_what_leaves_the_list_goes_into_a_new_file_only(mailbot: Shell, database: Database) -> None:
    file = _fill(mailbot, database)
    mine = mailbot.write("mine.txt", "precious")
    ended = mailbot("suppress", "diff", file, "--only-on-list", mine, "--reason", "x")
    assert ended.code == 1
    assert Path(mine).read_text() == "precious"
    assert mailbot("suppress", "diff", file, "--only-on-list", "-", "--reason", "x").code == 65
    assert _events(database) == 4
