"""A forger with every right to the database: no trigger, no foreign key stops them.

Each tampering is made and proved in one transaction, and taken back.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, insert, select, text, update
from sqlalchemy import types as sql

from mailbot.core.consent import ChainedEvent, Kind, link_hash
from mailbot.store import consent, list_proof, proof
from mailbot.store.engine import Database
from mailbot.store.ledger import Head
from mailbot.store.schema import LEDGER_TRIGGERS
from mailbot.store.tables import (
    consent_events,
    consent_evidence,
    imports,
    ledger_head,
    policy_versions,
    suppressions,
)
from tests.people import event
from tests.store.filling import drop_trigger

REASONS = ("opt_out", "held", "complaint", "undeliverable", "imported", "erased")


@dataclass
class Forger:
    """`witness` is the head that stands in the journal, out of the forger's reach."""

    database: Database
    chance: random.Random
    witness: Head

    def attempt(self, tampering: Tampering) -> str | None:
        """What was done and not found; None where it was found, or there was nothing to do."""
        with self.database.engine.connect() as conn:
            is_sqlite = conn.dialect.name == "sqlite"
            driver: Any = conn.connection.driver_connection
            if is_sqlite:
                driver.execute("PRAGMA foreign_keys = OFF")
            try:
                return self._attempt(conn, tampering)
            finally:
                conn.rollback()
                if is_sqlite:
                    driver.execute("PRAGMA foreign_keys = ON")

    def _attempt(self, conn: Connection, tampering: Tampering) -> str | None:
        for name in LEDGER_TRIGGERS[conn.dialect.name]:
            drop_trigger(conn, name)
        if conn.dialect.name == "postgresql":
            for table in (consent_evidence, suppressions, policy_versions):
                name = f"fk_{table.name}_sequence"
                conn.execute(text(f"ALTER TABLE {table.name} DROP CONSTRAINT {name}"))
        done = tampering(conn, self.chance)
        if done is None:
            return None
        fault = proof.prove(conn, [self.witness]).fault
        return None if fault is not None and fault.what else done


Tampering = Callable[[Connection, random.Random], str | None]


def some(conn: Connection, chance: random.Random, table: Table) -> Row[Any] | None:
    rows = conn.execute(select(table).order_by(*table.primary_key)).all()
    return chance.choice(rows) if rows else None


def is_row(table: Table, row: Row[Any]) -> Any:
    """The condition that names `row`."""
    [*keys] = table.primary_key
    condition = keys[0] == getattr(row, keys[0].name)
    for key in keys[1:]:
        condition &= key == getattr(row, key.name)
    return condition


def other_value(column: Any, value: Any, chance: random.Random) -> Any:
    """Another value that the column takes."""
    if column.name == "reason":
        return chance.choice([reason for reason in REASONS if reason != value])
    if isinstance(value, datetime):
        return value + timedelta(minutes=chance.choice([-1, 1]))
    if isinstance(value, int):
        return value + (1000 if column.primary_key else chance.choice([-1, 1]))
    if isinstance(value, bytes):
        return bytes(16)
    if isinstance(value, dict):
        return {**value, "Subject": "please write to me"}
    if value is None:
        return 7 if isinstance(column.type, sql.Integer) else "2" * 32
    flipped = "0" if value[-1:] != "0" else "1"
    return value[:-1] + flipped if value else "a" * 32


def alter(table: Table, *names: str) -> Tampering:
    """One of these columns, in any row."""

    def tamper(conn: Connection, chance: random.Random) -> str | None:
        row = some(conn, chance, table)
        if row is None:
            return None
        name = chance.choice(names)
        value = other_value(table.c[name], getattr(row, name), chance)
        key = (*table.primary_key,)[0]
        if name == "reason" or table.c[name].primary_key or table.c[name].unique:
            taken = select(table).where(*(
                table.c[one.name] == (value if one.name == name else getattr(row, one.name))
                for one in (table.primary_key if table.c[name].primary_key else [table.c[name]])
            ))  # fmt: skip
            if conn.execute(taken).first() is not None:
                return None
        conn.execute(update(table).where(is_row(table, row)).values({name: value}))
        return f"{table.name}.{name} of {getattr(row, key.name)} set to {value!r}"

    return tamper


def remove(table: Table) -> Tampering:
    def tamper(conn: Connection, chance: random.Random) -> str | None:
        row = some(conn, chance, table)
        if row is None:
            return None
        conn.execute(delete(table).where(is_row(table, row)))
        return f"{table.name} without {row}"

    return tamper


def delete_event_and_all_of_it(conn: Connection, chance: random.Random) -> str | None:
    row = some(conn, chance, consent_events)
    if row is None:
        return None
    for table in (suppressions, consent_evidence, consent_events):
        conn.execute(delete(table).where(table.c.sequence == row.sequence))
    return f"without event {row.sequence} and all of it"


def swap_events(conn: Connection, chance: random.Random) -> str | None:
    numbers = list(conn.execute(select(consent_events.c.sequence)).scalars())
    if len(numbers) < 2:
        return None
    one, other = chance.sample(numbers, 2)
    for table in (consent_events, consent_evidence):
        for now, then in ((one, -1), (other, one), (-1, other)):
            conn.execute(update(table).where(table.c.sequence == now).values(sequence=then))
    return f"events {one} and {other} in each other's place"


def write_anew(conn: Connection, chance: random.Random) -> str | None:
    """An event is changed, and every hash behind it calculated anew; the head too."""
    rows = conn.execute(select(consent_events).order_by(consent_events.c.sequence)).all()
    if not rows:
        return None
    changed = chance.choice(rows).sequence
    previous = ""
    for row in rows:
        previous = previous or row.previous_hash
        columns = {name: getattr(row, name) for name in ChainedEvent.__slots__}
        if row.sequence == changed:
            columns["rule"] = "forged"
        link = link_hash(previous, row.sequence, ChainedEvent(**columns))
        conn.execute(
            update(consent_events).where(consent_events.c.sequence == row.sequence)
            .values(previous_hash=previous, hash=link, rule=columns["rule"])
        )  # fmt: skip
        previous = link
    conn.execute(update(ledger_head).values(hash=previous))
    return f"event {changed} and all behind it written anew"


def set_head_back(conn: Connection, chance: random.Random) -> str | None:
    """The ledger's head names an earlier event; the events behind it still stand."""
    rows = conn.execute(select(consent_events).order_by(consent_events.c.sequence)).all()
    if len(rows) < 2:
        return None
    row = chance.choice(rows[:-1])
    conn.execute(update(ledger_head).values(sequence=row.sequence, hash=row.hash))
    return f"head set back to {row.sequence}"


def cut_off(conn: Connection, chance: random.Random) -> str | None:
    """As set_head_back, and what is behind it is gone, as if it had never been."""
    done = set_head_back(conn, chance)
    if done is None:
        return None
    last = conn.execute(select(ledger_head.c.sequence)).scalar_one()
    for table in (suppressions, policy_versions, consent_evidence, consent_events):
        conn.execute(delete(table).where(table.c.sequence > last))
    _sum_anew(conn)
    return f"cut off behind {last}"


def _sum_anew(conn: Connection) -> None:
    conn.execute(update(ledger_head).values(list_sum=list_proof.sum_of_list(conn).text))


def put_in_an_entry(conn: Connection, chance: random.Random) -> str | None:
    there = some(conn, chance, suppressions)
    if there is None:
        return None
    values = {**there._mapping, "person_hash": "f" * 32, "untagged_hash": "f" * 32}
    conn.execute(insert(suppressions).values(values))
    return f"a second {there}"


def delete_an_entry_and_sum_anew(conn: Connection, chance: random.Random) -> str | None:
    done = remove(suppressions)(conn, chance)
    if done is not None:
        _sum_anew(conn)
    return done and f"{done}, summed anew"


def delete_an_entry_before_the_next_event(conn: Connection, chance: random.Random) -> str | None:
    """The sum is made to fit, and mailbot goes on from it."""
    done = delete_an_entry_and_sum_anew(conn, chance)
    if done is not None:
        for number in range(2):
            consent.record(conn, event(Kind.OPT_OUT, "late@example.org", key=f"late:{number}"))
    return done and f"{done}, and events came"


def exchange_persons(conn: Connection, chance: random.Random) -> str | None:
    """Of two entries for one reason: each points to the event of the other."""
    rows = conn.execute(select(suppressions).order_by(suppressions.c.person_hash)).all()
    pairs = [
        (one, other) for one in rows for other in rows
        if one.reason == other.reason and one.sequence < other.sequence
    ]  # fmt: skip
    if not pairs:
        return None
    one, other = chance.choice(pairs)
    for mine, its in ((one, other), (other, one)):
        conn.execute(
            update(suppressions).where(is_row(suppressions, mine))
            .values(sequence=its.sequence, since_at=its.since_at)
        )  # fmt: skip
    return f"{one} and {other} exchanged"


_EVENT_COLUMNS = tuple(column.name for column in consent_events.c)
_LIST_COLUMNS = ("person_hash", "reason", "untagged_hash", "since_at", "sequence")
TAMPERINGS: tuple[Tampering, ...] = (
    *(alter(consent_events, name) for name in _EVENT_COLUMNS),
    *(alter(consent_evidence, name) for name in ("salt", "address", "evidence", "sequence")),
    *(alter(suppressions, name) for name in _LIST_COLUMNS),
    *(alter(ledger_head, name) for name in ("sequence", "hash", "list_sum")),
    *(alter(policy_versions, name)
      for name in ("version", "in_force_at", "text_digest", "url", "sequence")),
    *(alter(imports, name) for name in ("id", "key", "file_name", "started_by", "persons")),
    *(remove(table) for table in (
        consent_events, consent_evidence, suppressions, suppressions, policy_versions, imports,
    )),
    delete_event_and_all_of_it, swap_events, write_anew, set_head_back, cut_off, put_in_an_entry,
    delete_an_entry_and_sum_anew, delete_an_entry_before_the_next_event, exchange_persons,
)  # fmt: skip
