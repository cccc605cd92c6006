"""The ledger is proved whole, and handed over so that others can prove it."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import delete, text

from mailbot.core.consent import BatchEvent, Kind, Source, batch_digest
from mailbot.store import consent, ledger
from mailbot.store.engine import Database
from mailbot.store.tables import consent_evidence
from tests.cli.conftest import Ended, Shell
from tests.people import NOON, event, person
from tests.store.filling import drop_trigger

MANUAL = Path(__file__).parents[2] / "docs" / "ledger.md"


@pytest.fixture(autouse=True)
def some_events(mailbot: Shell, database: Database) -> None:
    """Three people, one of them erased, one event about many; a Subject in every script."""
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT))
        consent.record(conn, event(Kind.OPT_OUT, "jürgen@exämple.org"))
        consent.record(conn, event(Kind.OPT_OUT, "cleo@example.org", minutes=3000))
        consent.note(
            conn,
            BatchEvent(
                kind=Kind.POLICY, source=Source.COMMAND_LINE, key="p", received_at=NOON, rule="p",
                policy_version="1", count=0, digest=batch_digest([]),
                evidence={"Subject": "=1+1 \U0001f375 \udce4 ß"},
            ),
        )  # fmt: skip
        consent.record(conn, event(Kind.ERASED, "cleo@example.org", minutes=3001))
        conn.execute(delete(consent_evidence).where(consent_evidence.c.sequence == 3))


def test_a_whole_ledger_is_told_with_its_head(mailbot: Shell, database: Database) -> None:
    ended = mailbot("ledger", "verify")
    assert ended.code == 0
    assert "5 events, 1 about many at once, 1 of people who were erased" in ended.out
    assert "agrees with it: 4 entries" in ended.out
    with database.read() as conn:
        head = ledger.head(conn)
    assert f"Head: 5:{head.hash}" in ended.out
    assert mailbot("ledger", "verify", "--head", f"5:{head.hash}").code == 0
    told = mailbot("ledger", "verify", "--json").json
    assert (told["is_whole"], told["events"], told["erased"]) == (True, 5, 1)
    assert told["head"] == f"5:{head.hash}"


def test_a_fault_is_told_in_plain_words_with_what_to_do(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        conn.execute(text("DELETE FROM suppressions WHERE sequence = 1"))
    ended = mailbot("ledger", "verify")
    assert ended.code == 1
    assert "The ledger is not whole: event 1 put" in ended.out
    assert "last backup" in ended.out
    told = mailbot("ledger", "verify", "--json")
    assert told.code == 1
    assert (told.json["is_whole"], told.json["fault_at"]) == (False, 1)


def test_a_head_from_elsewhere_finds_what_is_cut_off(mailbot: Shell) -> None:
    ended = mailbot("ledger", "verify", "--head", "9:" + "a" * 64)
    assert ended.code == 1
    assert "it had 9 events when its head was written down, and 5 stand" in ended.out


def test_a_copy_of_the_checkpoint_is_a_witness_as_well(mailbot: Shell) -> None:
    ours = {"sequence": 9, "hash": "a" * 64}
    path = mailbot.write("checkpoint.json", json.dumps(ours))
    ended = mailbot("ledger", "verify", "--checkpoint", path)
    assert ended.code == 1
    assert "it had 9 events when its head was written down" in ended.out
    for content in ("", "[]", '{"sequence": 9}', '{"sequence": 9, "hash": "x"}'):
        ended = mailbot("ledger", "verify", "--checkpoint", mailbot.write("other", content))
        assert ended.code == 65
        assert "this is no checkpoint of a ledger" in ended.err
    ended = mailbot("ledger", "verify", "--checkpoint", str(mailbot.folder / "nowhere"))
    assert "it cannot be read (no such file or directory)" in ended.err


def test_the_journal_beside_the_database_is_a_witness(mailbot: Shell, database: Database) -> None:
    mailbot("suppress", "add", "zoe@example.org")  # the journal now knows six events
    told = mailbot("ledger", "verify").out
    assert "It passes through 1 head written down outside the database." in told
    with database.write() as conn:
        name = "consent_events_no_delete"
        made = conn.execute(text(f"SELECT sql FROM sqlite_master WHERE name = '{name}'")).scalar()
        drop_trigger(conn, name)
        for table in ("suppressions", "consent_evidence", "consent_events"):
            conn.execute(text(f"DELETE FROM {table} WHERE sequence = 6"))
        conn.execute(text(
            "UPDATE ledger_head SET sequence = 5, "
            "hash = (SELECT hash FROM consent_events WHERE sequence = 5)"
        ))  # fmt: skip
        conn.exec_driver_sql(str(made))  # and nobody sees that it was gone
    ended = mailbot("ledger", "verify")
    assert ended.code == 1
    assert "it had 6 events when its head was written down, and 5 stand" in ended.out


def test_nothing_but_the_lines_stands_in_what_is_printed(mailbot: Shell) -> None:
    """The first write of a command starts the journal, which is told in the log only."""
    assert len(printed(mailbot("ledger", "export", "-", "--reason", "audit"))) == 5


def test_what_is_no_head_is_refused(mailbot: Shell) -> None:
    ended = mailbot("ledger", "verify", "--head", "9")
    assert ended.code == 65
    assert "--head: “9” is no head of a ledger." in ended.err


def export(mailbot: Shell, *arguments: str, name: str = "ledger.jsonl") -> Path:
    target = mailbot.folder / name
    ended = mailbot("ledger", "export", str(target), "--reason", "audit", *arguments)
    assert ended.code == 0, ended
    return target


def checked_by_the_manual(mailbot: Shell, export: Path) -> subprocess.CompletedProcess[str]:
    """Run the verifier that docs/ledger.md prints, in a Python without mailbot."""
    [program] = re.findall(r"```python\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    path = mailbot.write("verify.py", program)
    return subprocess.run(
        [sys.executable, "-I", path, str(export)], capture_output=True, text=True, check=False
    )


def test_an_outsider_verifies_an_export_by_the_manual(mailbot: Shell, database: Database) -> None:
    with database.read() as conn:
        head = ledger.head(conn)
    ended = checked_by_the_manual(mailbot, export(mailbot))
    assert ended.stderr == ""
    assert ended.stdout == f"5 events, 1 erased, head 5:{head.hash}\n"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('"rule": "word-in-subject"', '"rule": "other"', "event 1 was changed"),
        ("ann@example.org", "eve@example.org", "event 1 was changed"),  # in its key
        ('"Subject": "unsubscribe"', '"Subject": "hello"', "the evidence of event 1 was changed"),
        ('"sequence": 2', '"sequence": 3', "event 2 is missing or stands in another place"),
    ],
)
def test_the_verifier_of_the_manual_finds_changes(
    mailbot: Shell, old: str, new: str, found: str
) -> None:
    target = export(mailbot)
    target.write_text(target.read_text().replace(old, new, 1))
    ended = checked_by_the_manual(mailbot, target)
    assert ended.returncode == 1
    assert found in ended.stderr


def test_an_export_is_private_and_recorded_with_its_reason(
    mailbot: Shell, database: Database
) -> None:
    target = export(mailbot)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert len(lines) == 5, "the export is not in itself"
    assert lines[2]["address"] is None, "erased"
    last = json.loads(export(mailbot, name="again").read_text().splitlines()[-1])
    assert (last["kind"], last["batch_count"]) == ("exported", 3)
    assert last["evidence"]["reason"] == "audit"
    hashes = {person(who).person_hash
              for who in ("ann@example.org", "jürgen@exämple.org", "cleo@example.org")}  # fmt: skip
    assert last["batch_digest"] == batch_digest(hashes)


def test_nothing_is_overwritten_and_nothing_recorded_then(
    mailbot: Shell, database: Database
) -> None:
    target = mailbot.write("there", "mine")
    ended = mailbot("ledger", "export", target, "--reason", "audit")
    assert ended.code == 1
    assert "is not overwritten" in ended.err
    assert Path(target).read_text() == "mine"
    with database.read() as conn:
        assert ledger.head_sequence(conn) == 5


def test_a_reason_is_asked_for(mailbot: Shell) -> None:
    ended = mailbot("ledger", "export", "-", "--reason", " ")
    assert ended.code == 65
    assert "a reason is needed" in ended.err


def test_no_cell_of_a_spreadsheet_is_a_formula(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "=cmd@example.org", key="@sum(a1)"))
    text = export(mailbot, "--format", "csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 6
    assert (rows[5]["address"], rows[5]["key"]) == ("'=cmd@example.org", "'@sum(a1)")
    assert json.loads(rows[3]["evidence"]) == {"Subject": "=1+1 \U0001f375 \udce4 ß"}
    assert not [cell for row in rows for cell in row.values() if cell.startswith(tuple("=+-@\t\r"))]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--person", "ANN+shop@example.org"], [1]),
        (["--since", "2026-03-03"], [3, 5]),
        (["--until", "2026-03-03 00:00"], [1, 2, 4]),
        (["--since", "2026-03-03", "--until", "2026-03-04T14:00:30+00:00"], [3]),
    ],
)
def test_a_part_is_chosen_by_person_and_time(
    mailbot: Shell, options: list[str], numbers: list[int]
) -> None:
    lines = printed(mailbot("ledger", "export", "-", "--reason", "audit", *options))
    assert [line["sequence"] for line in lines] == numbers


def printed(ended: Ended) -> list[dict[str, object]]:
    assert ended.code == 0, ended
    return [json.loads(line) for line in ended.out.splitlines()]


def test_a_ledger_is_whole_after_somebody_was_erased(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.COMPLAINT, "zoe+tea@example.org"))
        consent.record(conn, event(Kind.OPT_OUT, "zoe@example.org"))
    assert mailbot("erase", "zoe@example.org", "--note", "ticket 4711", "--yes").code == 0
    ended = mailbot("ledger", "verify")
    assert ended.code == 0, ended.out
    assert "3 of people who were erased" in ended.out, "cleo's one and zoe's two"
