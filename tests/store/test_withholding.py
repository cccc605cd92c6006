"""Waiting offers of whoever an import put on the list."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from mailbot.core.consent import Kind
from mailbot.core.outbox_states import State
from mailbot.lists import importing
from mailbot.store import consent, outbox, withholding
from mailbot.store.engine import Database
from mailbot.store.tables import outbox as rows
from tests.people import event, person
from tests.store.filling import campaign_under_way, queue_order_status


def states(database: Database) -> dict[tuple[str, str], tuple[str, str | None]]:
    with database.read() as conn:
        found = conn.execute(select(rows)).all()
    return {(row.address, row.kind): (row.state, row.withheld_reason) for row in found}


def leave(database: Database, who: str, kind: Kind = Kind.IMPORTED) -> None:
    with database.write() as conn:
        consent.record(conn, event(kind, who))


def test_offers_of_whoever_is_listed_are_withheld_with_the_reason(database: Database) -> None:
    campaign_under_way(database, "ann@example.org", "bob@example.org", "cid@example.org")
    queue_order_status(database, "ann@example.org")
    leave(database, "ann@example.org")
    leave(database, "bob@example.org", Kind.COMPLAINT)
    assert importing.withhold_waiting(database) == 2
    assert states(database) == {
        ("ann@example.org", "campaign"): (State.WITHHELD, "imported"),
        ("bob@example.org", "campaign"): (State.WITHHELD, "complaint"),
        ("cid@example.org", "campaign"): (State.QUEUED, None),
        ("ann@example.org", "order_status"): (State.QUEUED, None),
    }
    assert importing.withhold_waiting(database) == 0


def test_a_tagged_spelling_is_withheld_as_well(database: Database) -> None:
    campaign_under_way(database, "ann+shop@example.org")
    leave(database, "ann@example.org")
    assert importing.withhold_waiting(database) == 1


def test_more_than_one_walk_are_all_withheld(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withholding, "_AT_ONCE", 2)
    people = [f"p{number}@example.org" for number in range(5)]
    campaign_under_way(database, *people, "stays@example.org")
    for who in people:
        leave(database, who)
    assert importing.withhold_waiting(database) == 5
    assert states(database)["stays@example.org", "campaign"] == (State.QUEUED, None)


def test_whoever_came_back_in_between_is_not_withheld(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    leave(database, "ann@example.org")
    with database.read() as conn:
        ids = withholding.waiting_of_listed(conn)
    assert len(ids) == 1
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_IN, minutes=60))
    with database.write() as conn:
        assert withholding.withhold(conn, ids) == 0
    assert states(database)["ann@example.org", "campaign"] == (State.QUEUED, None)


def test_what_was_withheld_by_somebody_else_in_between_is_left_alone(database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    leave(database, "ann@example.org")
    with database.read() as conn:
        ids = withholding.waiting_of_listed(conn)
    with database.write() as conn:
        assert outbox.withhold_marketing_of(conn, person("ann@example.org"), "opt_out") == 1
    with database.write() as conn:
        assert withholding.withhold(conn, ids) == 0
    assert states(database)["ann@example.org", "campaign"] == (State.WITHHELD, "opt_out")
