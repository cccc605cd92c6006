"""A database from a backup: what it forgot comes back before anything is sent, and it waits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from mailbot.core.consent import BatchEvent, Kind, Reason, Source, batch_digest
from mailbot.core.errors import RefusedError
from mailbot.core.outbox_states import State
from mailbot.store import (
    campaigns,
    consent,
    deliveries,
    erasure,
    journal,
    ledger,
    list_proof,
    proof,
    restoring,
    suppressions,
    switches,
)
from mailbot.store.engine import Database
from mailbot.store.restoring import Keeper
from mailbot.store.tables import CampaignState, consent_events, ledger_head
from mailbot.store.tables import outbox as rows
from mailbot.store.tables import suppressions as listed
from tests.databases import Databases
from tests.people import NOON, event, person
from tests.store.filling import begin, campaign_under_way, claim, drop_trigger, queue_order_status

ANN, BOB, CLEO, DAN, EVE, FAY = (
    f"{name}@example.org" for name in ("ann", "bob", "cleo", "dan", "eve", "fay")
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def keeper(database: Database, folder: Path) -> Keeper:
    return Keeper(database, folder).attach()


def hear(database: Database, kind: Kind, who: str, **more: float) -> None:
    with database.write() as conn:
        consent.record(conn, event(kind, who, **more))  # type: ignore[arg-type]


def reasons(database: Database, who: str) -> frozenset[Reason]:
    with database.read() as conn:
        return suppressions.reasons(conn, person(who))


def is_stopped(database: Database) -> bool:
    with database.read() as conn:
        return switches.is_marketing_stopped(conn)


def forget_behind(database: Database, sequence: int) -> None:
    """The database as a backup of back then would have it, as far as ledger and list go."""
    with database.write(is_journaled=False) as conn:
        drop_trigger(conn, "consent_events_no_delete")
        conn.execute(listed.delete().where(listed.c.sequence > sequence))
        conn.execute(
            text("DELETE FROM consent_evidence WHERE sequence > :last"), {"last": sequence}
        )
        conn.execute(consent_events.delete().where(consent_events.c.sequence > sequence))
        last = conn.execute(
            select(consent_events.c.hash).where(consent_events.c.sequence == sequence)
        ).scalar_one()
        summed = list_proof.sum_of_list(conn).text
        conn.execute(update(ledger_head).values(sequence=sequence, hash=last, list_sum=summed))


def found(database: Database) -> restoring.Restored:
    with database.read() as conn:
        return restoring.history(conn)[0]


def test_who_opted_out_after_the_backup_is_on_the_list_again(
    database: Database, keeper: Keeper
) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    hear(database, Kind.OPT_OUT, BOB)
    hear(database, Kind.COMPLAINT, CLEO)
    hear(database, Kind.UNDELIVERABLE, DAN)
    hear(database, Kind.HELD, EVE)
    forget_behind(database, 1)
    assert reasons(database, BOB) == frozenset()

    behind = keeper.keep()
    assert behind is not None and behind.agreed.sequence == 1 and len(behind.lost) == 4
    assert "ends at event 1, and the journal knows 5: the events since are lost" in behind.what
    assert [reasons(database, who) for who in (ANN, BOB, CLEO, DAN, EVE)] == [
        {Reason.OPT_OUT}, {Reason.OPT_OUT}, {Reason.COMPLAINT}, {Reason.UNDELIVERABLE},
        {Reason.HELD},
    ]  # fmt: skip
    assert is_stopped(database)
    with database.read() as conn:
        assert proof.prove(conn).fault is None
        played = [one for one in ledger.story(conn, person(BOB)) if one.source is Source.JOURNAL]
        assert [one.received_at for one in played] == [NOON], "as of when it was received"
        assert keeper.journal.tip() == ledger.head(conn)


def test_a_second_look_changes_nothing(database: Database, keeper: Keeper) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    hear(database, Kind.OPT_OUT, BOB)
    forget_behind(database, 1)
    assert keeper.keep() is not None
    with database.read() as conn:
        before = ledger.head(conn)
    assert keeper.keep() is None
    with database.read() as conn:
        assert ledger.head(conn) == before


def test_a_crash_after_the_playing_back_plays_back_nothing_twice(
    database: Database, keeper: Keeper, folder: Path
) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    hear(database, Kind.OPT_OUT, BOB)
    forget_behind(database, 1)
    old = folder.with_name("as it was")
    shutil.copytree(folder, old)
    keeper.keep()
    with database.read() as conn:
        before = ledger.head(conn)
    shutil.rmtree(folder)
    old.rename(folder)  # the journal never heard of what was played back
    assert keeper.keep() is not None
    with database.read() as conn:
        assert ledger.head(conn) == before
        assert keeper.journal.tip() == before


def test_what_was_recorded_on_the_restored_database_before_anybody_looked_stays(
    database: Database, keeper: Keeper
) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    hear(database, Kind.OPT_OUT, BOB)
    forget_behind(database, 1)
    hear(database, Kind.OPT_OUT, CLEO)  # the write itself finds out
    assert reasons(database, BOB) == reasons(database, CLEO) == {Reason.OPT_OUT}
    assert is_stopped(database)
    with database.read() as conn:
        assert ledger.verify(conn) is None
        assert keeper.journal.tip() == ledger.head(conn)


def test_a_wish_to_come_back_is_told_and_not_played_back(
    database: Database, keeper: Keeper
) -> None:
    hear(database, Kind.OPT_OUT, BOB)
    hear(database, Kind.OPT_OUT, ANN)
    hear(database, Kind.OPT_IN, ANN, minutes=60)
    forget_behind(database, 1)
    keeper.keep()
    assert reasons(database, ANN) == {Reason.OPT_OUT}
    assert found(database).counts("not_played_back") == {"opt_in": 1}


def test_an_import_is_told_and_not_played_back(database: Database, keeper: Keeper) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    people = [person(BOB), person(CLEO)]
    digest = batch_digest(one.person_hash for one in people)
    with database.write() as conn:
        consent.record_many(
            conn,
            BatchEvent(Kind.IMPORTED, Source.IMPORT, "import:1", NOON, "list", "1", 2, digest),
            [consent.Entry(one, None) for one in people],
        )
    forget_behind(database, 1)
    keeper.keep()
    assert found(database).counts("not_played_back") == {"imported": 1}


def test_who_was_erased_since_is_erased_again(database: Database, keeper: Keeper) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    with database.write() as conn:
        erasure.erase(
            conn, person(ANN), key="erase:1", source=Source.COMMAND_LINE, received_at=NOON,
            policy_version="1", evidence={},
        )  # fmt: skip
    with database.write(is_journaled=False) as conn:  # the backup still had her address
        conn.execute(
            update(listed).where(listed.c.reason == Reason.OPT_OUT).values(address=ANN)
        )  # fmt: skip
    forget_behind(database, 1)
    keeper.keep()
    assert reasons(database, ANN) == {Reason.OPT_OUT, Reason.ERASED}
    with database.read() as conn:
        assert {one.address for one in suppressions.of_person(conn, person(ANN))} == {None}


def test_campaigns_are_paused_and_no_offer_passes_the_last_look(
    database: Database, keeper: Keeper
) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    hear(database, Kind.OPT_OUT, BOB)
    campaign_under_way(database, BOB, CLEO)
    (first, _) = claim(database, limit=2)
    begin(database, first)
    forget_behind(database, 1)
    keeper.keep()
    with database.read() as conn:
        campaign = campaigns.get(conn, "spring")
        look = deliveries.look_before_sending(conn, [first.id], claimed_by="daemon-1")[first.id]
        states = set(conn.execute(select(rows.c.state).where(rows.c.id != first.id)).scalars())
    assert campaign.state is CampaignState.PAUSED
    assert "restored from a backup" in (campaign.because or "")
    assert look.is_marketing_stopped
    assert states == {State.QUEUED}
    assert claim(database) == []


def test_a_campaign_that_is_resumed_before_it_was_accepted_sends_nothing(
    database: Database, keeper: Keeper
) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    hear(database, Kind.OPT_OUT, BOB)
    campaign_under_way(database, CLEO)
    forget_behind(database, 1)
    keeper.keep()
    with database.write() as conn:
        campaigns.resume(conn, "spring")
        switches.turn(conn, switches.MARKETING_STOPPED, is_on=False, because="start-marketing")
    assert claim(database) == []
    with database.write() as conn:
        restoring.accept(conn, who="ann", note="looked", policy_version="1")
    assert len(claim(database)) == 1


def test_order_status_goes_on(database: Database, keeper: Keeper) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    hear(database, Kind.OPT_OUT, BOB)
    queue_order_status(database, BOB)
    forget_behind(database, 1)
    keeper.keep()
    (row,) = claim(database)
    begin(database, row)
    with database.read() as conn:
        look = deliveries.look_before_sending(conn, [row.id], claimed_by="daemon-1")[row.id]
    assert look.is_ours and look.reasons == {Reason.OPT_OUT}
    assert found(database).evidence["waiting"] == "1"


def test_accepting_lets_marketing_go_on_and_stands_in_the_ledger(
    database: Database, keeper: Keeper
) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    hear(database, Kind.OPT_OUT, BOB)
    forget_behind(database, 1)
    keeper.keep()
    with database.write() as conn:
        sequence = restoring.accept(conn, who="ann", note="looked at it", policy_version="1")
    assert not is_stopped(database)
    accepted = found(database)
    assert (accepted.sequence, accepted.is_acceptance) == (sequence, True)
    assert (accepted.evidence["by"], accepted.evidence["note"]) == ("ann", "looked at it")
    with pytest.raises(RefusedError, match="no restored backup waits"), database.write() as conn:
        restoring.accept(conn, who="ann", note="again", policy_version="1")


def test_a_second_restore_of_the_same_backup_is_noticed_as_well(
    database: Database, keeper: Keeper
) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    hear(database, Kind.OPT_OUT, BOB)
    for _ in range(2):
        with database.write() as conn:
            conn.execute(text("DELETE FROM switches WHERE name = 'list_distrusted'"))
        forget_once_more(database)
        assert keeper.keep() is not None
        assert reasons(database, BOB) == {Reason.OPT_OUT}
        assert is_stopped(database)


def forget_once_more(database: Database) -> None:
    with database.write(is_journaled=False) as conn:
        drop = "DROP TRIGGER IF EXISTS consent_events_no_delete"
        on_table = " ON consent_events" if conn.dialect.name == "postgresql" else ""
        conn.execute(text(drop + on_table))
        guard = {
            "sqlite": "CREATE TRIGGER consent_events_no_delete BEFORE DELETE ON consent_events "
            "BEGIN SELECT RAISE(ABORT, 'consent events are never deleted'); END",
            "postgresql": "CREATE TRIGGER consent_events_no_delete BEFORE DELETE ON consent_events "
            "FOR EACH STATEMENT EXECUTE FUNCTION mailbot_refuse()",
        }
        conn.execute(text(guard[conn.dialect.name]))
    forget_behind(database, 1)


def test_an_event_that_was_changed_is_found(database: Database, keeper: Keeper) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    hear(database, Kind.OPT_OUT, BOB)
    with database.write(is_journaled=False) as conn:
        drop_trigger(conn, "consent_events_no_update")
        conn.execute(update(consent_events).where(consent_events.c.sequence == 2)
                     .values(hash="0" * 64, kind="opt_in"))  # fmt: skip
    with database.read() as conn:
        behind = journal.compare(conn, keeper.journal)
    assert behind is not None
    assert "event 2 of the ledger is another one" in behind.what
    assert behind.agreed.sequence == 1


def test_a_database_that_is_ahead_is_only_written_down(database: Database, folder: Path) -> None:
    Keeper(database, folder).attach()
    hear(database, Kind.OPT_OUT, ANN)
    database.after_events = None
    hear(database, Kind.OPT_OUT, BOB)
    keeper = Keeper(database, folder)
    assert keeper.keep() is None
    assert not is_stopped(database)


def test_a_journal_that_is_gone_stops_marketing_until_somebody_has_looked(
    database: Database, keeper: Keeper, folder: Path
) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    shutil.rmtree(folder)
    assert keeper.keep() is None
    assert is_stopped(database)
    with database.read() as conn:
        assert "is gone" in switches.get(conn, switches.LIST_DISTRUSTED).because
        assert keeper.journal.tip() == ledger.head(conn), "a new one was begun"


def test_the_first_journal_of_a_database_is_begun_without_a_word(
    database: Database, folder: Path
) -> None:
    hear(database, Kind.OPT_OUT, ANN)
    keeper = Keeper(database, folder)
    keeper.keep()
    assert not is_stopped(database)
    with database.read() as conn:
        assert keeper.journal.tip() == ledger.head(conn)


def test_a_journal_that_was_cut_and_a_database_behind_it_are_noticed_by_the_checkpoint(
    database: Database, keeper: Keeper
) -> None:
    for who in (ANN, BOB, CLEO):
        hear(database, Kind.OPT_OUT, who)
    lines = keeper.journal.path.read_bytes().splitlines(keepends=True)
    keeper.journal.path.write_bytes(b"".join(lines[:2]))
    forget_behind(database, 1)
    behind = keeper.keep()
    assert behind is not None and behind.unknown == 1
    assert reasons(database, BOB) == {Reason.OPT_OUT}
    assert is_stopped(database)


@pytest.mark.only_on("sqlite", "copies its file")
def test_a_file_that_was_copied_back_under_it(
    databases: Databases, folder: Path, tmp_path: Path
) -> None:
    url = databases.migrated()
    path = Path(url.removeprefix("sqlite:///"))
    change: list[Callable[[Database], None]] = [
        lambda at: hear(at, Kind.OPT_OUT, ANN),
        lambda at: hear(at, Kind.OPT_OUT, FAY),
    ]
    for number, do in enumerate(change):
        opened = Database.open(url)
        Keeper(opened, folder).attach()
        do(opened)
        opened.close()
        if number == 0:
            shutil.copyfile(path, tmp_path / "backup.db")
    shutil.copyfile(tmp_path / "backup.db", path)
    opened = Database.open(url)
    assert Keeper(opened, folder).keep() is not None
    assert reasons(opened, FAY) == {Reason.OPT_OUT}
    opened.close()
