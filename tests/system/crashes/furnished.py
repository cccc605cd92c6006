"""An installation with a campaign and orders in its outbox, made once and copied for each crash.

Triggers write down each move of an outbox row, in the transaction that makes it: so a test knows
what was walked, and a failpoint finds the COMMIT of an edge without knowing who walks it.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from mailbot.core.consent import Kind
from mailbot.outbound import campaigns
from mailbot.store import consent
from mailbot.store.engine import Database
from mailbot.store.tables import outbox
from tests.house import House, installed
from tests.people import event
from tests.servers.postgresql import PostgreSQL
from tests.test_story import hand_over, queue_campaign

AUDIENCE = [f"c{number}@example.org" for number in range(6)]
LEFT_BEFORE = "left-before@example.org"  # opted out before the campaign was made
LEFT_QUEUED = "left-queued@example.org"  # opted out since; the daemon died before it withheld
ORDERED = "ordered@example.org"
IMAP_PORT, RELAY_PORT = 1, 2  # of the template; each copy has its own
_numbers = itertools.count(1)

_SQLITE = """
CREATE TABLE walked (id INTEGER PRIMARY KEY AUTOINCREMENT, outbox_id INTEGER NOT NULL,
    old_state TEXT NOT NULL, new_state TEXT NOT NULL);
CREATE TRIGGER outbox_walks AFTER UPDATE OF state ON outbox WHEN OLD.state <> NEW.state BEGIN
    INSERT INTO walked (outbox_id, old_state, new_state) VALUES (NEW.id, OLD.state, NEW.state); END
"""
_POSTGRESQL = """
CREATE TABLE walked (id BIGSERIAL PRIMARY KEY, outbox_id BIGINT NOT NULL,
    old_state TEXT NOT NULL, new_state TEXT NOT NULL);
CREATE FUNCTION outbox_walks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO walked (outbox_id, old_state, new_state) VALUES (NEW.id, OLD.state, NEW.state);
    RETURN NULL; END $$;
CREATE TRIGGER outbox_walks AFTER UPDATE OF state ON outbox FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION outbox_walks()
"""


@dataclass
class Template:
    """A furnished installation of one engine; `server` is None for SQLite."""

    folder: Path
    server: PostgreSQL | None
    name: str = "crash_template"

    def copy(self, folder: Path, *, imap_port: int, relay_port: int, lines: int) -> str:
        """Copy all of it into `folder`, which must not exist; returns the database's name."""
        shutil.copytree(self.folder, folder)
        config = folder / "mailbot.toml"
        text = config.read_text(encoding="utf-8")
        name = ""
        if self.server is not None:
            name = f"crash_{next(_numbers)}"
            text = text.replace(self.server.url(self.name), self.server.create(name, self.name))
        for old, new in (
            (f"port = {IMAP_PORT}\n", f"port = {imap_port}\n"),
            (f"port = {RELAY_PORT}\n", f"port = {relay_port}\n"),
            ("connections = 3\n", f"connections = {lines}\n"),
        ):
            assert text.count(old) == 1, f"tests.house writes no {old!r} any more"
            text = text.replace(old, new)
        config.write_text(text, encoding="utf-8")
        return name


def furnish(folder: Path, migrated_file: Path, server: PostgreSQL | None) -> Template:
    """Make the template in `folder`, by mailbot's own commands and its own tick."""
    template = Template(folder, server)
    url = "sqlite:///mailbot.db"
    if server is None:
        shutil.copyfile(migrated_file, folder / "mailbot.db")
    else:
        url = server.create(template.name, "migrated")
    with installed(
        folder, imap_port=IMAP_PORT, relay_port=RELAY_PORT, username="help", password="s3cret",
        lease_seconds=4, url=url,
    ) as house:  # fmt: skip
        _fill(house)
    return template


def _fill(house: House) -> None:
    gone = house.run("suppress", "add", LEFT_BEFORE, "--note", "by phone")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    people = [*AUDIENCE, LEFT_BEFORE, LEFT_QUEUED]
    queue_campaign(house, "spring", *people)
    asyncio.run(campaigns.tick(house.database, "shop.example"))
    hand_over(house, ORDERED, "order-1001")
    hand_over(house, LEFT_BEFORE, "order-1002")
    opt_out(house.database, LEFT_QUEUED)
    with house.database.write() as conn:
        if house.database.is_sqlite:
            table, trigger = _SQLITE.strip().split(";", 1)
            for statement in (table, trigger):
                conn.exec_driver_sql(statement)
        else:
            conn.exec_driver_sql(_POSTGRESQL)
        addresses = set(conn.execute(select(outbox.c.address)).scalars())
    assert {*AUDIENCE, LEFT_QUEUED, ORDERED, LEFT_BEFORE} <= addresses


def opt_out(database: Database, who: str) -> None:
    """The opt-out's own transaction, and nothing after it: only the look knows of it."""
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, who))
