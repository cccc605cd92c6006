"""The schema is made by migrations, and a start checks it."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from mailbot.core.errors import SchemaError, StoreUnavailable
from mailbot.store import schema
from mailbot.store.engine import Database
from mailbot.store.tables import metadata


def test_the_migrations_make_exactly_the_tables_of_tables_py(database: Database) -> None:
    with database.read() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/mailbot.db"
    assert schema.upgrade(url) == schema.upgrade(url) == schema.newest_version()


def test_an_empty_database_is_told_to_upgrade(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(SchemaError, match="mailbot db upgrade"), database.read() as conn:
        schema.check(conn)
    database.close()


def test_a_database_ahead_of_the_program_is_refused_and_left_alone(database: Database) -> None:
    with database.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="newer mailbot"), database.read() as conn:
        schema.check(conn)


def test_a_ledger_without_its_triggers_is_noticed(database: Database) -> None:
    with database.write() as conn:
        conn.execute(text("DROP TRIGGER consent_events_no_delete"))
    with pytest.raises(SchemaError, match="not protected"), database.read() as conn:
        schema.check(conn)


def test_a_directory_without_rights_and_a_damaged_file_are_explained(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        Database.open(f"sqlite:///{tmp_path}/missing/mailbot.db")
    (tmp_path / "broken.db").write_text("this is not a database, but a longer text than a header")
    with pytest.raises(StoreUnavailable, match="not a SQLite database"):
        Database.open(f"sqlite:///{tmp_path}/broken.db")


def test_an_unusable_url_is_explained() -> None:
    with pytest.raises(StoreUnavailable, match="sqlite:////path"):
        Database.open("mailbot.db")
