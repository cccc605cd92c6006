"""An import while everybody else changes the list: the strictest wins, and nothing is half done."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from mailbot.core.consent import Kind, Reason, Source
from mailbot.core.errors import AddressError
from mailbot.core.plain_addresses import plain_match_key
from mailbot.core.standing import PastEvent, reasons_at
from mailbot.lists import importing
from mailbot.lists.importing import PART, Imported, Order, import_list
from mailbot.lists.rows import Wanted
from mailbot.store import backups, consent, erasure, ledger, past, proof, suppressions
from mailbot.store.engine import Connection, Database, now
from mailbot.store.restoring import Keeper
from mailbot.store.tables import consent_events, consent_evidence, imports
from mailbot.store.tables import suppressions as listed
from tests.databases import Databases
from tests.people import NOON, PERSON_KEY, event, person
from tests.store.locks import deadlocks, until_waiting

LINES = 12_000  # three parts
NAMES = tuple(f"p{number}@example.org" for number in range(LINES))
SORTED = sorted(person(name).person_hash for name in NAMES)


class NoBadLines:
    def add(self, number: int, wrong: str, text: str) -> None:
        raise AssertionError(f"line {number} {wrong}: {text}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "left.csv"
    path.write_text("\n".join(["email", *NAMES]) + "\n")
    return path


def import_file(database: Database, file: Path) -> Imported:
    return import_list(
        database, PERSON_KEY, Order(file, Wanted(), by="a colleague", policy_version="1"),
        sort_in=file.parent, bad_lines=NoBadLines(), progress=lambda _what, _done: None,
    )  # fmt: skip


def come_back(conn: Connection, who: str) -> None:
    """As the command line does it: received now."""
    wish = event(Kind.OPT_IN, who, source=Source.COMMAND_LINE, key=f"in:{person(who).person_hash}")
    consent.record(conn, replace(wish, received_at=now(conn)))


def leave(conn: Connection, who: str) -> None:
    consent.record(conn, event(Kind.OPT_OUT, who, key=f"mail:{person(who).person_hash}"))


def erase(conn: Connection, who: str) -> None:
    erasure.erase(
        conn, person(who), key=f"erase:{person(who).person_hash}", source=Source.COMMAND_LINE,
        received_at=NOON, policy_version="1", evidence={"by": "a colleague"},
    )  # fmt: skip


class Together:
    """Runs each in a thread, and raises what any raised."""

    def __init__(self) -> None:
        self._faults: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], object]) -> None:
        self._threads.append(threading.Thread(target=self._guarded, args=(work,)))
        self._threads[-1].start()

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as fault:
            self._faults.append(fault)

    def end(self) -> None:
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()
        assert self._faults == []


def each(
    database: Database, change: Callable[[Connection, str], None], names: tuple[str, ...]
) -> Callable[[], None]:
    def run() -> None:
        for who in names:
            with database.write() as conn:
                change(conn, who)

    return run


def past_of(conn: Connection, who: str) -> list[PastEvent]:
    """Every event about this person, with the part of the import that named them."""
    number = SORTED.index(person(who).person_hash) // PART
    part = conn.execute(
        select(consent_events).where(consent_events.c.key.endswith(f":imported:{number}"))
    ).one()
    as_if_alone = PastEvent(
        part.sequence, Kind.IMPORTED, Source.IMPORT, person(who).person_hash, part.received_at
    )
    return sorted([*past.events_of(conn, person(who)), as_if_alone], key=lambda one: one.sequence)


def list_follows_from_the_ledger(conn: Connection, names: tuple[str, ...]) -> None:
    length = ledger.head_sequence(conn)
    for who in names:
        expected = set(reasons_at(past_of(conn, who), length))
        assert suppressions.reasons(conn, person(who)) == expected, who


@pytest.mark.only_on("postgresql", "SQLite has one writer: it takes its turn before it is told")
def test_an_opt_in_that_an_import_waits_for_was_before_it(database: Database, file: Path) -> None:
    who = next(name for name in NAMES if person(name).person_hash == SORTED[7])
    together = Together()
    with database.write() as conn:
        ledger.locked_head(conn)
        together.start(lambda: import_file(database, file))
        until_waiting(database, 1)
        come_back(conn, who)
    together.end()
    with database.read() as conn:
        [(since_at,)] = conn.execute(
            select(listed.c.since_at).where(listed.c.person_hash == person(who).person_hash)
        ).all()
        [wish] = past.events_of(conn, person(who))
        assert wish.received_at < since_at
        list_follows_from_the_ledger(conn, (who,))


@pytest.mark.timeout(180)
def test_imports_meet_erasures_opt_ins_opt_outs_and_a_backup(
    databases: Databases, file: Path, tmp_path: Path
) -> None:
    url = databases.migrated()
    database = Database.open(url)
    erased, back, left = NAMES[0:4000:100], NAMES[1:4000:100], NAMES[2:4000:100]
    both = NAMES[3:4000:100]  # who leave by mail and come back, in some order
    copies = [tmp_path / f"copy-{number}" for number in range(3)]
    together = Together()
    for work in (
        lambda: import_file(database, file),
        lambda: import_file(database, file),
        each(database, erase, erased),
        each(database, come_back, back + both),
        each(database, leave, left + both),
        lambda: [backups.make(database, copy) for copy in copies],
    ):
        together.start(work)
    together.end()
    with database.read() as conn:
        assert proof.prove(conn).fault is None
        assert conn.execute(
            select(func.count()).where(consent_events.c.kind == Kind.IMPORTED)
        ).scalar_one() == 3  # fmt: skip
        row = conn.execute(select(imports)).one()
        assert (row.persons, row.added, row.finished_at is None) == (LINES, LINES, False)
        for who in erased:
            assert Reason.ERASED in suppressions.reasons(conn, person(who))
        readable = [*conn.execute(select(listed.c.address)).scalars(),
                    *conn.execute(select(consent_evidence.c.address)).scalars()]  # fmt: skip
        assert not set(readable) & set(erased)
        list_follows_from_the_ledger(conn, erased + back + left + both)
    copies_are_whole(databases, copies)
    database.close()
    if not database.is_sqlite:
        again = Database.open(url)
        assert deadlocks(again) == 0
        again.close()


def copies_are_whole(databases: Databases, copies: list[Path]) -> None:
    """Each holds one moment: ledger and list agree in it."""
    for copy in copies:
        url = f"sqlite:///{copy}"
        if copy.read_bytes()[:5] == b"PGDMP":
            url = databases.empty()
            backups.restore_dump(copy, url)
        restored = Database.open(url)
        with restored.read() as conn:
            assert proof.prove(conn).fault is None
        restored.close()


def test_an_import_that_an_older_mailbot_began_and_read_otherwise_leaves_nobody_out(
    database: Database, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not read the address that sorts first; so each of its parts held others."""
    first = next(name for name in NAMES if person(name).person_hash == SORTED[0])
    real = plain_match_key
    with monkeypatch.context() as older:
        older.setattr(
            importing, "plain_match_key", lambda text: None if text == first else real(text)
        )
        older.setattr(importing, "parse_address", _unreadable)
        older.setattr(importing, "withhold_waiting", _die)
        with pytest.raises(SystemExit):
            import_list(
                database, PERSON_KEY, Order(file, Wanted(), by="a colleague", policy_version="1"),
                sort_in=file.parent, bad_lines=SomeBadLines(), progress=lambda _what, _done: None,
            )  # fmt: skip
    import_file(database, file)
    with database.read() as conn:
        assert proof.prove(conn).fault is None
        for name in (first, NAMES[-1]):
            assert suppressions.reasons(conn, person(name)) == {Reason.IMPORTED}
        older_one, newer_one = conn.execute(select(imports).order_by(imports.c.id)).all()
        assert (older_one.finished_at, older_one.added) == (None, LINES - 1)
        assert (newer_one.persons, newer_one.added) == (LINES, 1)


class SomeBadLines:
    def add(self, number: int, wrong: str, text: str) -> None: ...


def _unreadable(text: str) -> None:
    raise AddressError(f"{text} cannot be read")


def _die(_database: Database) -> None:
    raise SystemExit


IMPORT = """
import sys
from pathlib import Path
from mailbot.lists import importing
from mailbot.lists.rows import Wanted
from mailbot.store.engine import Database
from mailbot.store.restoring import Keeper
from tests.people import PERSON_KEY
from tests.store.test_import_races import NoBadLines

importing.PART = 200
url, file, journal = sys.argv[1:]
database = Database.open(url)
Keeper(database, Path(journal)).attach()
importing.import_list(
    database, PERSON_KEY,
    importing.Order(Path(file), Wanted(), by="a colleague", policy_version="1"),
    sort_in=Path(file).parent, bad_lines=NoBadLines(), progress=lambda _what, _done: None,
)
"""
PARTS = LINES // 200


def parts_in(database: Database) -> int:
    with database.read() as conn:
        return conn.execute(
            select(func.count()).where(consent_events.c.kind == Kind.IMPORTED)
        ).scalar_one()


@pytest.mark.timeout(240)
def test_an_import_killed_again_and_again_goes_on_while_mail_is_heard(
    databases: Databases, file: Path, tmp_path: Path
) -> None:
    url, journal = databases.migrated(), tmp_path / "journal"
    database = Database.open(url)
    keeper = Keeper(database, journal).attach()
    heard: list[str] = []
    is_over = threading.Event()

    def hear() -> None:
        for who in NAMES[::10]:
            if is_over.is_set():
                return
            with database.write() as conn:
                leave(conn, who)
            heard.append(who)

    together = Together()
    together.start(hear)
    kills = 0
    while True:
        start = parts_in(database)
        child = subprocess.Popen(
            [sys.executable, "-c", IMPORT, url, str(file), str(journal)], stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + 60
        while child.poll() is None and parts_in(database) < start + PARTS // 4:
            assert time.monotonic() < deadline
        child.kill()
        _, said = child.communicate()
        if child.returncode == 0:
            break
        assert child.returncode == -9, said.decode()
        kills += 1
    is_over.set()
    together.end()
    assert kills >= 2
    assert parts_in(database) == PARTS
    with database.read() as conn:
        assert proof.prove(conn).fault is None
        row = conn.execute(select(imports)).one()
        assert (row.persons, row.added) == (LINES, LINES)
        for who in heard:
            assert suppressions.reasons(conn, person(who)) == {Reason.OPT_OUT, Reason.IMPORTED}
    assert keeper.keep() is None
    with database.read() as conn:
        assert keeper.journal.tip() == ledger.head(conn)
        assert len(keeper.journal.chain()) == len(heard) + PARTS
    assert not keeper.journal.chain().damaged
    database.close()
