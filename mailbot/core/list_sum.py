"""A sum over the whole do-not-send list, that each change adds to or takes from.

Each event of the ledger names the digest of the sum as it left it, so that an entry that somebody
deleted, put in, moved or altered is noticed without the events being replayed. Adding needs no
order, so one pass over the list is enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# What an event says in place of a digest, where the sum before it was not what the ledger left.
CHANGED: Final = "changed"

# person_hash, reason, untagged_hash, and the number of the event by which the entry stands. Since
# when it stands is the event's receipt; the address is erasable, and proved by its hash.
SummedEntry = tuple[str, str, str, int]

# Entries with a sum of one's choice are found the faster, the shorter the sum is and the more of
# them may be chosen (Wagner 2002): here in 2 ** 73 steps, by 2 ** 36 entries. It is also one block
# of SHAKE-128, whose second would cost as much as the first.
_BYTES: Final = 168
_MODULUS: Final = 1 << (8 * _BYTES)


@dataclass(frozen=True, slots=True)
class ListSum:
    """How many entries there are, and the sum of their hashes; the empty list is `ListSum()`."""

    entries: int = 0
    total: int = 0

    def changed(self, gone: Iterable[SummedEntry], come: Iterable[SummedEntry]) -> ListSum:
        """The sum without the entries `gone`, with the entries `come`."""
        less, minus = _sum_of(gone)
        more, plus = _sum_of(come)
        return ListSum(self.entries + more - less, (self.total + plus - minus) % _MODULUS)

    @property
    def digest(self) -> str:
        """SHA-256 in hex over the text of the sum: what an event says of the list it left."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def text(self) -> str:
        """The number of entries, a colon, the sum in hex: as it is stored."""
        return f"{self.entries}:{self.total:x}"

    @classmethod
    def of_text(cls, text: str) -> ListSum | None:
        """The sum that `text` writes; None where it writes none."""
        entries, _, total = text.partition(":")
        try:
            return cls(int(entries), int(total, 16))
        except ValueError:
            return None


def _sum_of(entries: Iterable[SummedEntry]) -> tuple[int, int]:
    shake, count, total = hashlib.shake_128, 0, 0
    for person_hash, reason, untagged_hash, sequence in entries:
        line = f"{person_hash} {reason} {untagged_hash} {sequence}"
        total += int.from_bytes(shake(line.encode()).digest(_BYTES), "big")
        count += 1
    return count, total
