"""What SQLite and PostgreSQL say differently: times, the clock, inserting unless there, locking."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Float,
    Integer,
    Table,
    Text,
    TextClause,
    and_,
    any_,
    bindparam,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

# SQLite makes a key out of INTEGER only; PostgreSQL wants 64 bits.
BigKey = BigInteger().with_variant(Integer(), "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes in Python; timestamptz on PostgreSQL, UTC text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without zone was to be stored: {value!r}")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class DatabaseTime(FunctionElement[datetime]):
    """The database's clock, `seconds` from now. Leases and order go by it, not by a host's.

    On PostgreSQL it is the moment of the statement's execution, not of the transaction's start.
    """

    inherit_cache = True
    type = UtcDateTime()

    def __init__(self, seconds: float | BindParameter[float] = 0) -> None:
        given = isinstance(seconds, BindParameter)
        super().__init__(seconds if given else literal(float(seconds), Float()))


@compiles(DatabaseTime, "sqlite")
def _sqlite_time(element: DatabaseTime, compiler: SQLCompiler, **kw: Any) -> str:
    # strftime has milliseconds; the zeros make it the text that DateTime stores and sorts.
    seconds = compiler.process(element.clauses, **kw)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', ({seconds}) || ' seconds') || '000')"


@compiles(DatabaseTime, "postgresql")
def _postgresql_time(element: DatabaseTime, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"(clock_timestamp() + make_interval(secs => ({seconds})))"


class _Ids(TypeDecorator[Collection[Any]]):
    """Many ids as one value: JSON on SQLite, an array on PostgreSQL."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        is_sqlite = dialect.name == "sqlite"
        return dialect.type_descriptor(Text() if is_sqlite else postgresql.ARRAY(BigInteger))

    def process_bind_param(self, value: Collection[Any] | None, dialect: Dialect) -> Any:
        ids = list(value or ())
        return json.dumps(ids) if dialect.name == "sqlite" else ids


class _Texts(_Ids):
    """Many texts as one value."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        is_sqlite = dialect.name == "sqlite"
        return dialect.type_descriptor(Text() if is_sqlite else postgresql.ARRAY(Text))


class OneOf(FunctionElement[bool]):
    """The condition that `column` is one of the ids (or `texts`) bound under `name`.

    Its text is the same for any number of ids, so that a statement is made and prepared once.
    """

    inherit_cache = True
    type = Boolean()

    def __init__(self, column: ColumnElement[Any], name: str, *, texts: bool = False) -> None:
        super().__init__(column, bindparam(name, type_=_Texts() if texts else _Ids()))

    def self_group(self, against: object = None) -> OneOf:  # noqa: ARG002  # SQLAlchemy's hook
        """Itself: SQLite would scan the whole table for SQLAlchemy's “… = 1”."""
        return self


@compiles(OneOf, "sqlite")
def _sqlite_one_of(element: OneOf, compiler: SQLCompiler, **kw: Any) -> str:
    column, ids = (compiler.process(part, **kw) for part in element.clauses)
    return f"({column} IN (SELECT value FROM json_each({ids})))"  # noqa: S608  # both are compiled


@compiles(OneOf, "postgresql")
def _postgresql_one_of(element: OneOf, compiler: SQLCompiler, **kw: Any) -> str:
    column, ids = (compiler.process(part, **kw) for part in element.clauses)
    return f"({column} = ANY({ids}))"


def insert_unless_there(
    conn: Connection, table: Table, rows: Mapping[str, object] | Sequence[Mapping[str, object]]
) -> int:
    """INSERT … ON CONFLICT DO NOTHING; returns how many rows were new."""
    many = [rows] if isinstance(rows, Mapping) else list(rows)
    if not many:
        return 0
    dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
    # Without `preserve_rowcount` psycopg's INSERT counts -1: every row would pass for an old one.
    statement = (
        dialect.insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    )
    if len(many) == 1:
        return conn.execute(statement.values(many[0])).rowcount
    # One multi-row statement: executemany leaves rowcount undefined.
    size = 30_000 // len(table.columns)  # SQLite takes 32,766 parameters a statement
    return sum(
        conn.execute(statement.values(many[start : start + size])).rowcount
        for start in range(0, len(many), size)
    )


def locked_in_order(
    conn: Connection, table: Table, *conditions: ColumnElement[bool] | TextClause
) -> ColumnElement[bool]:
    """The condition that a row is one of these, for an UPDATE of several.

    PostgreSQL locks each row as its UPDATE comes upon it, in whatever order: of two that meet on
    the same rows each would wait for the other. So they are locked before, in the order of ids.
    """
    if conn.dialect.name != "postgresql":
        return and_(*conditions)  # one writer at a time
    chosen = select(table.c.id).where(*conditions).order_by(table.c.id).with_for_update()
    ids = list(conn.execute(chosen).scalars())
    return table.c.id == any_(literal(ids, postgresql.ARRAY(BigInteger)))
