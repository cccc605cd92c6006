"""Backups while mailbot runs, and the way back: a database is put aside, never overwritten."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, inspect, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from mailbot.core.errors import InputError, RefusedError, StoreError
from mailbot.store import ledger, schema
from mailbot.store.engine import Database, explained
from mailbot.store.ledger import Head

_CUSTOM_FORMAT: Final = b"PGDMP"  # how a dump of pg_dump -Fc begins
_SQLITE: Final = b"SQLite format 3\x00"


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was looked at: its schema's version, its ledger's head, its size in bytes.

    `put_aside` is where the database went that stood in its place; None where there was none.
    """

    path: Path
    version: str
    head: Head
    size: int
    put_aside: Path | None = None


def make(database: Database, target: Path) -> Backup:
    """Write a whole backup to the new file `target`, readable by its owner alone, durable.

    Others go on reading and writing meanwhile. Raises RefusedError where `target` is there,
    StoreError where the copy is not whole, OSError where it cannot be written.
    """
    if target.exists():
        raise RefusedError(
            "there is a file of that name", where=str(target), next_step="Name a new one."
        )
    if not target.absolute().parent.is_dir():
        raise InputError(
            "there is no such folder", where=str(target.parent), next_step="Make it first."
        )
    fresh = target.with_name(f".{target.name}.{os.getpid()}.part")
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        if database.is_sqlite:
            _copy_sqlite(database, fresh)
            made = examine(fresh)
        else:
            made = _dump(database, fresh)
        _sync(fresh)
        try:
            os.link(fresh, target)  # unlike a rename it overwrites nothing
        except FileExistsError:
            raise RefusedError(
                "a file of that name appeared meanwhile", where=str(target),
                next_step="Name a new one.",
            ) from None  # fmt: skip
    finally:
        fresh.unlink(missing_ok=True)
    _sync(target.absolute().parent)
    return Backup(target, made.version, made.head, target.stat().st_size)


def _copy_sqlite(database: Database, target: Path) -> None:
    """One snapshot by SQLite's own backup; in WAL mode a reader keeps no writer waiting."""
    into = create_engine(f"sqlite:///{target}", poolclass=NullPool)
    with (
        explained(str(target)),
        database.engine.connect() as source,
        into.connect() as copy,
    ):
        _driver(source).backup(_driver(copy), pages=-1)
        _driver(copy).execute("PRAGMA journal_mode = DELETE").close()  # one file, not three


def _driver(conn: Connection) -> Any:
    return conn.connection.driver_connection


def _dump(database: Database, target: Path) -> Backup:
    """pg_dump of the very snapshot whose head is told."""
    with database.read() as conn:
        snapshot = conn.execute(text("SELECT pg_export_snapshot()")).scalar_one()
        head, version = ledger.head(conn), schema.version(conn) or ""
        _run(
            "pg_dump", "--format=custom", "--no-owner", "--no-privileges",
            f"--snapshot={snapshot}", f"--file={target}", f"--dbname={_libpq(database)}",
        )  # fmt: skip
    return Backup(target, version, head, target.stat().st_size)


def _libpq(database: Database) -> str:
    """The URL as PostgreSQL's programs take it; no password stands in store.url."""
    url = database.engine.url.set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


def _run(program: str, *arguments: str) -> None:
    found = shutil.which(program)
    if found is None:
        raise StoreError(
            f"{program} is not installed here",
            next_step="Install PostgreSQL's client programs (Debian: postgresql-client).",
        )
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise StoreError(f"{program} failed; it said: {said}")


def examine(path: Path) -> Backup:
    """Look a SQLite backup through: pages, schema, and, where the schema is ours, the whole chain.

    It is opened read-only; nothing is changed. Raises InputError where it cannot be used.
    """
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            raise InputError(
                "this is not a SQLite database", where=str(path),
                next_step="Name a file that `mailbot db backup` made.",
            )  # fmt: skip
    # A log beside it would be another database's: what is in the file is what is looked at.
    url = f"sqlite:///file:{quote(str(path.absolute()))}?immutable=1&uri=true"
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as conn:
            found = conn.execute(text("PRAGMA integrity_check(1)")).scalar_one()
            if found != "ok":
                raise InputError(
                    f"the backup is damaged ({found})", where=str(path),
                    next_step="Take an older backup.",
                )  # fmt: skip
            version, head = _examine_ledger(conn, path)
    except DBAPIError as error:
        raise InputError(
            f"the backup cannot be read ({error.orig})", where=str(path),
            next_step="Take an older backup.",
        ) from error  # fmt: skip
    return Backup(path, version, head, path.stat().st_size)


def _examine_ledger(conn: Connection, path: Path) -> tuple[str, Head]:
    schema.refuse_ahead(conn, str(path))
    version = schema.version(conn)
    if version is None:
        raise InputError(
            "this is no database of mailbot's", where=str(path),
            next_step="Name a file that `mailbot db backup` made.",
        )  # fmt: skip
    if version == schema.newest_version():
        schema.check(conn)
        fault = ledger.verify(conn)
        if fault is not None:
            raise InputError(
                f"the ledger in it is not whole: {fault.what}", where=str(path),
                next_step="Take another backup.",
            )  # fmt: skip
    return version, ledger.head(conn)


def restore_file(source: Path, database: Path, at: datetime) -> Backup:
    """Put a copy of `source` in the place of the SQLite file `database`, which goes aside.

    Nobody may have the database open. Raises InputError where `source` cannot be used: then
    nothing has changed.
    """
    found = examine(source)
    fresh = database.with_name(f".{database.name}.{os.getpid()}.part")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with source.open("rb") as old, os.fdopen(descriptor, "wb") as new:
            shutil.copyfileobj(old, new, 1 << 20)
        _sync(fresh)
        aside = _put_aside(database, fresh, at)
        fresh.rename(database)
    finally:
        fresh.unlink(missing_ok=True)
    _sync(database.parent)
    return Backup(database, found.version, found.head, found.size, aside)


def _put_aside(database: Path, fresh: Path, at: datetime) -> Path | None:
    """Rename what is there, with its log: what stands only in the log belongs to it."""
    if not database.exists():
        return None
    owner = database.stat()
    with suppress(PermissionError):  # only root may give files away
        os.chown(fresh, owner.st_uid, owner.st_gid)
    aside = database.with_name(f"{database.name}.before-restore-{at:%Y%m%dT%H%M%S}")
    for ending in ("-wal", "-shm", ""):
        part = database.with_name(database.name + ending)
        if part.exists():
            part.rename(aside.with_name(aside.name + ending))
    return aside


def restore_dump(source: Path, url: str) -> Backup:
    """Fill the empty PostgreSQL database of `url` from a dump, in one transaction.

    Raises RefusedError where it is not empty, InputError where `source` is no dump.
    """
    with source.open("rb") as file:
        if file.read(len(_CUSTOM_FORMAT)) != _CUSTOM_FORMAT:
            raise InputError(
                "this is no dump of PostgreSQL's", where=str(source),
                next_step="Name a file that `mailbot db backup` made.",
            )  # fmt: skip
    database = Database.open(url)
    try:
        with database.read() as conn:
            if inspect(conn).get_table_names():
                raise RefusedError(
                    "the database is not empty, and mailbot overwrites none",
                    where=database.where,
                    next_step="Make an empty one (createdb), name it in store.url, run it again.",
                )
        _run(
            "pg_restore", "--no-owner", "--no-privileges", "--exit-on-error",
            "--single-transaction", f"--dbname={_libpq(database)}", str(source),
        )  # fmt: skip
        with database.read() as conn:
            version, head = _examine_ledger(conn, source)
    finally:
        database.close()
    return Backup(source, version, head, source.stat().st_size)


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL; None for another engine."""
    parsed = make_url(url)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    return Path(parsed.database) if is_sqlite and parsed.database else None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
