"""An erasure beside those who copy addresses: nobody copies what is being forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from mailbot.core.consent import Source
from mailbot.store import campaigns, erasure, expansion, restoring
from mailbot.store.campaigns import Member
from mailbot.store.engine import Connection, Database, now
from mailbot.store.journal import Behind, Entry
from mailbot.store.ledger import Head
from mailbot.store.tables import audience_members, outbox
from tests.people import NOON, address, person
from tests.store.locks import deadlocks, until_waiting

ANN, BOB = "ann@example.org", "bob@example.org"


def create(conn: Connection) -> int:
    return campaigns.create(
        conn, name="spring", subject="Teas", text_source="Hello", html_source=None
    )


def add(conn: Connection, campaign_id: int) -> None:
    campaigns.add_members(conn, campaign_id, [
        Member(line, address(who), person(who), {"name": who})
        for line, who in enumerate((ANN, BOB))
    ])  # fmt: skip


def start(conn: Connection) -> None:
    campaigns.finish_loading(conn, "spring")
    campaigns.schedule(conn, "spring", now(conn) - timedelta(seconds=1))
    campaigns.start_due(conn)


def expand(conn: Connection, campaign_id: int) -> None:
    expansion.expand(conn, campaign_id, our_domain="shop.example", limit=1000)


def forget(conn: Connection) -> None:
    erasure.erase(
        conn, person(ANN), key="erase:1", source=Source.COMMAND_LINE, received_at=NOON,
        policy_version="1", evidence={"by": "a colleague"},
    )  # fmt: skip


def forget_again(conn: Connection) -> None:
    """As the journal plays it back after a restored backup."""
    lost = Entry(7, "7" * 64, "erased", "command_line", person(ANN).person_hash,
                 person(ANN).untagged_hash, NOON.isoformat(), "1")  # fmt: skip
    none = Head(0, "0" * 64)
    restoring.play_back(conn, Behind(none, none, Head(7, lost.hash), [lost], 0))


def in_the_background(database: Database, work: Callable[[Connection], object]) -> threading.Thread:
    def run() -> None:
        with database.write() as conn:
            work(conn)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def readable(database: Database) -> set[str | None]:
    with database.read() as conn:
        return {
            *conn.execute(select(audience_members.c.address)).scalars(),
            *conn.execute(select(outbox.c.address)).scalars(),
        }


@pytest.mark.only_on("postgresql", "SQLite has one writer")
@pytest.mark.parametrize("forgetting", [forget, forget_again])
@pytest.mark.parametrize("copying", [add, expand])
def test_who_is_erased_while_addresses_are_copied_is_in_no_copy(
    database: Database, copying: Callable[[Connection, int], None],
    forgetting: Callable[[Connection], None],
) -> None:  # fmt: skip
    with database.write() as conn:
        campaign_id = create(conn)
        if copying is expand:
            add(conn, campaign_id)
            start(conn)
    with database.write() as conn:
        copying(conn, campaign_id)
        erasing = in_the_background(database, forgetting)
        until_waiting_or_over(database, erasing)
    erasing.join(60)
    assert readable(database) == {None, BOB}
    assert deadlocks(database) == 0


@pytest.mark.only_on("postgresql", "SQLite has one writer")
@pytest.mark.parametrize("forgetting", [forget, forget_again])
@pytest.mark.parametrize("copying", [add, expand])
def test_who_copies_addresses_during_an_erasure_copies_none_of_it(
    database: Database, copying: Callable[[Connection, int], None],
    forgetting: Callable[[Connection], None],
) -> None:  # fmt: skip
    with database.write() as conn:
        campaign_id = create(conn)
        if copying is expand:
            add(conn, campaign_id)
            start(conn)
    with database.write() as conn:
        forgetting(conn)
        copier = in_the_background(database, lambda other: copying(other, campaign_id))
        until_waiting_or_over(database, copier)
    copier.join(60)
    assert readable(database) <= {None, BOB}
    assert deadlocks(database) == 0


def until_waiting_or_over(database: Database, thread: threading.Thread) -> None:
    """Where it need not wait it is over soon, and the assertions tell."""
    if thread.is_alive():
        thread.join(1)
    if thread.is_alive():
        until_waiting(database, 1)


@pytest.mark.only_on("postgresql", "SQLite has one writer")
def test_copies_are_made_side_by_side(database: Database) -> None:
    with database.write() as conn:
        campaign_id = create(conn)
        add(conn, campaign_id)
        start(conn)
    with database.write() as conn:
        expand(conn, campaign_id)
        with database.write() as other:
            second = campaigns.create(
                other, name="summer", subject="Teas", text_source="Hello", html_source=None
            )
            add(other, second)
    assert readable(database) == {ANN, BOB}
