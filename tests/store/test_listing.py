"""What changed since a number: page by page nothing is left out, whatever is written meanwhile."""

from __future__ import annotations

import threading
from datetime import timedelta

from mailbot.core.consent import BatchEvent, Kind, Source, batch_digest
from mailbot.store import consent, ledger, listing
from mailbot.store.consent import Entry
from mailbot.store.engine import Database
from mailbot.store.listing import Changes
from tests.people import NOON, event, person


def _leave(database: Database, *people: str) -> None:
    for who in people:
        with database.write() as conn:
            consent.record(conn, event(Kind.OPT_OUT, who))


def _import(database: Database, *people: str, minutes: int) -> None:
    batch = BatchEvent(
        kind=Kind.IMPORTED, source=Source.IMPORT, key=f"import:{minutes}", rule="import",
        policy_version="1", received_at=NOON + timedelta(minutes=minutes), count=len(people),
        digest=batch_digest(person(one).person_hash for one in people),
    )  # fmt: skip
    with database.write() as conn:
        consent.record_many(conn, batch, [Entry(person(one), one) for one in people])


def _page(database: Database, since: int, limit: int) -> Changes:
    with database.read() as conn:
        return listing.changes(conn, since, limit)


def _told(database: Database, limit: int) -> list[str | None]:
    """Everybody whom a reader hears of that asks until nothing is left."""
    told: list[str | None] = []
    since, is_all = 0, False
    while not is_all:
        page = _page(database, since, limit)
        assert page.is_all or page.next_since > since
        since, is_all = page.next_since, page.is_all
        told += [one.address for one in page.changes]
    return told


def test_an_import_that_a_later_one_renewed_hides_nobody_behind_it(database: Database) -> None:
    _import(database, "ann@example.org", minutes=1)
    _leave(database, "bob@example.org", "cleo@example.org", "dan@example.org")
    _import(database, "ann@example.org", minutes=2)  # of the first import nothing is left to tell
    _leave(database, "eve@example.org")
    everybody = [f"{name}@example.org" for name in ("bob", "cleo", "dan", "ann", "eve")]
    for limit in range(1, 8):
        assert _told(database, limit) == everybody


def test_imports_alone_of_which_nothing_is_left_are_passed_by(database: Database) -> None:
    for minutes in range(5):
        _import(database, "ann@example.org", minutes=minutes)
    _leave(database, "bob@example.org")
    assert _told(database, 1) == ["ann@example.org", "bob@example.org"]


def test_a_reader_that_asks_again_and_again_misses_nothing_that_many_write(
    database: Database,
) -> None:
    many = [[f"p{writer}-{number}@example.org" for number in range(40)] for writer in range(4)]
    writers = [threading.Thread(target=_leave, args=(database, *people)) for people in many]
    for one in writers:
        one.start()
    told: list[str | None] = []
    since = 0
    while True:
        was_over = not any(one.is_alive() for one in writers)
        page = _page(database, since, 1000)
        assert page.is_all
        assert [one.sequence for one in page.changes] == list(range(since + 1, page.next_since + 1))
        told += [one.address for one in page.changes]
        since = page.next_since
        if was_over:
            break
    with database.read() as conn:
        assert ledger.head_sequence(conn) == since == 160
    assert sorted(map(str, told)) == sorted(one for people in many for one in people)
