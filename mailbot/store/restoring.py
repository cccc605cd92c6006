"""After a backup was restored: what the journal knows is played back, and marketing waits.

Restoring only ever adds. An opt-out that the database forgot is on the list again before anything
is sent; a wish to come back that it forgot is told, and not played back. Marketing waits until a
person has looked: `mailbot restore accept`.
"""

from __future__ import annotations

import hashlib
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Connection, or_, select

from mailbot.core.consent import BatchEvent, ConsentEvent, Kind, Source, batch_digest
from mailbot.core.errors import MailbotError, RefusedError
from mailbot.core.person import Person
from mailbot.store import campaigns, consent, erasure, journal, ledger, switches
from mailbot.store.copying import may_forget
from mailbot.store.engine import Database, now
from mailbot.store.journal import Behind, Entry, Journal
from mailbot.store.persons import is_person
from mailbot.store.tables import (
    IS_CLAIMABLE,
    IS_NO_CAMPAIGN,
    CampaignState,
    consent_events,
    consent_evidence,
    outbox,
)

log = structlog.get_logger()

# What is played back. A hold comes back as a hold: its mail is read again from the restored
# watermark, and decided anew.
PLAYED_BACK: Final = frozenset({
    Kind.OPT_OUT, Kind.HELD, Kind.COMPLAINT, Kind.UNDELIVERABLE, Kind.ERASED,
})  # fmt: skip
_FAILING_PATIENCE: Final = 0.2  # seconds
_FOUND, _LOST, _ACCEPTED = "backup-found", "journal-lost", "restore-accepted"
_PAUSED_BECAUSE: Final = (
    "the database was restored from a backup: what was sent since is not known here"
)


class Keeper:
    """Keeps one database's journal in `folder`, and notices when the database is behind it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.journal = Journal(folder)
        self._database = database
        self._is_known = False  # the database remembers this journal
        self._is_failing = False

    def attach(self) -> Keeper:
        """From now on each write that appends to the ledger brings the journal up to it."""
        self._database.after_events = self.keep_quietly
        return self

    def say_running(self) -> None:
        """Let `mailbot db restore` know that a daemon runs, for as long as this process lives."""
        try:
            self.journal.say_running()
        except OSError as error:
            log.error("journal_not_written", folder=str(self.journal.folder), why=str(error))

    def keep_quietly(self) -> bool:
        """`keep`, with failures told once and not raised: what is committed stays committed."""
        try:
            self.keep()
        except (OSError, MailbotError) as error:
            if not self._is_failing:
                log.error("journal_not_written", folder=str(self.journal.folder), why=str(error))
            self._is_failing = True
            return False
        if self._is_failing:
            log.info("journal_written_again", folder=str(self.journal.folder))
        self._is_failing = False
        return True

    def keep(self) -> Behind | None:
        """Bring the journal up to the ledger; where the ledger is behind it, play back first.

        Returns what was found then. Raises OSError where the journal cannot be read or written,
        StoreError where the database cannot.
        """
        # Once it has failed each write tries again, and waits no more for whoever is stopped.
        with self.journal.locked(_FAILING_PATIENCE if self._is_failing else journal.PATIENCE):
            with self._database.read() as conn:
                is_lost = self.journal.witness() is None and is_remembered(conn, self.journal)
                behind = journal.compare(conn, self.journal)
            if is_lost:
                self._distrust_without_journal()
            if behind is not None:
                self._recover(behind)
            with self._database.read() as conn:
                tip = self.journal.tip()
                for page in journal.entries_after(conn, tip.sequence if tip else 0):
                    self.journal.append(page)
            self._remember()
        return behind

    def _recover(self, behind: Behind) -> None:
        log.critical("database_behind_journal", what=behind.what, lost=len(behind.lost))
        with self._database.write(is_journaled=False) as conn:
            told = play_back(conn, behind)
        # Not before the COMMIT: a crash in between plays back again, which changes nothing.
        self.journal.append([journal.branch(behind.agreed)])
        log.critical("marketing_waits_for_restore_accept", **told)

    def _distrust_without_journal(self) -> None:
        what = f"the journal in {self.journal.folder} is gone: what the database forgot, if it was "
        what += "restored, cannot be known"
        log.critical("journal_lost", folder=str(self.journal.folder))
        with self._database.write(is_journaled=False) as conn:
            at = now(conn)
            switches.turn(conn, switches.LIST_DISTRUSTED, is_on=True, because=what)
            _note(conn, _LOST, f"journal-lost:{at.isoformat()}", at, "1", [], {"what": what})

    def _remember(self) -> None:
        if self._is_known:
            return
        with self._database.read() as conn:
            self._is_known = is_remembered(conn, self.journal)
            has_events = ledger.head_sequence(conn) > 0
        if not self._is_known and has_events:
            with self._database.write(is_journaled=False) as conn:
                where = str(self.journal.folder)
                switches.turn(conn, _memory(self.journal), is_on=True, because=where)
            log.info("journal_started", folder=where)
            self._is_known = True


def is_remembered(conn: Connection, of: Journal) -> bool:
    """Whether this database had a journal in this folder of this machine."""
    return switches.get(conn, _memory(of)).is_on


def _memory(of: Journal) -> str:
    place = f"{socket.gethostname()}:{of.folder.absolute()}"
    return f"journal {hashlib.sha256(place.encode()).hexdigest()[:16]}"


def play_back(conn: Connection, behind: Behind) -> dict[str, str]:
    """Put on the list what the database forgot, pause campaigns, stop marketing; tell in numbers.

    A second time changes nothing. Locks the switch, then outbox rows, before the head, as
    everybody does.
    """
    switches.turn(conn, switches.LIST_DISTRUSTED, is_on=True, because=behind.what)
    may_forget(conn)
    paused = [
        campaigns.pause(conn, campaign.name, _PAUSED_BECAUSE).name
        for campaign in campaigns.every(conn)
        if campaign.state in (CampaignState.SCHEDULED, CampaignState.SENDING)
    ]
    _lock_messages(conn, [entry.person for entry in behind.lost if entry.kind == Kind.ERASED])
    played: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for entry in behind.lost:
        if entry.batch_digest is not None or entry.kind not in PLAYED_BACK:
            told[entry.kind] += 1
            continue
        _play(conn, entry)
        played[entry.kind] += 1
    waiting = conn.execute(select(outbox.c.id).where(IS_CLAIMABLE, IS_NO_CAMPAIGN)).all()
    evidence = {
        "what": behind.what,
        "agreed": str(behind.agreed.sequence),
        "lost": str(len(behind.lost) + behind.unknown),
        "unknown": str(behind.unknown),
        **{f"played_back.{kind}": str(count) for kind, count in sorted(played.items())},
        **{f"not_played_back.{kind}": str(count) for kind, count in sorted(told.items())},
        "paused": ", ".join(sorted(paused)),
        "waiting": str(len(waiting)),
    }
    hashes = sorted(
        entry.person_hash for entry in behind.lost
        if entry.batch_digest is None and entry.kind in PLAYED_BACK
    )  # fmt: skip
    key = f"restored:{behind.witness.sequence}:{behind.witness.hash}"
    policy = behind.lost[-1].policy_version if behind.lost else "1"
    _note(conn, _FOUND, key, now(conn), policy, hashes, evidence)
    return evidence


def _play(conn: Connection, entry: Entry) -> None:
    key = f"journal:{entry.sequence}:{entry.hash}"
    evidence = {"journal": f"was event {entry.sequence} before the restore, by {entry.source}"}
    if entry.kind == Kind.ERASED:
        # By another journal, or before a crash: what the person did since is not forgotten.
        if ledger.sequence_of(conn, key) is not None:
            return
        erasure.erase(
            conn, entry.person, key=key, source=Source.JOURNAL, received_at=entry.at,
            policy_version=entry.policy_version, evidence=evidence,
        )  # fmt: skip
        return
    consent.record(conn, ConsentEvent(
        kind=Kind(entry.kind), source=Source.JOURNAL, person=entry.person, key=key,
        received_at=entry.at, rule="played-back", policy_version=entry.policy_version,
        evidence=evidence,
    ))  # fmt: skip


def _lock_messages(conn: Connection, persons: list[Person]) -> None:
    for start in range(0, len(persons), 500):
        named = [is_person(outbox, person) for person in persons[start : start + 500]]
        chosen = select(outbox.c.id).where(or_(*named)).order_by(outbox.c.id).with_for_update()
        conn.execute(chosen).all()


def _note(
    conn: Connection,
    rule: str,
    key: str,
    at: datetime,
    policy_version: str,
    hashes: list[str],
    evidence: Mapping[str, str],
) -> int:
    return consent.note(conn, BatchEvent(
        kind=Kind.RESTORED, source=Source.JOURNAL, key=key, received_at=at, rule=rule,
        policy_version=policy_version, count=len(hashes), digest=batch_digest(hashes),
        evidence=evidence,
    ))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Restored:
    """One restored backup (or lost journal), or somebody's acceptance of it."""

    sequence: int
    at: datetime
    is_acceptance: bool
    evidence: Mapping[str, str]

    def counts(self, prefix: str) -> dict[str, int]:
        """The numbers under `played_back` or `not_played_back`, by kind."""
        return {
            name.removeprefix(f"{prefix}."): int(value)
            for name, value in self.evidence.items()
            if name.startswith(f"{prefix}.")
        }


def history(conn: Connection) -> list[Restored]:
    """Each restored backup and each acceptance that the ledger knows, newest first."""
    rows = conn.execute(
        select(consent_events.c.sequence, consent_events.c.received_at, consent_events.c.rule,
               consent_evidence.c.evidence)
        .join_from(consent_events, consent_evidence)
        .where(consent_events.c.kind == Kind.RESTORED)
        .order_by(consent_events.c.sequence.desc())
    )  # fmt: skip
    return [
        Restored(row.sequence, row.received_at, row.rule == _ACCEPTED, row.evidence or {})
        for row in rows
    ]


def accept(conn: Connection, *, who: str, note: str, policy_version: str) -> int:
    """A person has looked: marketing may go on. Returns the number of the ledger's event.

    Raises RefusedError where nothing waits for it. Campaigns stay paused.
    """
    waiting = switches.locked(conn, switches.LIST_DISTRUSTED)
    if not waiting.is_on or waiting.set_at is None:
        raise RefusedError(
            "no restored backup waits to be accepted", next_step="mailbot status says how it is."
        )
    sequence = _note(
        conn, _ACCEPTED, f"restore-accepted:{waiting.set_at.isoformat()}", now(conn),
        policy_version, [], {"what": waiting.because, "by": who, "note": note},
    )  # fmt: skip
    switches.turn(conn, switches.LIST_DISTRUSTED, is_on=False, because=f"accepted by {who}: {note}")
    return sequence
