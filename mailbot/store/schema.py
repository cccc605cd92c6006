"""The schema's version: brought up to date by `mailbot db upgrade`, checked at every start."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from mailbot.core.errors import SchemaError, StoreError, StoreUnavailable
from mailbot.store.engine import Database, explained, make_private

_UPGRADE_LOCK = 7_368_242_611  # any number that nobody else takes in this database
_MIGRATIONS = Path(__file__).parent / "migrations"
_ON_BOTH = {"consent_events_no_update", "consent_events_no_delete", "consent_evidence_no_update"}
LEDGER_TRIGGERS = {
    "sqlite": _ON_BOTH | {"consent_events_no_replace"},
    "postgresql": _ON_BOTH | {"consent_events_no_truncate"},
}


def upgrade(url: str) -> str:
    """Create or upgrade the schema; returns the version reached. Destroys nothing.

    Raises SchemaError where the database is ahead of this program, StoreUnavailable where it
    cannot be opened.
    """
    make_private(url)
    database = Database.open(url)
    try:
        with database.read() as conn:
            refuse_ahead(conn, database.where)
        while (before := _version_now(database)) != newest_version():
            try:
                _migrate(database)
            except StoreError:
                if _version_now(database) == before:
                    raise
                # Somebody else upgrades as well, and was faster: look where it stands.
        with database.read() as conn:
            check(conn)
    finally:
        database.close()
    return newest_version()


def _migrate(database: Database) -> None:
    with explained(database.where), database.engine.connect() as plain:
        conn = plain.execution_options(mailbot_writes=True)
        if not database.is_sqlite:  # where two would make one table; SQLite has one writer
            conn.execute(text(f"SELECT pg_advisory_lock({_UPGRADE_LOCK})"))
            conn.commit()  # the lock stays until the connection is closed
        try:
            command.upgrade(_config(conn), "head")
        except BaseException:
            conn.invalidate()
            raise


def _version_now(database: Database) -> str | None:
    with database.read() as conn:
        return version(conn)


def check(conn: Connection) -> None:
    """Raise SchemaError unless the schema is this program's and the ledger has its triggers."""
    where = conn.engine.url.render_as_string(hide_password=True)
    refuse_ahead(conn, where)
    found = version(conn)
    if found != newest_version():
        was = f"at version {found}" if found else "empty"
        raise SchemaError(
            f"the database is {was}, this program needs version {newest_version()}",
            where=where,
            next_step="Run: mailbot db upgrade",
        )
    missing = LEDGER_TRIGGERS[conn.dialect.name] - _triggers(conn)
    if missing:
        raise SchemaError(
            f"the ledger is not protected: {', '.join(sorted(missing))} is missing",
            where=where,
            next_step="Somebody dropped it. Restore the database from a backup.",
        )


def newest_version() -> str:
    """The version of the newest migration."""
    head = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    if head is None:
        raise StoreUnavailable("mailbot was installed without its migrations")
    return head


def version(conn: Connection) -> str | None:
    """The schema's version as the database says; None where it says none."""
    return MigrationContext.configure(conn).get_current_revision()


def refuse_ahead(conn: Connection, where: str) -> None:
    """Raise SchemaError where a newer mailbot upgraded it, or tables stand there without one."""
    found = version(conn)
    known = {script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaError(
            f"the database is at version {found}, which this program does not know",
            where=where,
            next_step="It was upgraded by a newer mailbot: install that one.",
        )
    if found is None and inspect(conn).has_table("consent_events"):
        raise SchemaError(
            "the database holds mailbot's tables, but no version",
            where=where,
            next_step="Restore it from a backup; mailbot touches nothing.",
        )


def _triggers(conn: Connection) -> frozenset[str]:
    if conn.dialect.name == "postgresql":
        listed = text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'")
    else:
        listed = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    return frozenset(conn.execute(listed).scalars())


def _config(conn: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = conn
    return config
