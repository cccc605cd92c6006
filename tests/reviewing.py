"""Reviews for the tests: somebody held for a doubtful mail, and mail that nobody could read."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func, select, update

from mailbot.core.consent import Kind
from mailbot.store import consent, reviews
from mailbot.store.columns import DatabaseTime
from mailbot.store.engine import Connection, Database
from mailbot.store.reviews import Place, ReviewItem
from mailbot.store.tables import reviews as rows
from tests.people import event, person

ANN = "ann@example.org"
PLACE = Place("help at 127.0.0.1", "INBOX", 1, 17)


def hold(
    database: Database, who: str = ANN, mail: str = "m1", place: Place = PLACE, **changes: object
) -> int:
    """What intake does for a doubtful mail: item and event at once; returns the item's number."""
    whose = person(who)
    with database.write() as conn:
        reviews.open_item(
            conn, key=f"mail:{mail}:{whose.person_hash}", person=whose, place=place,
            rule="negation", because="the subject says not to",
        )  # fmt: skip
        held = event(Kind.HELD, who, key=f"mail:{mail}:{Kind.HELD}:{whose.person_hash}")
        consent.record(conn, replace(held, **changes))  # type: ignore[arg-type]
        return _newest(conn)


def quarantine(database: Database, place: Place = PLACE) -> int:
    """Leave a mail to a person that nobody could read; returns the item's number."""
    with database.write() as conn:
        reviews.open_item(
            conn, key="quarantine:1", person=None, place=place, rule="quarantine", because="NUL"
        )
        return _newest(conn)


def let_time_run_out(database: Database, number: int) -> None:
    """As if the item had been opened a day ago."""
    with database.write() as conn:
        conn.execute(update(rows).where(rows.c.id == number).values(due_at=DatabaseTime(-1)))


def item_of(database: Database, number: int) -> ReviewItem:
    with database.read() as conn:
        found = reviews.get(conn, number)
    assert found is not None
    return found


def _newest(conn: Connection) -> int:
    number: int = conn.execute(select(func.max(rows.c.id))).scalar_one()
    return number
