"""Databases for one test each, on SQLite or on PostgreSQL: migrated once, then copied."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Protocol

from mailbot.store import schema
from tests.servers.postgresql import PostgreSQL

ENGINES = ("sqlite", "postgresql")
_TEMPLATE = "migrated"
_numbers = itertools.count(1)


class Databases(Protocol):
    """As many databases as a test wants, of one engine, each by the URL of `store.url`."""

    def empty(self) -> str:
        """A database with nothing in it."""

    def migrated(self) -> str:
        """A database with the newest schema, and nothing else in it."""


class SqliteFiles:
    """Files in `folder`; `template` is a migrated one."""

    def __init__(self, folder: Path, template: Path) -> None:
        self._folder, self._template = folder, template

    def empty(self) -> str:
        return f"sqlite:///{self._new_path()}"

    def migrated(self) -> str:
        path = self._new_path()
        shutil.copyfile(self._template, path)
        return f"sqlite:///{path}"

    def _new_path(self) -> Path:
        # The first by the name of the manual, for tests that look for the file.
        first = self._folder / "mailbot.db"
        return self._folder / f"mailbot-{next(_numbers)}.db" if first.exists() else first


class PostgresqlDatabases:
    """Databases of one server that prepare() was called for; all dropped by `drop`."""

    def __init__(self, server: PostgreSQL) -> None:
        self._server = server
        self._made: list[str] = []

    def empty(self) -> str:
        return self._server.create(self._new_name())

    def migrated(self) -> str:
        return self._server.create(self._new_name(), template=_TEMPLATE)

    def drop(self) -> None:
        for name in self._made:
            self._server.drop(name)
        self._made.clear()

    def _new_name(self) -> str:
        name = f"test_{next(_numbers)}"
        self._made.append(name)
        return name


def prepare(server: PostgreSQL) -> None:
    """Make the database that PostgresqlDatabases copies, by the real migrations."""
    schema.upgrade(server.create(_TEMPLATE))
