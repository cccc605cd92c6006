"""What most commands begin with: the settings, the database, and the keys that fit it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mailbot.config import Settings
    from mailbot.core.address import Address
    from mailbot.core.person import Person, PersonKey
    from mailbot.store.engine import Database

DEFAULT_CONFIG = Path("/etc/mailbot/mailbot.toml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE",
        help="The configuration [default: $MAILBOT_CONFIG or /etc/mailbot/mailbot.toml].",
    ),
]  # fmt: skip
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def config_path(given: Path | None) -> Path:
    """The configuration file that is meant."""
    return given or Path(os.environ.get("MAILBOT_CONFIG") or DEFAULT_CONFIG)


@dataclass(frozen=True, slots=True)
class Opened:
    """An installation whose schema and person key were checked."""

    settings: Settings
    database: Database
    person_key: PersonKey

    def person(self, text: str) -> tuple[Address, Person]:
        """Who is meant by an address as somebody typed it. Raises AddressError."""
        from mailbot.core.address import parse_address

        address = parse_address(text)
        return address, self.person_key.identify(address)


@contextmanager
def opened(given: Path | None) -> Iterator[Opened]:
    """Load, open, check; close at the end. Raises ConfigError, StoreError, WrongPersonKey."""
    from mailbot.config import load, load_person_key
    from mailbot.store import keys, schema
    from mailbot.store.engine import Database

    settings = load(config_path(given))
    person_key = load_person_key(settings)
    database = Database.open(settings.store.url)
    try:
        with database.read() as conn:
            schema.check(conn)
            keys.check(conn, person_key)
        yield Opened(settings, database, person_key)
    finally:
        database.close()
