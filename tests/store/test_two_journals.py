"""One database and several journals, or several who look after it at once."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from mailbot.core.consent import Kind, Reason, Source
from mailbot.store import (
    consent,
    erasure,
    ledger,
    list_proof,
    proof,
    restoring,
    suppressions,
    switches,
)
from mailbot.store.engine import Database
from mailbot.store.restoring import Keeper
from mailbot.store.tables import consent_events, ledger_head
from mailbot.store.tables import outbox as rows
from mailbot.store.tables import suppressions as listed
from tests.people import NOON, event, person
from tests.store.filling import drop_trigger, queue_order_status
from tests.store.locks import deadlocks, until_waiting

ANN, BOB, CLEO = (f"{name}@example.org" for name in ("ann", "bob", "cleo"))


@pytest.fixture(name="keepers")
def two_keepers(database: Database, tmp_path: Path) -> tuple[Keeper, Keeper]:
    """Of two daemons on two hosts, each with a folder of its own; both know the same so far."""
    return Keeper(database, tmp_path / "host 1"), Keeper(database, tmp_path / "host 2")


def record(database: Database, kind: Kind, who: str, key: str | None = None) -> None:
    with database.write() as conn:
        consent.record(conn, event(kind, who, key=key))


def erase(database: Database, who: str) -> None:
    with database.write() as conn:
        erasure.erase(
            conn, person(who), key=f"erase:{who[:3]}", source=Source.COMMAND_LINE, received_at=NOON,
            policy_version="1", evidence={"by": "a colleague"},
        )  # fmt: skip


def accept(database: Database) -> None:
    with database.write() as conn:
        restoring.accept(conn, who="a colleague", note="looked", policy_version="1")


def forget_all_behind(database: Database, sequence: int) -> None:
    with database.write(is_journaled=False) as conn:
        drop_trigger(conn, "consent_events_no_delete")
        conn.execute(listed.delete().where(listed.c.sequence > sequence))
        conn.execute(text(f"DELETE FROM consent_evidence WHERE sequence > {sequence}"))
        conn.execute(consent_events.delete().where(consent_events.c.sequence > sequence))
        last = conn.execute(
            select(consent_events.c.hash).where(consent_events.c.sequence == sequence)
        ).scalar_one()
        summed = list_proof.sum_of_list(conn).text
        conn.execute(update(ledger_head).values(sequence=sequence, hash=last, list_sum=summed))


def is_whole(database: Database, *keepers: Keeper) -> bool:
    with database.read() as conn:
        assert proof.prove(conn).fault is None
        return all(keeper.journal.tip() == ledger.head(conn) for keeper in keepers)


def test_two_daemons_find_the_same_backup_and_play_it_back_once(
    database: Database, keepers: tuple[Keeper, Keeper]
) -> None:
    for who in (ANN, BOB, CLEO):
        record(database, Kind.OPT_OUT, who)
    for keeper in keepers:
        keeper.keep()
    forget_all_behind(database, 1)
    both = [threading.Thread(target=keeper.keep_quietly) for keeper in keepers]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    for keeper in keepers:
        keeper.keep()
    assert is_whole(database, *keepers)
    with database.read() as conn:
        assert ledger.head_sequence(conn) == 4  # ANN, both played back, and what was found
        assert switches.get(conn, switches.LIST_DISTRUSTED).is_on
        assert suppressions.reasons(conn, person(CLEO)) == {Reason.OPT_OUT}


def test_an_erasure_is_played_back_once_however_late_the_second_daemon_comes(
    database: Database, keepers: tuple[Keeper, Keeper]
) -> None:
    """Who was erased, came back and ordered since must not lose that to a stale journal."""
    first, second = keepers
    record(database, Kind.OPT_OUT, ANN)
    erase(database, BOB)
    first.keep()
    second.keep()
    forget_all_behind(database, 1)
    first.keep()
    accept(database)
    record(database, Kind.OPT_OUT, BOB, key="of his own")
    assert queue_order_status(database, BOB)

    assert second.keep() is not None  # of that host, which was off meanwhile
    with database.read() as conn:
        told = [one for one in ledger.story(conn, person(BOB)) if one.kind is Kind.OPT_OUT]
        assert [(one.address, one.evidence) for one in told] == [(BOB, {"Subject": "unsubscribe"})]
        waiting = conn.execute(select(rows.c.state, rows.c.address)).all()
        assert [tuple(row) for row in waiting] == [("queued", BOB)]
    first.keep()
    assert is_whole(database, first, second)


def test_an_erasure_played_back_twice_after_a_crash_forgets_nothing_newer(
    database: Database, keepers: tuple[Keeper, Keeper]
) -> None:
    keeper, _ = keepers
    record(database, Kind.OPT_OUT, ANN)
    erase(database, BOB)
    keeper.keep()
    folder = keeper.journal.folder
    shutil.copytree(folder, folder.with_name("as it was"))
    forget_all_behind(database, 1)
    keeper.keep()
    record(database, Kind.OPT_OUT, BOB, key="of his own")
    shutil.rmtree(folder)
    folder.with_name("as it was").rename(folder)  # the crash: nothing of this was written
    assert keeper.keep() is not None
    with database.read() as conn:
        assert [one.address for one in ledger.story(conn, person(BOB))] == [None, BOB]
    assert is_whole(database, keeper)


# Whoever turns the switch for a distrusted list, and appends to the ledger in one transaction.
TURNING: dict[str, Callable[[Keeper], object]] = {
    "the journal is gone": lambda keeper: keeper._distrust_without_journal(),
    "a backup was found": lambda keeper: keeper.keep(),
}


@pytest.mark.only_on("postgresql", "SQLite has one writer, and no locks on rows")
@pytest.mark.parametrize("turning", TURNING)
def test_accepting_never_waits_in_a_circle_with_whoever_finds_another_backup(
    database: Database, keepers: tuple[Keeper, Keeper], turning: str
) -> None:
    keeper, _ = keepers
    record(database, Kind.OPT_OUT, ANN)
    record(database, Kind.OPT_OUT, BOB)
    keeper.keep()
    with database.write() as conn:
        switches.turn(conn, switches.LIST_DISTRUSTED, is_on=True, because="found before")
    forget_all_behind(database, 1)
    faults: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as fault:
            faults.append(fault)

    # Both wait for the head first, then go on together, as far as either has not taken the switch.
    with database.write() as conn:
        ledger.locked_head(conn)
        both = [
            threading.Thread(target=guarded, args=(work,))
            for work in (lambda: accept(database), lambda: TURNING[turning](keeper))
        ]
        for count, one in enumerate(both, start=1):
            one.start()
            until_waiting(database, count)
    for one in both:
        one.join(60)
    assert faults == []
    assert deadlocks(database) == 0
