"""A damaged row is claimed with the others, as far as it can be read, and says what is wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from mailbot.store import outbox
from mailbot.store.engine import Database, now
from tests.people import address, person
from tests.store.filling import claim, queue_order_status

FIELDS = {"order_number": "1001", "lines": [{"tea": "茶", "grams": 100}], "note": None}


def test_a_sound_row_is_claimed_as_it_was_queued(database: Database) -> None:
    with database.write() as conn:
        began_at = now(conn)
        outbox.enqueue_order_status(
            conn, message_type="shipped", address=address("ann@example.org"),
            person=person("ann@example.org"), fields=FIELDS, idempotency_key="o1",
            our_domain="shop.example",
        )  # fmt: skip
    [row] = claim(database)
    assert (row.fields, row.damage, row.attempts) == (FIELDS, "", 0)
    assert timedelta() <= row.created_at - began_at < timedelta(minutes=5)
    assert row.created_at.utcoffset() == timedelta()


@pytest.mark.only_on("sqlite", "PostgreSQL keeps what is no JSON and no time out of its columns")
def test_one_damaged_row_keeps_no_other_from_being_claimed(database: Database) -> None:
    for number in range(1, 4):
        queue_order_status(database, key=f"o{number}")
    with database.write() as conn:
        conn.execute(text("UPDATE outbox SET fields = '{', created_at = 'then' WHERE id = 2"))
    damage = {row.id: row.damage for row in claim(database)}
    assert damage == {1: "", 2: "row 2 of the outbox is damaged: fields, created_at", 3: ""}
