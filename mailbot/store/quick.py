"""SQLite without a thread between: for work of a millisecond, on the thread that asks for it.

Handed to a thread, each step of SQLite gives the interpreter's lock away and waits for it again,
which costs more than the work itself. Only what waits for the disk is left to a thread: COMMIT.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import Connection, Engine, Transaction
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

T = TypeVar("T")


class BusyError(Exception):
    """Somebody else writes: nothing was done."""


class QuickConnection:
    """A connection that stays open and never waits for a lock. One thread at a time may use it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._conn: Connection | None = None

    def write(self, function: Callable[[Connection], T]) -> tuple[T, Callable[[], None]]:
        """Run `function` in a transaction; returns its result and what makes it durable.

        The latter waits for the disk, on whatever thread. Raises BusyError before `function` is
        called.
        """
        conn = self._open()
        transaction = self._begin(conn, writes=True)
        try:
            return function(conn), lambda: self._commit(transaction)
        except BaseException:
            self.close()
            raise

    def read(self, function: Callable[[Connection], T]) -> T:
        """Run `function` in a fresh snapshot of its own."""
        conn = self._open()
        try:
            snapshot = self._begin(conn, writes=False)
            found = function(conn)
            snapshot.rollback()
            return found
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connection up, with whatever is not committed; the next use opens another."""
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(SQLAlchemyError):
                conn.invalidate()  # its own busy_timeout must not go back to the pool
            conn.close()

    def _open(self) -> Connection:
        if self._conn is None:
            self._conn = self._engine.connect()
            self._conn.exec_driver_sql("PRAGMA busy_timeout = 0")
            self._conn.rollback()
        return self._conn

    def _begin(self, conn: Connection, *, writes: bool) -> Transaction:
        conn.execution_options(mailbot_writes=writes)
        try:
            return conn.begin()
        except DBAPIError as error:
            self.close()
            if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise BusyError from error
            raise

    def _commit(self, transaction: Transaction) -> None:
        try:
            transaction.commit()
        except BaseException:
            self.close()
            raise
