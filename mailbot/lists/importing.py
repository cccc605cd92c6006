"""Another system's list into ours: read once and sorted on disk, then added part by part.

Each part is one event of the ledger in a transaction of some milliseconds, so that intake goes on
meanwhile. Its key is made of the file's content and the part's number: whatever ended an import in
between, the same command goes on behind the last part that was committed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from mailbot.core.address import parse_address
from mailbot.core.consent import BatchEvent, Kind, Source, batch_digest
from mailbot.core.csv_cells import without_apostrophe
from mailbot.core.errors import AddressError, InputError
from mailbot.core.person import PersonKey
from mailbot.core.plain_addresses import plain_match_key
from mailbot.lists.lines import UNREADABLE, LineReader
from mailbot.lists.rows import Layout, Row, Wanted, rows_of
from mailbot.lists.spool import Spool, SpooledPerson, spool_in
from mailbot.store import consent, imports, keys, ledger, withholding
from mailbot.store.engine import Database, now
from mailbot.store.imports import Import

PART: Final = 5_000  # persons an event: some 30 ms, in which nobody else can write
_SHOWN_LINES: Final = 5
_LOOKED_AT: Final = 2_000  # rows after which a file without any address is given up
_RULE: Final = "import"


class BadLines(Protocol):
    """Takes each line that cannot be read."""

    def add(self, number: int, wrong: str, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be imported, and how. `because` stands for whatever the file says."""

    path: Path
    wanted: Wanted
    by: str
    policy_version: str
    encoding: str | None = None
    because: Kind | None = None
    note: str = ""
    again: bool = False


@dataclass(slots=True)
class Counts:
    """What reading the file once has shown; `persons` is known when they were sorted."""

    lines: int = 0
    bad: int = 0
    skipped: int = 0
    fallbacks: int = 0  # lines that were no UTF-8, and were read as Windows-1252
    persons: int = 0
    added: int = 0
    withheld: int = 0
    layout: Layout | None = None
    kinds: dict[str, int] = field(default_factory=dict)

    @property
    def format(self) -> str:
        return self.layout.name if self.layout is not None else ""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of it. `row` is None for a trial; `is_new` False where it was in before."""

    counts: Counts
    row: Import | None
    is_new: bool = True


# Told how far it is: "read" in bytes, "add" in persons.
Progress = Callable[[str, int], None]


def import_list(
    database: Database,
    person_key: PersonKey,
    order: Order,
    *,
    sort_in: Path,
    bad_lines: BadLines,
    progress: Progress,
    is_trial: bool = False,
) -> Imported:
    """Put every person of the file on the list. It only ever adds.

    Raises InputError where nearly no line holds an address (nothing was written then), and
    StoreUnavailable where the disk or the database gives out: the same call goes on from there.
    """
    with spool_in(sort_in) as spool:
        counts, key = read_into(spool, person_key, order, bad_lines, progress)
        refuse_empty(counts, order.path)
        if is_trial:
            for group in spool.groups():
                counts.persons += sum(map(len, spool.parts(group)))
            return Imported(counts, None)
        return _add(database, person_key, order, spool, counts, key, progress)


def read_into(
    spool: Spool, person_key: PersonKey, order: Order, bad_lines: BadLines, progress: Progress
) -> tuple[Counts, str]:
    """Read the file once; each person goes into the spool, in the group of its kind.

    Returns the counts, and the key of this import: of the content, and of how it was read.
    """
    counts = Counts()
    first: list[str] = []
    try:
        file = order.path.open("rb")
    except OSError as error:
        raise InputError(
            f"this file cannot be read ({(error.strerror or str(error)).lower()}).",
            where=str(order.path),
        ) from error
    with file:
        reader = LineReader(file, order.encoding, lambda done: progress("read", done))
        try:
            counts.layout, rows = rows_of(reader.batches(), order.wanted)
        except InputError as error:
            raise InputError(
                error.what, where=error.where or str(order.path), next_step=error.next_step
            ) from error
        adds = _Reading(spool, person_key, counts.layout, order.because)
        for row in rows:
            counts.lines += 1
            if len(first) < _SHOWN_LINES:
                first.append(row.text)
            wrong = row.wrong or adds.take(row)
            if wrong:
                counts.bad += 1
                bad_lines.add(row.number, wrong, row.text)
                if counts.bad == counts.lines == _LOOKED_AT:
                    break
    counts.skipped, counts.kinds, counts.fallbacks = adds.skipped, adds.kinds, reader.fallbacks
    if counts.lines and counts.bad > 0.9 * counts.lines:
        raise _wrong_column(order, counts, counts.layout, first)
    return counts, _key_of(reader.digest, counts.layout, counts, order)


def _wrong_column(order: Order, counts: Counts, layout: Layout, first: list[str]) -> InputError:
    name = layout.header[layout.address_at] if layout.header else f"{layout.address_at + 1}"
    header = f"  header: {', '.join(layout.header)}\n" if layout.header else ""
    lines = "\n".join(f"  {line[:100]!r}" for line in first)
    return InputError(
        f"{counts.bad:,} of {counts.lines:,} lines hold no address in column “{name}”, so "
        f"nothing was done. As mailbot reads it:\n{header}{lines}",
        where=str(order.path),
        next_step="Name the right column by --column NAME (or its number), or the encoding.",
    )


def refuse_empty(counts: Counts, path: Path) -> None:
    """Raises InputError where the file has nothing but a header."""
    if not counts.lines:
        raise InputError("there is no line behind the header.", where=str(path))


class _Reading:
    """Turns rows into persons of the spool."""

    def __init__(
        self, spool: Spool, person_key: PersonKey, layout: Layout, because: Kind | None
    ) -> None:
        self.skipped = 0
        self.kinds: dict[str, int] = {}
        self._spool = spool
        self._person_key = person_key
        self._hash_of = person_key.hasher()
        self._format = layout.format
        self._because = because
        self._is_own = layout.name == "mailbot" and not layout.is_json

    def take(self, row: Row) -> str:
        """Spool the person of `row`; returns what is wrong with it, "" for nothing."""
        kind: Kind | None = Kind.IMPORTED
        if self._format is not None:
            try:
                kind = self._format.meaning(row.reads)
            except KeyError:
                return f"says “{row.reads[0][:40]}”, which {self._format.name} does not know"
        if kind is None:
            self.skipped += 1
            return ""
        kind = self._because or kind
        text = without_apostrophe(row.address) if self._is_own else row.address
        match_key = plain_match_key(text)
        if match_key is not None:
            person_hash = untagged = self._hash_of(match_key)
        else:
            text = text.strip()
            if not text:
                return "has no address"
            if UNREADABLE in text:
                return "has characters that its encoding does not know"
            try:
                address = parse_address(text)
            except AddressError as error:
                return error.what
            person = self._person_key.identify(address)
            person_hash, untagged, text = person.person_hash, person.untagged_hash, address.text
        self._spool.add(kind, person_hash, untagged, text)
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        return ""


def _key_of(digest: str, layout: Layout, counts: Counts, order: Order) -> str:
    # What came of it as well: a newer mailbot may read a line that an older one could not, and
    # must not go on behind parts of other persons.
    came_of_it = (counts.bad, counts.skipped, sorted(counts.kinds.items()))
    how = (digest, layout.name, layout.address_at, order.because or "", order.encoding or "",
           layout.delimiter, PART, came_of_it)  # fmt: skip
    return hashlib.sha256(repr(how).encode()).hexdigest()


def _add(
    database: Database,
    person_key: PersonKey,
    order: Order,
    spool: Spool,
    counts: Counts,
    key: str,
    progress: Progress,
) -> Imported:
    with database.read() as conn:
        key, known = _key_to_use(lambda one: imports.of_key(conn, one), key, again=order.again)
    if known is not None and known.finished_at is not None:
        return Imported(counts, known, is_new=False)
    with database.write() as conn:
        keys.adopt(conn, person_key)
        row = imports.begin(
            conn, key=key, file_name=order.path.name, format_name=counts.format, by=order.by,
            lines=counts.lines, bad=counts.bad,
        )  # fmt: skip
    evidence = {"by": order.by, "file": order.path.name, "import": str(row.id)}
    evidence |= {"note": order.note} if order.note else {}
    for kind in spool.groups():
        people = spool.sorted(kind)
        number = 0
        while part := list(islice(people, PART)):
            event_key = f"import:{key}:{kind}:{number}"
            _add_part(database, row.id, Kind(kind), event_key, part, order, evidence)
            number += 1
            counts.persons += len(part)
            progress("add", counts.persons)
    counts.withheld = withhold_waiting(database)
    with database.write() as conn:
        row = imports.finish(conn, row.id, counts.persons)
    counts.added = row.added
    return Imported(counts, row)


def _key_to_use(
    known_of: Callable[[str], Import | None], key: str, *, again: bool
) -> tuple[str, Import | None]:
    """The first key of this file whose import is not finished; without `again` the first of all."""
    known = known_of(key)
    while again and known is not None and known.finished_at is not None:
        key = hashlib.sha256(f"again {key}".encode()).hexdigest()
        known = known_of(key)
    return key, known


def _add_part(
    database: Database,
    import_id: int,
    kind: Kind,
    key: str,
    part: list[SpooledPerson],
    order: Order,
    evidence: Mapping[str, str],
) -> None:
    digest = batch_digest(person[0] for person in part)
    with database.write() as conn:
        # The time under the head's lock: an opt-in that was recorded before was received before.
        ledger.locked_head(conn)
        event = BatchEvent(
            kind=kind, source=Source.IMPORT, key=key, received_at=now(conn), rule=_RULE,
            policy_version=order.policy_version, count=len(part), digest=digest,
            evidence=evidence,
        )  # fmt: skip
        recorded = consent.record_rows(conn, event, part)
        if recorded.added:
            imports.count_added(conn, import_id, recorded.added)


def withhold_waiting(database: Database) -> int:
    """Withhold the waiting offers of everybody on the list, some at a time; returns how many."""
    withheld = 0
    for ids in _waiting(database):
        with database.write() as conn:
            withheld += withholding.withhold(conn, ids)
    return withheld


def _waiting(database: Database) -> Iterator[list[int]]:
    after = 0
    while True:
        with database.read() as conn:
            ids = withholding.waiting_of_listed(conn, after)
        if not ids:
            return
        yield ids
        after = ids[-1]
