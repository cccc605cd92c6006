"""The journal outside the database: written after each COMMIT, whole after a crash."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mailbot.core.consent import BatchEvent, Kind, Source, batch_digest
from mailbot.store import consent, journal, ledger
from mailbot.store.engine import Database
from mailbot.store.journal import Entry, Journal
from mailbot.store.ledger import Head
from mailbot.store.restoring import Keeper
from tests.people import NOON, event, person

LINES = [Entry(number, f"{number:064x}", "opt_out") for number in range(1, 6)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "other disk" / "journal"


@pytest.fixture
def written(folder: Path) -> Journal:
    """A journal of five lines."""
    made = Journal(folder)
    with made.locked():
        made.append(LINES)
    return made


@pytest.fixture
def keeper(database: Database, folder: Path) -> Keeper:
    return Keeper(database, folder).attach()


def opt_out(database: Database, *people: str) -> None:
    for who in people:
        with database.write() as conn:
            consent.record(conn, event(Kind.OPT_OUT, who))


def chain(kept: Journal) -> list[Entry]:
    found = kept.chain()
    return [found[index] for index in range(len(found))]


def head(database: Database) -> Head:
    with database.read() as conn:
        return ledger.head(conn)


def test_an_event_stands_in_the_journal_when_its_write_is_answered(
    database: Database, keeper: Keeper, folder: Path
) -> None:
    opt_out(database, "ann@example.org")
    (entry,) = chain(keeper.journal)
    assert (entry.sequence, entry.kind, entry.source) == (1, "opt_out", "mail")
    assert entry.person == person("ann@example.org")
    assert entry.at == NOON
    assert entry.hash == head(database).hash
    checkpoint = json.loads((folder / "checkpoint.json").read_text())
    assert checkpoint == {"sequence": 1, "hash": entry.hash}


async def test_events_that_share_one_commit_stand_there_when_they_are_answered(
    database: Database, keeper: Keeper
) -> None:
    await database.commit(lambda conn: consent.record(conn, event(Kind.OPT_OUT)))
    assert keeper.journal.tip() == head(database)


def test_no_address_stands_in_it(database: Database, keeper: Keeper) -> None:
    opt_out(database, "ann+teas@example.org")
    assert b"ann" not in keeper.journal.path.read_bytes()


def test_an_event_about_many_is_one_line(database: Database, keeper: Keeper) -> None:
    people = [person(f"p{number}@example.org") for number in range(50)]
    digest = batch_digest(one.person_hash for one in people)
    with database.write() as conn:
        consent.record_many(
            conn,
            BatchEvent(Kind.IMPORTED, Source.IMPORT, "import:1", NOON, "list", "1", 50, digest),
            [consent.Entry(one, None) for one in people],
        )
    (entry,) = chain(keeper.journal)
    assert (entry.kind, entry.batch_count, entry.batch_digest) == ("imported", 50, digest)


def test_a_write_that_was_rolled_back_leaves_no_line(database: Database, keeper: Keeper) -> None:
    def fail() -> None:
        with database.write() as conn:
            consent.record(conn, event(Kind.OPT_OUT))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.write():
        pass
    assert not keeper.journal.path.exists()


def test_what_was_committed_before_a_crash_is_written_with_the_next_event(
    database: Database, folder: Path
) -> None:
    opt_out(database, "ann@example.org", "bob@example.org")  # and no journal, as after a kill
    keeper = Keeper(database, folder).attach()
    opt_out(database, "cleo@example.org")
    assert [entry.sequence for entry in chain(keeper.journal)] == [1, 2, 3]


@pytest.mark.only_on("sqlite", "it starts a process of its own")
def test_a_kill_between_commit_and_journal_loses_nothing(database: Database, folder: Path) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    killed = subprocess.run(
        [sys.executable, "-c", f"""
import os, signal
from mailbot.core.consent import Kind
from mailbot.store import consent
from mailbot.store.engine import Database
from tests.people import event
database = Database.open({url!r})
database.after_events = lambda: os.kill(os.getpid(), signal.SIGKILL)
with database.write() as conn:
    consent.record(conn, event(Kind.OPT_OUT))
"""],
        check=False, capture_output=True,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    keeper = Keeper(database, folder)
    assert keeper.keep() is None
    assert keeper.journal.tip() == head(database) != Head(0, "")
    assert head(database).sequence == 1


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_line_that_a_crash_tore_is_written_anew(
    database: Database, keeper: Keeper, kept: int
) -> None:
    opt_out(database, "ann@example.org", "bob@example.org")
    whole = keeper.journal.path.read_bytes()
    second = whole.index(b"\n") + 1
    torn = whole[: second + kept] if kept > 0 else whole[:-1]
    keeper.journal.path.write_bytes(torn)
    assert keeper.keep() is None
    assert keeper.journal.path.read_bytes() == whole


@pytest.mark.only_on("sqlite", "about the file alone")
def test_a_damaged_line_is_no_line(database: Database, written: Journal) -> None:
    lines = written.path.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b"opt_out", b"opt_in_")
    written.path.write_bytes(b"".join(lines))
    tip, witness = written.tip(), written.witness()
    assert tip is not None and tip.sequence == 4
    assert witness is not None and witness.sequence == 5, "the checkpoint still knows"
    assert written.chain().damaged == 1


@pytest.mark.only_on("sqlite", "about the file alone")
def test_the_last_line_is_found_in_a_long_file(database: Database, folder: Path) -> None:
    long = Journal(folder)
    with long.locked():
        long.append(Entry(number, f"{number:064x}", "opt_out") for number in range(1, 3001))
    assert long.tip() == Head(3000, f"{3000:064x}")
    assert len(long.chain()) == 3000
    with long.path.open("ab") as file:
        file.write(b"x" * 200_000)
    assert long.tip() == Head(3000, f"{3000:064x}"), "behind a tear of any length"


@pytest.mark.only_on("sqlite", "about the file alone")
def test_a_branch_leaves_what_came_behind_it(database: Database, written: Journal) -> None:
    with written.locked():
        written.append([journal.branch(Head(2, LINES[1].hash)), Entry(3, "f" * 64, "held")])
    assert [(entry.sequence, entry.kind) for entry in chain(written)] == [
        (1, "opt_out"), (2, "opt_out"), (3, "held")
    ]  # fmt: skip
    assert written.witness() == Head(3, "f" * 64) or written.tip() == Head(3, "f" * 64)


def test_a_disk_that_takes_nothing_loses_no_opt_out_and_is_made_up_for(
    database: Database, keeper: Keeper, folder: Path
) -> None:
    opt_out(database, "ann@example.org")
    keeper.journal.path.rename(folder / "aside")
    keeper.journal.path.symlink_to("/dev/full")
    opt_out(database, "bob@example.org")
    assert head(database).sequence == 2, "it is on the list all the same"
    assert keeper.keep_quietly() is False
    keeper.journal.path.unlink()
    (folder / "aside").rename(keeper.journal.path)
    assert keeper.keep_quietly() is True
    assert keeper.journal.tip() == head(database)


def test_a_folder_that_may_not_be_written_loses_no_opt_out(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    Keeper(database, tmp_path / "file" / "journal").attach()
    opt_out(database, "ann@example.org")
    assert head(database).sequence == 1


def test_many_processes_write_one_journal(database: Database, folder: Path) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    program = f"""
import sys
from pathlib import Path
from mailbot.core.consent import Kind
from mailbot.store import consent
from mailbot.store.engine import Database
from mailbot.store.restoring import Keeper
from tests.people import event
database = Database.open({url!r})
Keeper(database, Path({str(folder)!r})).attach()
for number in range(15):
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, f"{{sys.argv[1]}}{{number}}@example.org"))
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", program, name], stderr=subprocess.PIPE)
        for name in ("a", "b", "c")
    ]
    for writer in writers:
        assert writer.wait(50) == 0, writer.stderr and writer.stderr.read()
        if writer.stderr:
            writer.stderr.close()
    lines = Journal(folder).path.read_bytes().splitlines()
    assert len(lines) == 45, "each event once"
    assert [entry.sequence for entry in chain(Journal(folder))] == list(range(1, 46))
    assert Journal(folder).tip() == head(database)


def test_a_stopped_command_that_has_the_journal_locked_keeps_nobody_from_being_answered(
    database: Database, keeper: Keeper, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-Z in the middle of an import: what is committed is answered, and made up for later."""
    opt_out(database, "ann@example.org")
    monkeypatch.setattr(journal, "PATIENCE", 0.1)
    code = (
        "import sys; from pathlib import Path; from mailbot.store.journal import Journal\n"
        "with Journal(Path(sys.argv[1])).locked():\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    stopped = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with stopped:
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == b"locked\n"
        stopped.send_signal(signal.SIGSTOP)
        opt_out(database, "bob@example.org", "cleo@example.org")
        with pytest.raises(TimeoutError, match="is one stopped"):
            keeper.keep()
        assert keeper.journal.tip() != head(database)
        stopped.kill()
    opt_out(database, "dan@example.org")
    assert [entry.sequence for entry in chain(keeper.journal)] == [1, 2, 3, 4]
    assert keeper.journal.tip() == head(database)
