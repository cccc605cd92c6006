"""The schema is made by migrations, and a start checks it."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from mailbot.core.consent import Kind
from mailbot.core.errors import SchemaError, StoreUnavailable
from mailbot.store import consent, ledger, schema
from mailbot.store.engine import Database
from mailbot.store.tables import metadata
from tests.databases import Databases
from tests.people import event
from tests.store.filling import drop_trigger


def make_older(url: str, version: str) -> None:
    """Bring an empty database to this version, as an older mailbot left it."""
    database = Database.open(url)
    with database.engine.connect() as plain:
        conn = plain.execution_options(mailbot_writes=True)
        command.upgrade(schema._config(conn), version)
    database.close()


def test_the_migrations_make_exactly_the_tables_of_tables_py(database: Database) -> None:
    with database.read() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_upgrading_twice_changes_nothing(empty_url: str) -> None:
    assert schema.upgrade(empty_url) == schema.newest_version()
    database = Database.open(empty_url)
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT))
    assert schema.upgrade(empty_url) == schema.newest_version()
    with database.read() as conn:
        assert ledger.head_sequence(conn) == 1
        assert ledger.verify(conn) is None
    database.close()


def test_an_empty_database_is_told_to_upgrade(empty_url: str) -> None:
    database = Database.open(empty_url)
    with pytest.raises(SchemaError, match="empty") as told, database.read() as conn:
        schema.check(conn)
    assert "mailbot db upgrade" in str(told.value)
    database.close()


def test_a_database_of_every_older_version_is_told_to_upgrade_and_can_be(
    databases: Databases,
) -> None:
    scripts = ScriptDirectory(str(schema._MIGRATIONS)).walk_revisions()
    older = [script.revision for script in scripts][1:]
    assert older
    for version in older:
        url = databases.empty()
        make_older(url, version)
        database = Database.open(url)
        with pytest.raises(SchemaError, match=f"at version {version}"), database.read() as conn:
            schema.check(conn)
        schema.upgrade(url)
        with database.read() as conn:
            schema.check(conn)
        database.close()


def test_a_database_ahead_of_the_program_is_refused_and_left_alone(database: Database) -> None:
    with database.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="newer mailbot"), database.read() as conn:
        schema.check(conn)
    with pytest.raises(SchemaError, match="newer mailbot"):
        schema.upgrade(database.engine.url.render_as_string(hide_password=False))


@pytest.mark.parametrize("trigger", sorted(schema._ON_BOTH))
def test_a_ledger_without_its_triggers_is_noticed(database: Database, trigger: str) -> None:
    with database.write() as conn:
        drop_trigger(conn, trigger)
    with pytest.raises(SchemaError, match=f"not protected: {trigger}"), database.read() as conn:
        schema.check(conn)


@pytest.mark.only_on("postgresql", "SQLite has no trigger that sleeps")
def test_a_ledger_whose_triggers_sleep_is_noticed(database: Database) -> None:
    with database.write() as conn:
        conn.execute(text("ALTER TABLE consent_events DISABLE TRIGGER consent_events_no_update"))
    with pytest.raises(SchemaError, match="not protected"), database.read() as conn:
        schema.check(conn)


@pytest.mark.only_on("sqlite", "about its file")
def test_a_directory_without_rights_and_a_damaged_file_are_explained(
    databases: Databases, tmp_path: Path
) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        Database.open(f"sqlite:///{tmp_path}/missing/mailbot.db")
    (tmp_path / "broken.db").write_text("this is not a database, but a longer text than a header")
    with pytest.raises(StoreUnavailable, match="not a SQLite database"):
        Database.open(f"sqlite:///{tmp_path}/broken.db")


@pytest.mark.only_on("postgresql", "about its server")
def test_a_missing_database_and_a_server_that_is_not_there_are_explained(empty_url: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"is not there.* mailbot db upgrade"):
        Database.open(f"{empty_url}_that_nobody_made")
    with pytest.raises(StoreUnavailable, match="nobody answers there"):
        Database.open("postgresql+psycopg://mailbot@127.0.0.1:1/mailbot")


def test_an_unusable_url_is_explained() -> None:
    with pytest.raises(StoreUnavailable, match="sqlite:////path"):
        Database.open("mailbot.db")
