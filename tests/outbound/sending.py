"""What the tests of sending ask the database, and what they do to it meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select

from mailbot.core.consent import Kind
from mailbot.core.outbox_states import State
from mailbot.store import consent, outbox
from mailbot.store.engine import Database
from mailbot.store.tables import delivery_attempts
from mailbot.store.tables import outbox as rows
from tests.people import address, event, person

ANN = "ann@example.org"


def states(database: Database) -> dict[str, State]:
    with database.read() as conn:
        listed = conn.execute(select(rows.c.address, rows.c.kind, rows.c.state).order_by(rows.c.id))
        return {f"{row.kind}:{row.address}": State(row.state) for row in listed}


def states_of_all(database: Database) -> list[State]:
    with database.read() as conn:
        return [State(state) for state in conn.execute(select(rows.c.state)).scalars()]


def attempts(database: Database) -> int:
    with database.read() as conn:
        return len(conn.execute(select(delivery_attempts)).all())


def is_over(database: Database) -> Callable[[], bool]:
    busy = {State.QUEUED, State.CLAIMED, State.SENDING}
    return lambda: not busy & set(states(database).values())


def order_status(database: Database, who: str = ANN, key: str = "o1") -> None:
    with database.write() as conn:
        outbox.enqueue_order_status(
            conn, message_type="shipped", address=address(who), person=person(who),
            fields={"order_number": "1001"}, idempotency_key=key, our_domain="shop.example",
        )  # fmt: skip


def opt_out(database: Database, who: str = ANN) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, who))
