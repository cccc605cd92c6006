"""The journal: what the ledger knew, written down outside the database, after each COMMIT.

A database that came out of a backup cannot know what it forgot; the journal beside it does. One
line an event: keyed hashes, a kind, times; nothing that erasure would have to reach.
`checkpoint.json` names the last event, so that a journal that was cut is noticed as well.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from array import array
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from mailbot.core.consent import GENESIS, canonical_time
from mailbot.core.person import Person
from mailbot.store import ledger
from mailbot.store.file_locks import FileLock
from mailbot.store.ledger import Head
from mailbot.store.tables import consent_events

JOURNAL: Final = "journal.jsonl"
CHECKPOINT: Final = "checkpoint.json"
_LOCK: Final = "journal.lock"
_RUNNING: Final = "daemon.lock"
_BRANCH: Final = "branch"  # the kind of a line that is no event
PATIENCE: Final = 10.0  # seconds
_LOOK_BACK: Final = 64 * 1024  # bytes: more than any line, by far


@dataclass(frozen=True, slots=True)
class Entry:
    """One event, as the journal keeps it. `received_at` is ISO 8601 in UTC.

    Or, with the kind "branch": from here on the ledger went on behind event `sequence`.
    """

    sequence: int
    hash: str
    kind: str
    source: str = ""
    person_hash: str = ""
    untagged_hash: str = ""
    received_at: str = ""
    policy_version: str = ""
    batch_count: int | None = None
    batch_digest: str | None = None

    @property
    def person(self) -> Person:
        """Whom the event names; two empty hashes for an event about many."""
        return Person(self.person_hash, self.untagged_hash)

    @property
    def at(self) -> datetime:
        """When it was received."""
        return datetime.fromisoformat(self.received_at)


class Journal:
    """The files in one folder. Every method may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / JOURNAL
        self._lock = FileLock(folder / _LOCK)

    def locked(self, patience: float = PATIENCE) -> AbstractContextManager[None]:
        """Nobody else on this machine writes meanwhile; makes the folder where it is missing.

        Raises TimeoutError where somebody keeps it for `patience` seconds: a command that was
        stopped by Ctrl-Z must not keep the daemon from answering.
        """
        return self._lock.held(patience)

    def say_running(self) -> int:
        """A daemon runs on this database until the descriptor is closed, or the process ends."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        running = os.open(self.folder / _RUNNING, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(running, fcntl.LOCK_SH)  # several may
        return running

    def is_daemon_running(self) -> bool:
        """Whether a daemon of this machine runs on this database."""
        try:
            running = os.open(self.folder / _RUNNING, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(running, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(running)
        return False

    def tip(self) -> Head | None:
        """The last line that is whole; None where there is no journal, or nothing in it."""
        return self._last()[0]

    def witness(self) -> Head | None:
        """The furthest event that this journal ever knew, by its last line or its checkpoint."""
        known = [head for head in (self.tip(), self._checkpoint()) if head is not None]
        return max(known, key=lambda head: head.sequence, default=None)

    def append(self, entries: Iterable[Entry]) -> None:
        """Write lines behind the last whole one and name the last as checkpoint; durable."""
        lines = list(entries)
        if not lines:
            return
        _, end = self._last()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            if file.seek(0, os.SEEK_END) != end:
                file.truncate(end)  # a line that a crash tore is written anew
            file.seek(end)
            file.write(b"".join(map(_line, lines)))
            file.flush()
            os.fdatasync(file.fileno())
        if end == 0:
            _sync_folder(self.folder)
        self._set_checkpoint(Head(lines[-1].sequence, lines[-1].hash))

    def chain(self) -> Chain:
        """The events of the branch that the journal is on, without those it left."""
        return Chain(self.path)

    def _last(self) -> tuple[Head | None, int]:
        """The last whole line, and where in the file it ends."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return None, 0
        with file:
            size = file.seek(0, os.SEEK_END)
            end = size
            while end > 0:
                start = max(0, end - _LOOK_BACK)
                file.seek(start)
                block = file.read(end - start)
                # What stands before the first line break of a block may be half a line.
                first = 0 if start == 0 else block.find(b"\n") + 1
                at = len(block)
                while (at := block.rfind(b"\n", first, at)) >= 0:
                    begin = block.rfind(b"\n", 0, at) + 1
                    entry = _entry(block[begin : at + 1])
                    if entry is not None and begin >= first:
                        return Head(entry.sequence, entry.hash), start + at + 1
                if start == 0:
                    break
                end = start + max(first, 1)
        return None, 0

    def _checkpoint(self) -> Head | None:
        try:
            found = json.loads((self.folder / CHECKPOINT).read_bytes())
            return Head(int(found["sequence"]), str(found["hash"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return None  # the journal's last line says the same

    def _set_checkpoint(self, head: Head) -> None:
        # Not synced: after a power cut an older one stands there, which the journal contains, or an
        # empty one, which says nothing.
        fresh = self.folder / f"{CHECKPOINT}.new"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(json.dumps(asdict(head)).encode() + b"\n")
        fresh.replace(self.folder / CHECKPOINT)


class Chain:
    """Where in the file each event of the present branch stands; ten bytes of memory an event."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starts, self._sequences = array("q"), array("q")
        self.damaged = 0  # lines that could not be read
        with suppress(FileNotFoundError), path.open("rb") as file:
            start = 0
            for line in file:
                self._take(start, line)
                start += len(line)

    def _take(self, start: int, line: bytes) -> None:
        entry = _entry(line)
        if entry is None:
            self.damaged += 1
            return
        # An event that is there already was written anew, on another branch.
        is_branch = entry.kind == _BRANCH
        last = entry.sequence if is_branch else entry.sequence - 1
        while self._sequences and self._sequences[-1] > last:
            self._sequences.pop()
            self._starts.pop()
        if not is_branch:
            self._sequences.append(entry.sequence)
            self._starts.append(start)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Entry:
        with self._path.open("rb") as file:
            file.seek(self._starts[index])
            entry = _entry(file.readline())
        if entry is None:
            raise OSError(0, "the journal changed while it was read", str(self._path))
        return entry


def branch(head: Head) -> Entry:
    """The line that says: from here on the ledger goes on behind `head`."""
    return Entry(head.sequence, head.hash, _BRANCH)


def entries_after(conn: Connection, sequence: int) -> Iterator[list[Entry]]:
    """What the ledger holds behind event `sequence`, in pages of a thousand."""
    chosen = (
        select(consent_events)
        .where(consent_events.c.sequence > sequence)
        .order_by(consent_events.c.sequence)
        .execution_options(yield_per=1000)
    )
    with conn.execute(chosen) as rows:
        for page in rows.partitions():
            yield [_as_entry(row) for row in page]


def _as_entry(row: Row[Any]) -> Entry:
    return Entry(
        row.sequence, row.hash, row.kind, row.source, row.person_hash, row.untagged_hash,
        canonical_time(row.received_at), row.policy_version, row.batch_count, row.batch_digest,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Behind:
    """A ledger that is not the one the journal knows: what it lost since `agreed`.

    `unknown` events are lost of which the journal holds no line.
    """

    agreed: Head
    ledger: Head
    witness: Head
    lost: list[Entry]
    unknown: int

    @property
    def what(self) -> str:
        """The finding in one sentence."""
        if self.ledger.sequence < self.witness.sequence:
            return (
                f"the ledger ends at event {self.ledger.sequence}, and the journal knows "
                f"{self.witness.sequence}: the events since are lost"
            )
        return (
            f"event {self.agreed.sequence + 1} of the ledger is another one than the journal "
            "knows: it was restored from a backup, or changed"
        )


def compare(conn: Connection, journal: Journal) -> Behind | None:
    """None where the ledger holds all that the journal knows (it may hold more). Raises OSError.

    Reads two lines where all is well, and the whole journal where it is not.
    """
    witness = journal.witness()
    if witness is None or is_in_ledger(conn, witness):
        return None
    chain = journal.chain()
    low, high = 0, len(chain)  # how many lines agree: a chain agrees up to some event, then never
    while low < high:
        middle = (low + high) // 2
        entry = chain[middle]
        if is_in_ledger(conn, Head(entry.sequence, entry.hash)):
            low = middle + 1
        else:
            high = middle
    agreed = Head(chain[low - 1].sequence, chain[low - 1].hash) if low else Head(0, GENESIS)
    lost = [chain[index] for index in range(low, len(chain))]
    unknown = max(0, witness.sequence - agreed.sequence - len(lost))
    return Behind(agreed, ledger.head(conn), witness, lost, unknown)


def is_in_ledger(conn: Connection, head: Head) -> bool:
    """Whether the ledger has this very event at this place."""
    if head.sequence == 0:
        return head.hash == GENESIS
    found = select(consent_events.c.hash).where(consent_events.c.sequence == head.sequence)
    return conn.execute(found).scalar_one_or_none() == head.hash


def _line(entry: Entry) -> bytes:
    values = {name: value for name, value in asdict(entry).items() if value not in (None, "")}
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=True).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _entry(line: bytes) -> Entry | None:
    """The line read; None where it is torn or damaged."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        return Entry(**json.loads(text))
    except (ValueError, TypeError):  # a line of a newer mailbot
        return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
