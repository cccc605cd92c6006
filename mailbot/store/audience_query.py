"""People from another database by one query that can only read, and is never held in memory.

The database itself refuses whatever is no reading: PostgreSQL by a cursor in a READ ONLY
transaction, SQLite by `mode=ro` and an authorizer, MySQL and MariaDB by a READ ONLY session.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from mailbot.core.errors import AudienceError

_ROWS_AT_ONCE: Final = 1000
# sqlite3.h: SQLITE_READ, SQLITE_SELECT, SQLITE_FUNCTION, SQLITE_RECURSIVE
_READING: Final = frozenset({20, 21, 31, 33})
_REFUSED: Final = ("read-only", "readonly", "not authorized", "authorization denied")
_STEPS_BETWEEN_LOOKS: Final = 10_000  # of SQLite's virtual machine: some milliseconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gives: the columns' names, and the rows as they come from the database."""

    columns: tuple[str, ...]
    rows: Iterator[Sequence[Any]]


@contextmanager
def asked(url: str, query: str, *, where: str, query_where: str, seconds: int) -> Iterator[Answer]:
    """The answer, while the block lasts; `where` and `query_where` name the source and the query.

    Raises AudienceError: no driver, no connection, a fault in the query, a write, too slow.
    """
    engine = _engine(url, where, seconds)
    deadline = time.monotonic() + seconds
    try:
        with _told(where, query_where, query, seconds), engine.connect() as conn:
            _forbid_writing(conn, deadline, seconds)
            result = conn.execution_options(
                stream_results=True, max_row_buffer=_ROWS_AT_ONCE, no_parameters=True
            ).exec_driver_sql(query)
            with closing(result):
                if not result.returns_rows:
                    raise AudienceError(
                        "the query gives no rows.", where=query_where, next_step="Write a SELECT."
                    )
                yield Answer(tuple(result.keys()), _until(deadline, seconds, query_where, result))
            conn.rollback()
    finally:
        engine.dispose()


def _until(
    deadline: float, seconds: int, query_where: str, rows: Iterator[Sequence[Any]]
) -> Iterator[Sequence[Any]]:
    """A time-out of PostgreSQL is one for each fetch: this one is for all of them."""
    for row in rows:
        if time.monotonic() > deadline:
            raise _too_slow(query_where, seconds)
        yield row


def _engine(url: str, where: str, seconds: int) -> Engine:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        connecting: dict[str, Any] = {"connect_timeout": 10}
        if backend == "sqlite":
            parsed, connecting = _read_only_file(parsed, where), {"timeout": seconds}
        elif backend == "postgresql":
            connecting["options"] = (
                f"-c default_transaction_read_only=on -c statement_timeout={seconds}s"
            )
        elif backend not in ("mysql", "mariadb"):
            raise AudienceError(
                f"{backend!r} is no database that mailbot reads people from.",
                where=where,
                next_step="It reads from PostgreSQL, SQLite, MySQL and MariaDB.",
            )
        return create_engine(parsed, poolclass=NullPool, connect_args=connecting)
    except ModuleNotFoundError as error:
        raise AudienceError(
            f"the driver “{error.name}” for this database is not installed.",
            where=where,
            next_step=f"Install it beside mailbot: pip install {error.name}",
        ) from error
    except (ArgumentError, SQLAlchemyError) as error:  # both may repeat the URL, and its password
        raise AudienceError(
            "this is no URL of a database that can be opened.",
            where=where,
            next_step="Write it like postgresql+psycopg://reader@db.shop.example/shop.",
        ) from error


def _read_only_file(parsed: URL, where: str) -> URL:
    path = Path(parsed.database or "")
    if not path.is_file():
        raise AudienceError(
            "there is no such database file.",
            where=f"{where}: {path}",
            next_step="Write sqlite:////path/shop.db (four slashes).",
        )
    return parsed.set(
        database=f"file:{quote(str(path.absolute()))}", query={"mode": "ro", "uri": "true"}
    )


def _forbid_writing(conn: Connection, deadline: float, seconds: int) -> None:
    driver: Any = conn.connection.dbapi_connection
    if conn.dialect.name == "sqlite":
        driver.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)
        driver.set_authorizer(lambda action, *_: 0 if action in _READING else 1)
    elif conn.dialect.name == "postgresql":
        conn.execution_options(postgresql_readonly=True)
    else:
        limit = (
            f"max_statement_time = {seconds}"
            if getattr(conn.dialect, "is_mariadb", False)
            else f"max_execution_time = {seconds * 1000}"
        )
        conn.exec_driver_sql(f"SET SESSION {limit}")
        conn.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
        conn.commit()  # it is for the transactions after this one


# -- what the database says ------------------------------------------------------------------


@contextmanager
def _told(where: str, query_where: str, query: str, seconds: int) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        said = re.sub(r"\s+", " ", str(error.orig)).strip()
        if _is_slow(error, said):
            raise _too_slow(query_where, seconds) from error
        if error.statement is None:  # it did not come to the query
            raise AudienceError(
                f"the database cannot be reached (it said: {said}).",
                where=where,
                next_step="Is the URL right, and does the server answer?",
            ) from error
        line = _line_of(error, query)
        is_write = any(mark in said.lower() for mark in _REFUSED)
        raise AudienceError(
            "the database refuses it: an audience's query may only read. " * is_write
            + f"The database said: {said.rstrip('.')}.",
            where=f"{query_where}, line {line}" if line else query_where,
            next_step="Write one SELECT." if is_write else "Correct the query, and try again.",
        ) from error
    except SQLAlchemyError as error:
        raise AudienceError(
            f"the query failed ({error}).", where=query_where, next_step="Correct it."
        ) from error


def _is_slow(error: DBAPIError, said: str) -> bool:
    return (
        getattr(error.orig, "sqlstate", None) == "57014"  # query_canceled
        or said == "interrupted"  # SQLite's progress handler
        or "maximum statement execution time exceeded" in said.lower()
        or "max_statement_time exceeded" in said.lower()
    )


def _too_slow(query_where: str, seconds: int) -> AudienceError:
    return AudienceError(
        f"the database took longer than {seconds} seconds.",
        where=query_where,
        next_step="Make the query quicker, or raise timeout_seconds of this [[audience]].",
    )


def _line_of(error: DBAPIError, query: str) -> int | None:
    """The line of the query that the database names: by position, "at line N", or a near word."""
    said = str(error.orig)
    position = getattr(getattr(error.orig, "diag", None), "statement_position", None)
    if position is not None:
        return _line_at_position(said, query)
    if named := re.search(r"at line (\d+)", said):
        return int(named[1])
    if near := re.search(r'near "([^"]+)"', said) or re.search(
        r"no such (?:column|table|function): (\S+)", said
    ):
        found = [match.start() for match in re.finditer(re.escape(near[1]), query)]
        return query.count("\n", 0, found[0]) + 1 if len(found) == 1 else None
    return None


def _line_at_position(said: str, query: str) -> int | None:
    """PostgreSQL's `LINE n:` counts in what was sent, whose first line has the cursor's words."""
    named = re.search(r"^LINE (\d+):", said, flags=re.MULTILINE)
    return min(int(named[1]), query.count("\n") + 1) if named else None
