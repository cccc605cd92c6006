"""A database of an older mailbot comes to the newest schema with every row, or stays as it was."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, func, select, text
from sqlalchemy import types as sql

from mailbot.core.consent import GENESIS, ChainedEvent, Reason, evidence_digest, link_hash
from mailbot.core.errors import MailbotError, SchemaError
from mailbot.core.list_sum import ListSum
from mailbot.store import backups, campaigns, expansion, ledger, list_proof, schema, suppressions
from mailbot.store.engine import Database
from tests.databases import Databases
from tests.people import NOON, person
from tests.store.test_schema import make_older

VERSIONS = Path(schema.__file__).parent / "migrations" / "versions"
OLDER = [script.revision for script in ScriptDirectory(str(VERSIONS.parent)).walk_revisions()][1:]
PEOPLE = [f"{name}@example.org" for name in ("ann", "bob+teas", "cleo")]
SALT = b"sixteen bytes of"
EVIDENCE = {"Subject": "unsubscribe"}
SINGLE = {
    "ledger_head",
    "person_key",
    "told_head",
}  # one row each; the first is there from the beginning
SEEDED = {"consent_events", "consent_evidence", "ledger_head", "suppressions", "told_head"}

# What a column's constraint asks for; the others are filled by their type.
FITTING: dict[str, list[object]] = {
    "campaigns.state": ["loading", "sending", "paused"],
    "reviews.state": ["open", "accepted", "expired"],
    "outbox.state": ["queued", "sent", "uncertain"],
    "outbox.kind": ["campaign", "order_status", "acknowledgement"],
    "outbox.campaign_id": [1, None, None],
    "suppressions.reason": ["opt_out", "opt_out", "opt_out"],
    "delivery_attempts.outbox_id": [1, 2, 3],
    "audience_members.campaign_id": [1, 2, 3],
}


def value(table: Table, column: Any, number: int) -> object:
    fitting = FITTING.get(f"{table.name}.{column.name}")
    if fitting is not None:
        return fitting[number]
    if column.name == "person_hash":
        return person(PEOPLE[number]).person_hash
    if column.name == "untagged_hash":
        return person(PEOPLE[number]).untagged_hash
    kind = column.type
    if isinstance(kind, sql.JSON):
        return {"name": PEOPLE[number]}
    if isinstance(kind, sql.DateTime):
        at = NOON + timedelta(hours=number)
        return at if kind.timezone and table.info.get("postgresql") else at.replace(tzinfo=None)
    if isinstance(kind, sql.Boolean):
        return number == 1
    if isinstance(kind, sql.Integer):
        return 1 if table.name in SINGLE else number + 1
    return f"{column.name}-{number}"[: getattr(kind, "length", None) or 40]


class Filled:
    """An older database with three rows in each table, its ledger chained as mailbot chains it."""

    def __init__(self, conn: Connection) -> None:
        metadata = MetaData()
        metadata.reflect(conn)
        self.tables = [one for one in metadata.sorted_tables if one.name != "alembic_version"]
        self.named = {table.name: table for table in self.tables}
        self._chain(conn)
        for table in self.tables:
            table.info["postgresql"] = conn.dialect.name == "postgresql"
            if table.name in SEEDED:
                continue
            for number in range(1 if table.name in SINGLE else 3):
                row = {one.name: value(table, one, number) for one in table.columns}
                conn.execute(table.insert().values(row))
        self.rows = {table.name: self.all_of(conn, table) for table in self.tables}

    def _chain(self, conn: Connection) -> None:
        last = GENESIS
        for number, who in enumerate(PEOPLE, start=1):
            at = NOON + timedelta(hours=number)
            event = ChainedEvent(
                "opt_out", "mail", person(who).person_hash, person(who).untagged_hash,
                f"imap:{number}", at, at, "word-in-subject", "1",
                evidence_digest(SALT, who, EVIDENCE),
            )  # fmt: skip
            link = link_hash(last, number, event)
            stored = at if conn.dialect.name == "postgresql" else at.replace(tzinfo=None)
            columns = {
                name: getattr(event, name)
                for name in ChainedEvent.__slots__
                if not name.startswith("batch_") and name in self.named["consent_events"].c
            } | {"received_at": stored, "recorded_at": stored}  # fmt: skip
            conn.execute(self.named["consent_events"].insert().values(
                sequence=number, previous_hash=last, hash=link, **columns
            ))  # fmt: skip
            conn.execute(self.named["consent_evidence"].insert().values(
                sequence=number, salt=SALT, address=who, evidence=EVIDENCE
            ))  # fmt: skip
            listed = self.named["suppressions"]
            of_event: dict[str, object] = {"sequence": number, "address": who}
            if "event_key" in listed.c:  # before 0003
                of_event = {"event_key": event.key}
            conn.execute(listed.insert().values(
                person_hash=event.person_hash, untagged_hash=event.untagged_hash,
                reason="opt_out", since_at=stored, **of_event,
            ))  # fmt: skip
            last = link
        conn.execute(self.named["ledger_head"].update().values(sequence=len(PEOPLE), hash=last))
        if "list_sum" in self.named["ledger_head"].c:  # from 0005 on
            entries = conn.execute(text(
                "SELECT person_hash, reason, untagged_hash, sequence FROM suppressions"
            ))  # fmt: skip
            listed_now = ListSum().changed(gone=(), come=(tuple(row) for row in entries))
            conn.execute(self.named["ledger_head"].update().values(list_sum=listed_now.text))

    def all_of(self, conn: Connection, table: Table) -> list[dict[str, Any]]:
        keys = [column.name for column in table.primary_key]
        ordered = select(table).order_by(*(table.c[key] for key in keys))
        return [dict(row) for row in conn.execute(ordered).mappings()]


def filled(url: str, version: str) -> Filled:
    make_older(url, version)
    database = Database.open(url)
    with database.write() as conn:
        made = Filled(conn)
    database.close()
    return made


@pytest.mark.parametrize("version", OLDER)
def test_every_row_of_an_older_database_is_there_after_the_upgrade(
    databases: Databases, version: str
) -> None:
    url = databases.empty()
    before = filled(url, version)
    assert all(before.rows.values()), "no table is empty"
    schema.upgrade(url)
    database = Database.open(url)
    with database.read() as conn:
        schema.check(conn)  # the triggers too
        now = MetaData()
        now.reflect(conn)
        for name, rows in before.rows.items():
            table = now.tables[name]
            after = before.all_of(conn, table)
            kept = [column for column in rows[0] if column in table.c]
            assert [{one: row[one] for one in kept} for row in after] == [
                {one: row[one] for one in kept} for row in rows
            ], name
        assert ledger.verify(conn) is None
        # The other tables hold what no event recorded.
        assert list_proof.changed_list(conn, ledger.walk(conn)) is None
        for number, who in enumerate(PEOPLE, start=1):
            (entry,) = suppressions.of_person(conn, person(who))
            assert (entry.address, entry.reason) == (who, Reason.OPT_OUT)
            assert entry.since_at == NOON + timedelta(hours=number)
    database.close()


@pytest.mark.parametrize("version", OLDER)
def test_a_migration_that_fails_half_way_leaves_the_old_version_whole(
    databases: Databases, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last migration fails after its last statement: everything it did is taken back."""
    url = databases.empty()
    before = filled(url, version)
    newest = ScriptDirectory(str(VERSIONS.parent)).get_revision("head")
    assert newest is not None
    reached = newest.down_revision

    database = Database.open(url)
    with database.write() as conn:
        _refuse_version(conn)
    database.close()
    with pytest.raises(MailbotError):
        schema.upgrade(url)
    database = Database.open(url)
    with database.write() as conn:
        _allow_version(conn)
    with database.read() as conn:
        assert schema.version(conn) == reached
        now = MetaData()
        now.reflect(conn)
        assert "api_keys" not in now.tables, "which the newest adds"
        for name, rows in before.rows.items():
            counted = conn.execute(select(func.count()).select_from(now.tables[name])).scalar_one()
            assert counted == len(rows), name
    database.close()
    schema.upgrade(url)


def test_a_campaign_that_an_older_mailbot_left_half_way_goes_on_and_queues_nobody_twice(
    databases: Databases,
) -> None:
    """It was expanded by the lines of its file, and is now by the persons' hashes."""
    url = databases.empty()
    make_older(url, "0003")
    database = Database.open(url)
    with database.write() as conn:
        for number, (name, through) in enumerate((("half", 3), ("whole", 6)), start=1):
            conn.execute(text(
                "INSERT INTO campaigns (id, name, state, subject, text_source, created_at,"
                f" expanded_through) VALUES ({number}, '{name}', 'sending', 's', 't',"
                f" '2026-01-01 00:00:00', {through})"
            ))  # fmt: skip
            for line in range(2, 7):
                who = person(f"{name}{line}@example.org").person_hash
                conn.execute(text(
                    "INSERT INTO audience_members VALUES"
                    f" ({number}, {line}, 'a', '{who}', '{who}', '{{}}')"
                ))  # fmt: skip
                if line <= through:
                    conn.execute(text(
                        "INSERT INTO outbox (kind, campaign_id, address, person_hash,"
                        " untagged_hash, fields, priority, state, not_before, created_at,"
                        f" message_id) VALUES ('campaign', {number}, 'a', '{who}', '{who}', '{{}}',"
                        f" 2, 'sent', '2026-01-01 00:00:00', '2026-01-01 00:00:00', '{who}')"
                    ))  # fmt: skip
    database.close()
    schema.upgrade(url)
    database = Database.open(url)
    with database.write() as conn:
        assert expansion.unexpanded(conn) == [1]
        part = expansion.expand(conn, 1, our_domain="shop.example", limit=10)
        assert (part.added, part.expanded, part.audience) == (3, 5, 5)
        assert campaigns.get(conn, "whole").expanded_count == 5
        assert expansion.unexpanded(conn) == []
    database.close()


def _refuse_version(conn: Connection) -> None:
    """The database refuses the newest version's number: the last thing that a migration writes."""
    newest = schema.newest_version()
    if conn.dialect.name == "sqlite":
        conn.execute(text(
            "CREATE TRIGGER fails BEFORE UPDATE ON alembic_version WHEN "
            f"NEW.version_num = '{newest}' BEGIN SELECT RAISE(ABORT, 'no'); END"
        ))  # fmt: skip
    else:
        conn.execute(text(
            f"ALTER TABLE alembic_version ADD CONSTRAINT fails CHECK (version_num <> '{newest}')"
        ))  # fmt: skip


def _allow_version(conn: Connection) -> None:
    if conn.dialect.name == "sqlite":
        conn.execute(text("DROP TRIGGER fails"))
    else:
        conn.execute(text("ALTER TABLE alembic_version DROP CONSTRAINT fails"))


def test_two_who_upgrade_at_once_do_no_harm(databases: Databases) -> None:
    url = databases.empty()
    filled(url, OLDER[-1])
    program = f"from mailbot.store import schema; print(schema.upgrade({url!r}))"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [one.communicate(timeout=50) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    database = Database.open(url)
    with database.read() as conn:
        schema.check(conn)
        assert ledger.verify(conn) is None
    database.close()


@pytest.mark.only_on("sqlite", "about the bytes of its file")
def test_a_database_from_the_future_keeps_every_byte(databases: Databases) -> None:
    url = databases.migrated()
    database = Database.open(url)
    with database.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    file = backups.sqlite_file(url)
    assert file is not None
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(SchemaError, match="newer mailbot"):
        schema.upgrade(url)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before


@pytest.mark.only_on("sqlite", "about the files of the migrations")
def test_no_migration_makes_the_ledger_anew(databases: Databases) -> None:
    """Batch mode copies a table and drops the old one, and its triggers with it."""
    scripts = sorted(VERSIONS.glob("0*.py"))
    assert len(scripts) == len(OLDER) + 1
    for script in scripts:
        code = script.read_text(encoding="utf-8")
        assert "batch_alter_table" not in code, script.name
        assert not re.search(r"drop_table\(\s*.(consent_events|consent_evidence)", code), (
            script.name
        )
        assert not re.search(r"(?i)(DROP|RENAME)\s+TABLE\s+consent_ev", code), script.name
