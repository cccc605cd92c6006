"""What commands stand on: the settings, the right person key, the database at its right version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailbot.cli.stop_marketing import who
from mailbot.config import Settings, load, load_person_key
from mailbot.core.consent import Source
from mailbot.core.person import PersonKey
from mailbot.doctor import refuse_missing_database
from mailbot.lists.hand import Hand
from mailbot.log import configure as configure_log
from mailbot.store import keys, schema
from mailbot.store.engine import Connection, Database
from mailbot.store.restoring import Keeper


@dataclass(frozen=True, slots=True)
class Opened:
    """An installation whose schema was checked."""

    settings: Settings
    database: Database


@dataclass(frozen=True, slots=True)
class OpenedForPersons(Opened):
    """One whose person key was checked as well: addresses may be turned into persons."""

    person_key: PersonKey

    @property
    def hand(self) -> Hand:
        """That of whoever types the command."""
        return Hand(
            self.database,
            self.person_key,
            self.settings.shop.policy_version,
            who(),
            Source.COMMAND_LINE,
        )


@contextmanager
def opened(config: Path) -> Iterator[Opened]:
    """For commands that name no person.

    Raises ConfigError, StoreUnavailable, SchemaError; never creates a database.
    """
    settings = load(config)
    with _database(settings) as database:
        yield Opened(settings, database)


@contextmanager
def opened_for_persons(config: Path) -> Iterator[OpenedForPersons]:
    """For commands that look somebody up or change the list. Raises WrongPersonKey as well."""
    settings = load(config)
    person_key = load_person_key(settings)
    with _database(settings) as database:
        with database.read() as conn:
            keys.check(conn, person_key)
        yield OpenedForPersons(settings, database, person_key)


@contextmanager
def writing(installation: OpenedForPersons) -> Iterator[Connection]:
    """A transaction that may write person hashes: the first one makes the key this database's."""
    with installation.database.write() as conn:
        keys.adopt(conn, installation.person_key)
        yield conn


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    refuse_missing_database(settings.store.url)
    database = Database.open(settings.store.url)
    try:
        with database.read() as conn:
            schema.check(conn)
        # What it may have to say goes to standard error: a command's output stays its own.
        configure_log("error", settings.log.format, own_addresses=settings.own_addresses)
        Keeper(database, settings.store.journal_folder).attach()
        yield database
    finally:
        database.close()
