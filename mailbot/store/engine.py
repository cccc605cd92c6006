"""The door to the database: a fresh snapshot to read, a durable transaction to write.

SQLite gets WAL, `synchronous=FULL` and `BEGIN IMMEDIATE`: pysqlite's own transactions lose updates
silently, and busy_timeout does not cover a read that turns into a write. Within one process the
writers queue at a lock instead of at SQLite's busy handler. PostgreSQL runs the same functions.
How waiting writes are committed stands in committers.py.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from mailbot.core.errors import StoreError, StoreUnavailable
from mailbot.store.columns import DatabaseTime
from mailbot.store.committers import PARALLEL_WRITERS, GroupCommitter, ParallelCommitter
from mailbot.store.quick import BusyError, QuickConnection

# The type of what store functions take first, for those who may not import SQLAlchemy.
__all__ = ["Connection", "Database", "explained", "make_private", "now"]

T = TypeVar("T")
LEDGER_GREW = "mailbot_ledger_grew"  # in a connection's info: this transaction appended an event
BUSY_TIMEOUT_MS = 30_000
# A server behind a dead line must not hang the daemon: libpq's own default is to wait for ever.
_POSTGRESQL_PATIENCE = {
    "connect_timeout": 10,  # seconds
    "tcp_user_timeout": 30_000,  # milliseconds
    # Whatever the server's default is: under another level those who wait for the ledger's head
    # would fail instead of going on behind it.
    "options": r"-c lock_timeout=30s -c default_transaction_isolation=read\ committed",
}
# Whoever writes and then says nothing for so long (a frozen process, a host without power) loses
# its locks, before those who wait for them give up: else a row, a lease or the ledger's head would
# be nobody's until it wakes.
SILENT_WRITER_SECONDS = 20
_READERS = 8


class Database:
    """One database, shared by the threads and the event loop of a process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self.where = engine.url.render_as_string(hide_password=True)
        # Called after each COMMIT that appended to the ledger, before the caller hears of it.
        self.after_events: Callable[[], object] | None = None
        self._writing = threading.Lock()  # SQLite's one writer
        self._ending: asyncio.Future[None] | None = None  # the COMMIT of the last quick write
        self._quick_writer, self._quick_reader = QuickConnection(engine), QuickConnection(engine)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-read")
        write, where = self.write, self.where
        self._committer = (
            GroupCommitter(write, where) if self.is_sqlite else ParallelCommitter(write, where)
        )

    @classmethod
    def open(cls, url: str) -> Database:
        """Connect to `url`; the schema is not looked at (see schema.check).

        Raises StoreUnavailable with the reason in plain words.
        """
        try:
            parsed = make_url(url)
            is_sqlite = parsed.get_backend_name() == "sqlite"
            if is_sqlite and parsed.database in (None, "", ":memory:"):
                raise StoreUnavailable(
                    "the list cannot live in memory", where=url, next_step="Name a file."
                )
            engine = create_engine(
                parsed,
                pool_size=_READERS + (2 if is_sqlite else PARALLEL_WRITERS),
                max_overflow=8,
                pool_pre_ping=not is_sqlite,
                connect_args={} if is_sqlite else _POSTGRESQL_PATIENCE,
            )
        except (ArgumentError, ModuleNotFoundError, SQLAlchemyError) as error:
            raise StoreUnavailable(
                f"this database URL cannot be used ({error})",
                where="store.url",
                next_step="Write sqlite:////path/mailbot.db or postgresql+psycopg://user@host/db.",
            ) from error
        if is_sqlite:
            _prepare_sqlite(engine)
        database = cls(engine)
        try:
            with database.read():
                pass
        except StoreUnavailable:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A fresh snapshot. Nothing that is written in it stays."""
        with explained(self.where), self.engine.connect() as conn:
            if not self.is_sqlite:  # whose default is a new snapshot for each statement
                conn.execution_options(isolation_level="REPEATABLE READ")
            yield conn
            conn.rollback()

    async def commit_quickly(self, function: Callable[[Connection], T]) -> T:
        """Like `commit`, for a `function` of about a millisecond that appends no event.

        On SQLite it runs here and now, and a thread waits for the disk. Where another writer is at
        work, a thread waits for that as well.
        """
        if not self.is_sqlite:
            return await self.commit(function)
        while not self._writing.acquire(blocking=False):
            ending = self._ending
            if ending is None or ending.done():
                return await self.commit(function)
            await asyncio.wait({ending})  # of our own: the disk is all that it waits for
        try:
            with explained(self.where):
                result, make_durable = self._quick_writer.write(function)
        except BusyError:
            self._writing.release()
            return await self.commit(function)
        except BaseException:
            self._writing.release()
            raise
        # Not to be cancelled in between: the thread lets the next writer in.
        self._ending = asyncio.get_running_loop().run_in_executor(
            self._readers, partial(self._end_quickly, make_durable)
        )
        await asyncio.shield(self._ending)
        return result

    def _end_quickly(self, make_durable: Callable[[], None]) -> None:
        try:
            with explained(self.where):
                make_durable()
        finally:
            self._writing.release()

    async def look_quickly(self, function: Callable[[Connection], T]) -> T:
        """Like `look`, for a `function` of about a millisecond."""
        if not self.is_sqlite:
            return await self.look(function)
        with explained(self.where):
            return self._quick_reader.read(function)

    @contextmanager
    def write(self, *, is_journaled: bool = True) -> Iterator[Connection]:
        """One transaction, durable when the block ends, rolled back when it raises.

        What it appended to the ledger is then in the journal as well; `is_journaled` is False for
        the journal's own writes. PostgreSQL ends it after SILENT_WRITER_SECONDS of silence.
        """
        has_grown = False
        with (
            explained(self.where),
            self._one_writer(),
            self.engine.connect() as conn,
            conn.execution_options(mailbot_writes=True).begin(),
        ):
            conn.info.pop(LEDGER_GREW, None)  # of a transaction that was rolled back
            self._limit_silence(conn)
            yield conn
            has_grown = conn.info.pop(LEDGER_GREW, False)
        if has_grown and is_journaled and self.after_events is not None:
            self.after_events()

    async def commit(self, function: Callable[[Connection], T]) -> T:
        """Run `function` in a write transaction and return its result after the COMMIT.

        On SQLite calls that wait at the same time share one transaction, and where one of them
        raises, the others are run again alone: `function` must do nothing but talk to `conn`.
        """
        return await asyncio.wrap_future(self._committer.submit(function))

    async def look(self, function: Callable[[Connection], T]) -> T:
        """Run `function` in a fresh snapshot of its own, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, self._look_now, function
        )

    def _look_now(self, function: Callable[[Connection], T]) -> T:
        with self.read() as conn:
            return function(conn)

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        if not self.is_sqlite:
            yield
            return
        with self._writing:
            yield

    def _limit_silence(self, conn: Connection) -> None:
        if not self.is_sqlite:
            limit = f"SET LOCAL idle_in_transaction_session_timeout = '{SILENT_WRITER_SECONDS}s'"
            conn.exec_driver_sql(limit)

    def close(self) -> None:
        """Let waiting commits finish, then drop every connection."""
        self._committer.close()
        self._readers.shutdown(wait=True)
        self._quick_writer.close()
        self._quick_reader.close()
        self.engine.dispose()


def now(conn: Connection) -> datetime:
    """The database's clock, in UTC."""
    return conn.execute(_NOW).scalar_one()


_NOW = select(DatabaseTime())


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            "synchronous = FULL",  # a ledger entry that was answered survives a power cut
            "foreign_keys = ON",
            "secure_delete = ON",  # what is erased is overwritten
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _on_begin(conn: Connection) -> None:
        writes = conn.get_execution_options().get("mailbot_writes", False)
        conn.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn what the driver raises into StoreUnavailable or StoreError, in plain words."""
    try:
        yield
    except DBAPIError as error:
        raise _explanation(error, where) from error
    except SQLAlchemyError as error:
        raise StoreError(f"the database call failed ({error})", where=where) from error


# What SQLite and PostgreSQL say, in words that tell an admin what to do.
_WORDS = (
    ("unable to open database file", "the database file cannot be opened.",
     "Create its directory and give mailbot's user the right to write there."),
    ("readonly", "the database is read-only.", "Give mailbot's user the right to write to it."),
    ("file is not a database", "this file is not a SQLite database.",
     "Restore it from a backup; mailbot touches nothing."),
    ("malformed", "the database file is damaged.",
     "Stop mailbot and restore it from a backup; mailbot touches nothing."),
    ("disk is full", "the disk is full; nothing was written.", "Make room; mailbot goes on."),
    ("no space left", "the disk is full; nothing was written.", "Make room; mailbot goes on."),
    ("read-only transaction", "the database server takes no writes.",
     "Is it a standby? Name the primary in store.url; mailbot tries again."),
    ("disk i/o error", "the disk failed to write; nothing was written.",
     "Look at the disk (full? failing?); mailbot goes on as soon as it can write."),
    ("database is locked", "another program keeps the database locked.",
     "End it, or wait; mailbot tries again."),
    ("no such table", "the database has no mailbot schema yet.", "Run: mailbot db upgrade"),
    ("does not exist", "the database or its schema is not there.",
     "Create it and run: mailbot db upgrade"),
    ("password authentication failed", "the database refused our password.",
     "Correct store.url."),
    ("connection refused", "nobody answers there.", "Start the database server."),
)  # fmt: skip


def _explanation(error: DBAPIError, where: str) -> StoreError:
    said = str(error.orig).strip() if error.orig else str(error)
    for mark, what, next_step in _WORDS:
        if mark in said.lower():
            return StoreUnavailable(f"{what} (It said: {said})", where=where, next_step=next_step)
    is_unavailable = error.connection_invalidated or type(error).__name__ in (
        "OperationalError", "InterfaceError",
    )  # fmt: skip
    kind = StoreUnavailable if is_unavailable else StoreError
    return kind(f"the database said: {said}", where=where)


def make_private(url: str) -> None:
    """Create a SQLite file's directory, readable by its owner alone, if it is not there yet."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        with suppress(FileExistsError):
            Path(parsed.database).parent.mkdir(mode=0o700, parents=True)
