"""Backups of a database in use, and the way back, which destroys nothing."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from mailbot.core.consent import Kind, Reason
from mailbot.core.errors import InputError, RefusedError, SchemaError, StoreError
from mailbot.store import backups, consent, ledger, restoring, schema, suppressions, switches
from mailbot.store.engine import Database
from mailbot.store.restoring import Keeper
from tests.databases import Databases
from tests.people import event, person
from tests.store.filling import drop_trigger
from tests.store.test_schema import make_older

ANN, BOB = "ann@example.org", "bob@example.org"
AT = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)


def hear(database: Database, *people: str) -> None:
    for who in people:
        with database.write() as conn:
            consent.record(conn, event(Kind.OPT_OUT, who))


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def restored(databases: Databases, engine: str, backup: Path, database: Database) -> Database:
    """The backup restored, as an admin does it: in place of the file, or into an empty database."""
    if engine == "sqlite":
        database.close()
        file = backups.sqlite_file(url_of(database))
        assert file is not None
        backups.restore_file(backup, file, AT)
        return Database.open(url_of(database))
    url = databases.empty()
    backups.restore_dump(backup, url)
    return Database.open(url)


def test_a_backup_holds_everything_and_comes_back(
    databases: Databases, engine: str, database: Database, tmp_path: Path
) -> None:
    hear(database, ANN)
    made = backups.make(database, tmp_path / "backup")
    with database.read() as conn:
        assert made.head == ledger.head(conn)
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600
    hear(database, BOB)
    again = restored(databases, engine, tmp_path / "backup", database)
    with again.read() as conn:
        schema.check(conn)  # its triggers too
        assert ledger.verify(conn) is None
        assert ledger.head(conn) == made.head
        assert suppressions.reasons(conn, person(ANN)) == {Reason.OPT_OUT}
        assert suppressions.reasons(conn, person(BOB)) == set()
    again.close()


def test_who_opted_out_after_the_backup_is_found_by_the_journal(
    databases: Databases, engine: str, database: Database, tmp_path: Path
) -> None:
    Keeper(database, tmp_path / "journal").attach()
    hear(database, ANN)
    backups.make(database, tmp_path / "backup")
    hear(database, BOB)
    again = restored(databases, engine, tmp_path / "backup", database)
    assert Keeper(again, tmp_path / "journal").keep() is not None
    with again.read() as conn:
        assert suppressions.reasons(conn, person(BOB)) == {Reason.OPT_OUT}
        assert switches.is_marketing_stopped(conn)
        assert restoring.history(conn)[0].counts("played_back") == {"opt_out": 1}
    again.close()


def test_opt_outs_are_heard_while_a_backup_is_made(database: Database, tmp_path: Path) -> None:
    hear(database, *(f"p{number}@example.org" for number in range(300)))
    is_over = threading.Event()
    heard: list[int] = []

    def listen() -> None:
        while not is_over.is_set():
            hear(database, f"late{len(heard)}@example.org")
            heard.append(1)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        made = [backups.make(database, tmp_path / f"backup{number}") for number in range(3)]
    finally:
        is_over.set()
        listener.join()
    assert len(heard) > 3
    with database.read() as conn:
        assert ledger.head(conn).sequence == 300 + len(heard)
    lengths = [one.head.sequence for one in made]
    assert lengths == sorted(lengths) and 300 <= lengths[0] <= lengths[-1] <= 300 + len(heard)


def test_a_file_that_is_there_is_never_overwritten(database: Database, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("last year's")
    with pytest.raises(RefusedError, match="a file of that name"):
        backups.make(database, tmp_path / "backup")
    assert (tmp_path / "backup").read_text() == "last year's"
    assert not list(tmp_path.glob(".backup*")), "and no half of one is left"


@pytest.mark.only_on("postgresql", "needs its programs")
def test_without_pg_dump_the_word_is_clear(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreError, match="pg_dump is not installed") as told:
        backups.make(database, tmp_path / "backup")
    assert "postgresql-client" in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.only_on("postgresql", "about a database with tables in it")
def test_a_dump_is_not_restored_over_a_database(database: Database, tmp_path: Path) -> None:
    hear(database, ANN)
    backups.make(database, tmp_path / "backup")
    with pytest.raises(RefusedError, match="not empty"):
        backups.restore_dump(tmp_path / "backup", url_of(database))
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InputError, match="no dump"):
        backups.restore_dump(tmp_path / "text", url_of(database))


@pytest.mark.only_on("sqlite", "about files")
def test_the_database_that_was_there_is_put_aside_with_its_log(
    database: Database, tmp_path: Path
) -> None:
    hear(database, ANN)
    backups.make(database, tmp_path / "backup")
    hear(database, BOB)
    file = backups.sqlite_file(url_of(database))
    assert file is not None
    copy = tmp_path / "house" / "mailbot.db"
    copy.parent.mkdir()
    for ending in ("", "-wal", "-shm"):  # as a crash leaves it: the last write is in the log alone
        shutil.copyfile(f"{file}{ending}", f"{copy}{ending}")
    done = backups.restore_file(tmp_path / "backup", copy, AT)
    assert done.put_aside == copy.with_name("mailbot.db.before-restore-20270301T120000")
    assert not Path(f"{copy}-wal").exists(), "the log of another database would be read into it"
    old = Database.open(f"sqlite:///{done.put_aside}")
    with old.read() as conn:
        assert suppressions.reasons(conn, person(BOB)) == {Reason.OPT_OUT}
    old.close()


def damage(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(20_000))


@pytest.mark.only_on("sqlite", "about files")
def test_what_cannot_be_restored_changes_nothing(
    databases: Databases, database: Database, tmp_path: Path
) -> None:
    hear(database, ANN)
    backups.make(database, tmp_path / "damaged")
    damage(tmp_path / "damaged")
    (tmp_path / "text").write_text("hello")
    newer = Database.open(databases.migrated())
    with newer.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    backup_of_newer = tmp_path / "newer"
    newer_file = backups.sqlite_file(url_of(newer))
    newer.close()
    assert newer_file is not None
    shutil.copyfile(newer_file, backup_of_newer)
    edited = Database.open(databases.migrated())
    hear(edited, ANN, BOB)
    with edited.write() as conn:
        drop_trigger(conn, "consent_events_no_update")
        conn.execute(text("UPDATE consent_events SET rule = 'x' WHERE sequence = 1"))
        conn.execute(text(
            "CREATE TRIGGER consent_events_no_update BEFORE UPDATE ON consent_events "
            "BEGIN SELECT RAISE(ABORT, 'consent events are never changed'); END"
        ))  # fmt: skip
    edited_file = backups.sqlite_file(url_of(edited))
    edited.close()
    assert edited_file is not None

    file = backups.sqlite_file(url_of(database))
    assert file is not None
    before = file.read_bytes()
    for source, kind, what in (
        (tmp_path / "damaged", InputError, "damaged|cannot be read"),
        (tmp_path / "text", InputError, "not a SQLite database"),
        (backup_of_newer, SchemaError, "does not know"),
        (edited_file, InputError, "event 1 was changed"),
    ):
        with pytest.raises(kind, match=what):
            backups.restore_file(source, file, AT)
    assert file.read_bytes() == before
    assert not list(file.parent.glob("*before-restore*"))
    assert not list(file.parent.glob("*.part"))


@pytest.mark.only_on("sqlite", "about files")
def test_an_older_schema_is_restored_and_told(databases: Databases, tmp_path: Path) -> None:
    url = databases.empty()
    make_older(url, "0002")
    file = backups.sqlite_file(url)
    assert file is not None
    target = tmp_path / "fresh" / "mailbot.db"
    target.parent.mkdir()
    assert backups.restore_file(file, target, AT).version == "0002"
    schema.upgrade(f"sqlite:///{target}")
