"""What leaves the list is recorded first, is safe to open, and comes back as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mailbot.core.consent import Kind, batch_digest
from mailbot.store import consent, ledger
from mailbot.store.engine import Database
from tests.cli.conftest import Shell
from tests.people import event, person


def _events(database: Database) -> list[tuple[str, int | None, str | None, dict[str, str] | None]]:
    with database.read() as conn:
        return [(row.kind, row.batch_count, row.batch_digest, row.evidence)
                for row in ledger.with_evidence(conn)]  # fmt: skip


def _listed(mailbot: Shell) -> set[tuple[str | None, str]]:
    shown = mailbot("suppress", "list", "--limit", "1000", "--json").json["newest"]
    return {(one["address"], one["reason"]) for one in shown}


def _fill(mailbot: Shell, *addresses: str) -> None:
    for address in addresses:
        assert mailbot("suppress", "add", address).code == 0


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_comes_back_as_it_was(mailbot: Shell, database: Database, form: str) -> None:
    _fill(mailbot, "+ann@example.org", '"a,b"@example.org', "bob@münchen.de", "'=x@example.org")
    assert mailbot("suppress", "add", "c@example.org", "--because", "complaint").code == 0
    before = _listed(mailbot)
    target = str(mailbot.folder / f"out.{form}")
    ended = mailbot("suppress", "export", target, "--reason", "moving", "--format", form)
    assert ended.code == 0, ended
    assert Path(target).stat().st_mode & 0o777 == 0o600
    for address, _ in before:
        assert mailbot("suppress", "lift", str(address), "--note", "test").code == 0
    assert _listed(mailbot) == set()
    assert mailbot("suppress", "import", target).code == 0
    assert _listed(mailbot) == before
    assert len(before) == 5


def test_no_cell_of_an_export_is_a_formula(mailbot: Shell, database: Database) -> None:
    _fill(mailbot, "=sum@example.org", "+1@example.org", "ann@example.org")
    target = mailbot.folder / "out.csv"
    mailbot("suppress", "export", str(target), "--reason", "audit")
    firsts = {line[0] for line in target.read_text().splitlines()[1:]}
    assert firsts == {"'", "a"}


def test_who_why_and_whose_is_in_the_ledger(mailbot: Shell, database: Database) -> None:
    _fill(mailbot, "ann@example.org", "bob@example.org")
    target = str(mailbot.folder / "out.csv")
    mailbot("suppress", "export", target, "--reason", "letter shop", "--because", "opt_out")
    kind, count, digest, evidence = _events(database)[-1]
    both = [person("ann@example.org").person_hash, person("bob@example.org").person_hash]
    assert (kind, count, digest) == ("exported", 2, batch_digest(both))
    assert evidence is not None
    assert (evidence["reason"], evidence["what"]) == ("letter shop", "opt_out")
    assert evidence["by"]


@pytest.mark.parametrize("reason", ["", "  "])
def test_without_a_reason_nothing_is_given_out(
    mailbot: Shell, database: Database, reason: str
) -> None:
    _fill(mailbot, "ann@example.org")
    target = mailbot.folder / "out.csv"
    ended = mailbot("suppress", "export", str(target), "--reason", reason)
    assert (ended.code, target.exists()) == (65, False)
    assert len(_events(database)) == 1


def test_no_file_is_overwritten_and_nothing_is_recorded(mailbot: Shell, database: Database) -> None:
    _fill(mailbot, "ann@example.org")
    target = mailbot.write("out.csv", "precious")
    assert mailbot("suppress", "export", target, "--reason", "audit").code == 1
    assert Path(target).read_text() == "precious"
    assert len(_events(database)) == 1


def test_the_erased_are_counted_and_their_hash_is_kept_in(
    mailbot: Shell, database: Database
) -> None:
    _fill(mailbot, "ann@example.org")
    with database.write() as conn:
        gone = event(Kind.ERASED, "gone@example.org", key="erased")
        consent.record(conn, gone)
        conn.exec_driver_sql("UPDATE suppressions SET address = NULL WHERE reason = 'erased'")
    plain, hashed = mailbot.folder / "a.csv", mailbot.folder / "b.csv"
    told = mailbot("suppress", "export", str(plain), "--reason", "audit")
    assert "1 without an address (erased): left out" in told.out
    assert gone.person.person_hash not in plain.read_text()
    mailbot("suppress", "export", str(hashed), "--reason", "audit", "--with-hashes")
    assert gone.person.person_hash in hashed.read_text()


def _changes(mailbot: Shell, since: int, *more: str) -> list[dict[str, object]]:
    ended = mailbot("suppress", "changes", "--since", str(since), *more)
    assert ended.code == 0, ended
    return [json.loads(line) for line in ended.out.splitlines()]


def test_changes_say_how_each_person_stands_now(mailbot: Shell, database: Database) -> None:
    _fill(mailbot, "ann@example.org", "bob@example.org")
    mailbot("suppress", "lift", "bob@example.org", "--note", "wants offers")
    *lines, last = _changes(mailbot, 0)
    assert [(one["sequence"], one["address"], one["may_get_offers"]) for one in lines] == [
        (1, "ann@example.org", False), (2, "bob@example.org", True), (3, "bob@example.org", True),
    ]  # fmt: skip
    assert last == {"next_since": 3, "is_all": True}
    assert _events(database)[-1][:2] == ("exported", 2)


def test_asking_each_minute_fills_no_ledger(mailbot: Shell, database: Database) -> None:
    _fill(mailbot, "ann@example.org")
    since = 0
    for _ in range(4):
        since = _changes(mailbot, since)[-1]["next_since"]  # type: ignore[assignment]
    assert [kind for kind, *_ in _events(database)] == ["opt_out", "exported"]


def test_an_import_is_told_person_by_person_and_never_cut(
    mailbot: Shell, database: Database
) -> None:
    _fill(mailbot, "first@example.org")
    rows = "".join(f"p{number}@example.org\n" for number in range(30))
    mailbot("suppress", "import", mailbot.write("l.csv", rows))
    one, told = _changes(mailbot, 0, "--limit", "10")
    assert (one["address"], told) == ("first@example.org", {"next_since": 1, "is_all": False})
    *lines, told = _changes(mailbot, 1, "--limit", "10")
    assert len({line["address"] for line in lines}) == 30
    assert told["is_all"] is True


def test_whoever_was_erased_is_a_hash(mailbot: Shell, database: Database) -> None:
    _fill(mailbot, "gone@example.org")
    with database.write() as conn:
        consent.record(conn, event(Kind.ERASED, "gone@example.org", key="erased"))
    *lines, _ = _changes(mailbot, 0)
    assert {one["address"] for one in lines} == {None}
    assert {one["person_hash"] for one in lines} == {person("gone@example.org").person_hash}


def test_a_number_from_before_a_restore_is_refused(mailbot: Shell, database: Database) -> None:
    ended = mailbot("suppress", "changes", "--since", "99")
    assert ended.code == 65
    assert "the list has come to 0" in ended.err
