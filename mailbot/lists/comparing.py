"""A file against our list: who is in the one and not in the other. Memory stays flat.

Both are sorted on disk by the untagged hash, which two spellings of one mailbox share, and read
side by side, a 256th at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mailbot.core.person import PersonKey
from mailbot.lists.importing import BadLines, Counts, Order, Progress, read_into, refuse_empty
from mailbot.lists.spool import BEGINNINGS, Spool, spool_in
from mailbot.store import listing
from mailbot.store.engine import Database

_IN_FILE: Final = "file"
_ON_LIST: Final = "list"


@dataclass(frozen=True, slots=True)
class Compared:
    """Mailboxes, a +tag aside. `counts` is about the file."""

    counts: Counts
    in_both: int
    only_in_file: int
    only_on_list: int


# Told of each mailbox that stands in one alone, in the order of the hashes: its untagged hash, and
# its address, "" where that was erased.
Told = Callable[[str, str], None]


def compare(
    database: Database,
    person_key: PersonKey,
    order: Order,
    *,
    sort_in: Path,
    bad_lines: BadLines,
    progress: Progress,
    only_in_file: Told,
    only_on_list: Told,
) -> Compared:
    """Compare; nothing is changed. Rows that the file's format leaves out count as not in it.

    Raises InputError and StoreUnavailable like an import.
    """
    with spool_in(sort_in) as read, spool_in(sort_in) as mailboxes:
        counts, _ = read_into(read, person_key, order, bad_lines, progress)
        refuse_empty(counts, order.path)
        for kind in read.groups():
            for _, untagged_hash, address in read.sorted(kind):
                mailboxes.add(_IN_FILE, untagged_hash, untagged_hash, address)
        with database.read() as conn:
            for untagged_hash, address in listing.untagged(conn):
                mailboxes.add(_ON_LIST, untagged_hash, untagged_hash, address)
        both, in_file, on_list = 0, 0, 0
        for digits in BEGINNINGS:
            file_part = _part(mailboxes, _IN_FILE, digits)
            list_part = _part(mailboxes, _ON_LIST, digits)
            for mailbox in sorted(file_part.keys() - list_part.keys()):
                only_in_file(mailbox, file_part[mailbox])
                in_file += 1
            for mailbox in sorted(list_part.keys() - file_part.keys()):
                only_on_list(mailbox, list_part[mailbox])
                on_list += 1
            both += len(file_part.keys() & list_part.keys())
    return Compared(counts, both, in_file, on_list)


def _part(spool: Spool, group: str, digits: str) -> dict[str, str]:
    """Each mailbox whose hash begins with these digits, and an address of it ("": erased)."""
    return {mailbox: address for mailbox, _, address in spool.part(group, digits)}
